"""Which books of the files are handed out: windows, order, repetitions, sampling, empty days, and what is counted."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.formats.sampling import sample_books
from trademl_assets_tests.sources.formats.configured import ABC, DAY, MIDNIGHT, source, tall_day
from trademl_assets_tests.sources.formats.written_days import listed, sided, tardis, with_epoch, write

KINDS = ("tall_files", "depth_files", "tardis_snapshots")


def written(kind: str, tall: pl.DataFrame, path: Path) -> Path:
    frame = {"tall_files": tall, "depth_files": listed(tall), "tardis_snapshots": tardis(tall)}[kind]
    return write(frame, path)


def seconds(rows: pl.DataFrame) -> list[float]:
    instants = rows["ts"].unique(maintain_order=True)
    return ((instants - MIDNIGHT).dt.total_microseconds() / 1e6).to_list()


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_holds_several_days(tmp_path: Path, kind: str) -> None:
    tall = tall_day(-90_000, -20, -10, 0, 10, 86_399, 86_400)
    rows, facts = source(kind, written(kind, tall, tmp_path / "all.parquet")).extract_described(ABC, DAY, 15)

    assert seconds(rows) == [-10, 0, 10, 86_399]
    assert facts["files"][0]["rows_outside_window"] == (3 * 2 if kind == "tall_files" else 3)
    assert facts["tall_rows"] == rows.height == 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", ["{day}.parquet", "{day:%Y%m%d}.parquet", "{day}*.parquet", "{day}"])
def test_files_of_days_give_the_lead_in(tmp_path: Path, kind: str, pattern: str) -> None:
    for day, tall in ((date(2024, 3, 4), tall_day(-20, -10)), (DAY, tall_day(0, 10))):
        name = f"{day:%Y%m%d}" if "%" in pattern else day.isoformat()
        folder = tmp_path / name if pattern == "{day}" else tmp_path
        folder.mkdir(exist_ok=True)
        written(kind, tall, folder / f"{name}.parquet")
    built = source(kind, tmp_path / pattern)

    rows, facts = built.extract_described(ABC, DAY, 15)

    assert seconds(rows) == [-10, 0, 10]
    assert [each["file"][:4] for each in facts["files"]] == ["2024", "2024"]
    assert seconds(built.extract(ABC, date(2024, 3, 4), 0)) == [-20, -10]


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_a_folder_are_read_together(tmp_path: Path, kind: str) -> None:
    written(kind, tall_day(0, 10), tmp_path / "b.parquet")
    written(kind, tall_day(5, 15), tmp_path / "a.parquet")
    (tmp_path / ".hidden").write_bytes(b"x")

    rows, facts = source(kind, tmp_path, max_out_of_order_share=0.5).extract_described(ABC, DAY, 0)

    assert seconds(rows) == [0, 5, 10, 15]
    assert facts["rows_out_of_order" if kind == "tall_files" else "books_out_of_order"] > 0
    with pytest.raises(SourceError, match="step back"):
        source(kind, tmp_path).extract(ABC, DAY, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_covered_day_without_rows_is_empty_and_an_uncovered_one_refused(tmp_path: Path, kind: str) -> None:
    gap = written(kind, tall_day(-90_000, -5, 90_000), tmp_path / "gap.parquet")
    assert seconds(source(kind, gap).extract(ABC, DAY, 10)) == [-5]
    bare = written(kind, tall_day(0), tmp_path / "bare.parquet")
    write(pl.read_parquet(bare).clear(), bare)
    nothing = source(kind, bare).extract(ABC, DAY, 10)
    assert (nothing.height, dict(nothing.schema)) == (0, dict(TALL_SCHEMA))
    before = written(kind, tall_day(-90_000, -5), tmp_path / "before.parquet")
    with pytest.raises(
        SourceError, match=r"no row of the day, the files hold 2024-03-03 23:00:00\+00:00 to 2024-03-04"
    ):
        source(kind, before).extract(ABC, DAY, 10)


def test_of_repeated_instants_the_last_is_kept_where_that_is_configured(tmp_path: Path) -> None:
    frame = listed(tall_day(0, 10, 10, 10, 20)).with_columns(last_update_id=pl.Series([0, 3, 9, 4, 5]))
    path = write(frame, tmp_path / "again.parquet")

    rows, facts = source("depth_files", path, repeated_instants="keep_last").extract_described(ABC, DAY, 0)
    unnumbered = source("depth_files", path, repeated_instants="keep_last", batch=None).extract(ABC, DAY, 0)

    assert rows["batch_id"].unique(maintain_order=True).to_list() == [0, 9, 5]
    assert unnumbered.filter(pl.col("level") == 0)["bid_quantity"].to_list() == [1.0, 4.0, 5.0]
    assert (facts["books"], facts["books_of_repeated_instants"], facts["books_kept"]) == (5, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_deeper_levels_are_left_out_and_counted(tmp_path: Path, kind: str) -> None:
    path = written(kind, tall_day(0, 10, levels=4), tmp_path / "deep.parquet")

    rows, facts = source(kind, path, max_levels=2).extract_described(ABC, DAY, 0)

    assert rows.drop("batch_id").equals(tall_day(0, 10, levels=4).filter(pl.col("level") < 2).drop("batch_id"))
    assert facts["levels_beyond_max"] == (2 * 2 if kind == "tall_files" else 2 * 3)


def test_a_missing_level_in_between_stays_missing(tmp_path: Path) -> None:
    wide = tardis(tall_day(0, 10, levels=4)).with_columns(
        pl.when(pl.col("timestamp") == pl.col("timestamp").min()).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("bids[1].price", "bids[1].amount", "bids[3].price", "bids[3].amount")
    )
    rows = source("tardis_snapshots", write(wide, tmp_path / "w.csv")).extract(ABC, DAY, 0)

    assert rows["level"].to_list() == [0, 1, 2, 0, 1, 2, 3]
    assert rows["bid_price"].to_list()[:3] == [100.0, None, 99.98]
    assert rows["ask_price"].to_list()[-2:] == [100.52, None]


def test_a_book_without_any_level_is_not_lost(tmp_path: Path) -> None:
    wide = tardis(tall_day(0, 10)).with_columns(pl.selectors.contains("[").replace({100.0: None}))
    empty = wide.with_columns(pl.lit(None, pl.Float64).alias(name) for name in wide.columns[4:])
    path = write(pl.concat([wide.head(1), empty.tail(1)]), tmp_path / "w.csv")

    rows = source("tardis_snapshots", path).extract(ABC, DAY, 0)

    assert seconds(rows) == [0, 10]
    assert rows.tail(1).select(pl.nth(2, 3, 4, 5, 6)).row(0) == (0, None, None, None, None)


def test_levels_that_a_side_repeats_stay_repetitions(tmp_path: Path) -> None:
    layout = {"by": "side", "side": "side", "bid": "b", "ask": "a", "price": "price", "quantity": "size"}
    once = sided(tall_day(0, 10))
    path = write(pl.concat([once, once.head(1)]).sort("ts", maintain_order=True), tmp_path / "again.parquet")

    rows = source("tall_files", path, layout=layout).extract(ABC, DAY, 0)

    assert rows["level"].to_list() == [0, 0, 1, 0, 1]
    assert rows["ask_price"].to_list()[:2] == [100.5, 100.5]
    assert rows["bid_price"].null_count() == 1


def test_rows_in_any_order_are_brought_into_the_contracts(tmp_path: Path) -> None:
    tall = tall_day(*range(0, 100, 10), levels=5)
    path = write(tall.sample(fraction=1.0, shuffle=True, seed=7), tmp_path / "mixed.parquet")

    rows, facts = source("tall_files", path, max_out_of_order_share=1.0).extract_described(ABC, DAY, 0)

    assert rows.equals(tall)
    assert facts["rows_out_of_order"] > 0


def test_two_batches_of_an_instant_are_both_handed_out(tmp_path: Path) -> None:
    first, second = tall_day(0), tall_day(0).with_columns(batch_id=pl.lit(5, dtype=pl.Int64))
    path = write(pl.concat([first, second]), tmp_path / "twice.parquet")

    rows = source("tall_files", path).extract(ABC, DAY, 0)
    sampled = source("tall_files", path, snapshot_cadence_seconds=10, max_silence_seconds=10).extract(ABC, DAY, 0)

    assert rows.select("level", "batch_id").rows() == [(0, 0), (0, 5), (1, 0), (1, 5)]
    assert sampled.select("level", "batch_id").unique(maintain_order=True).rows() == [(0, 5), (1, 5)]


def sampled(kind: str, path: Path, cadence: int, silence: int, lead_in: int = 0) -> tuple[pl.DataFrame, dict[str, Any]]:
    built = source(kind, path, snapshot_cadence_seconds=cadence, max_silence_seconds=silence)
    rows: tuple[pl.DataFrame, dict[str, Any]] = built.extract_described(ABC, DAY, lead_in)
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_shows_the_last_book_within_the_silence(tmp_path: Path, kind: str) -> None:
    path = written(kind, tall_day(-4, 3, 9.5, 10, 12, 41), tmp_path / "fine.parquet")

    rows, facts = sampled(kind, path, 10, 15)

    assert seconds(rows) == [0, 10, 20, 50]
    quantities = rows.filter(pl.col("level") == 0)["bid_quantity"].to_list()
    assert quantities == [1.0, 4.0, 5.0, 6.0]
    assert facts["books_between_instants"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_looks_back_across_midnight_into_the_file_of_the_day_before(tmp_path: Path, kind: str) -> None:
    written(kind, tall_day(-25, -4), tmp_path / "2024-03-04.parquet")
    written(kind, tall_day(7), tmp_path / "2024-03-05.parquet")

    assert seconds(sampled(kind, tmp_path / "{day}.parquet", 10, 5)[0]) == [0, 10]


books = st.lists(st.integers(0, 300), min_size=0, max_size=20).map(lambda each: np.array(sorted(each), dtype=np.int64))


@given(books, st.integers(1, 40), st.integers(1, 60))
def test_sampling_equals_a_plain_search(instants: Any, cadence: int, silence: int) -> None:
    expected = []
    for instant in range(0, 250, cadence):
        known = [number for number, each in enumerate(instants) if each <= instant]
        if known and instant - instants[known[-1]] <= silence:
            expected.append((instant, known[-1]))

    grid, latest = sample_books(instants, 0, 250, cadence, silence)

    assert list(zip(grid.tolist(), latest.tolist(), strict=True)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_after_an_instant_changes_nothing_before_it(tmp_path: Path, kind: str) -> None:
    tall = tall_day(*np.arange(0, 300, 3.7).tolist())
    before, _ = sampled(kind, written(kind, tall, tmp_path / "whole.parquet"), 10, 60)
    for number, cut in enumerate(np.linspace(5, 290, 50).tolist()):
        later = pl.col("ts") > MIDNIGHT + timedelta(seconds=cut)
        changed = tall.with_columns(
            pl.when(later).then(pl.col(name) * 3).otherwise(pl.col(name)).alias(name)
            for name in ("bid_quantity", "ask_quantity")
        )
        if number % 2:
            changed = changed.filter(~later)
        after, _ = sampled(kind, written(kind, changed, tmp_path / "changed.parquet"), 10, 60)
        earlier = pl.col("ts") <= MIDNIGHT + timedelta(seconds=cut)
        assert after.filter(earlier).equals(before.filter(earlier)), cut


def test_facts_are_json_and_the_same_again(tmp_path: Path) -> None:
    import json  # noqa: PLC0415 -- the oracle of this test alone

    path = write(with_epoch(tall_day(0, 10)), tmp_path / "day.csv.gz")
    built = source("tall_files", path)
    facts = built.extract_described(ABC, DAY, 0)[1]

    assert json.loads(json.dumps(facts)) == facts == built.extract_described(ABC, DAY, 0)[1]
    (file,) = facts["files"]
    assert (file["file"], file["bytes"], file["rows"], file["time_unit"]) == (
        "day.csv.gz",
        path.stat().st_size,
        4,
        "us",
    )
    assert file["layout"] == "csv gzip, delimiter ',', header"
    assert str(tmp_path) not in json.dumps(facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"snapshot_cadence_seconds": 10, "max_silence_seconds": None},
        {"snapshot_cadence_seconds": None, "max_silence_seconds": 10},
        {"snapshot_cadence_seconds": 7, "max_silence_seconds": 10},
    ],
)
def test_half_a_sampling_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"belong together|does not divide a day"):
        source("tall_files", tmp_path, **changes)


def test_fixed_point_columns_are_divided(tmp_path: Path) -> None:
    exact = {"bid": 61222.01, "ask": 61222.02}
    frame = pl.DataFrame({"ts": [MIDNIGHT], "bid0": [6122201000000], "ask0": [6122202000000]})
    path = write(frame.with_columns(bid_size0=12345678, ask_size0=1), tmp_path / "fixed.parquet")
    prices = {"form": "price", "divisor": 1e8, "midpoint": None, "max_tick_error": None}

    rows = source("level_column_files", path, prices=prices, quantities={"form": "base", "divisor": 1e8}).extract(
        ABC, DAY, 0
    )

    assert rows.select(pl.nth(3, 4, 5, 6)).row(0) == (exact["bid"], 0.12345678, exact["ask"], 1e-8)


def test_distances_without_a_midpoint_are_refused(tmp_path: Path) -> None:
    prices = {"form": "distance", "divisor": 1.0, "midpoint": None, "max_tick_error": 0.1}
    with pytest.raises(ValidationError, match="write midpoint and max_tick_error"):
        source("level_column_files", tmp_path, prices=prices)
