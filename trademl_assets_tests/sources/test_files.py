"""Importing compressed snapshots and listed books from Parquet files."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, snapshot_schema
from trademl_assets.sources.files import (
    DepthFilesParameters,
    DepthFilesSource,
    SnapshotFilesParameters,
    SnapshotFilesSource,
)
from trademl_assets_tests.sources.binance_messages import DAY, instrument, list_capture, source

SLOTS = 3
ABC = instrument()
MIDNIGHT = datetime(2024, 3, 5, tzinfo=UTC)
CAPS: dict[str, Any] = {"max_rows": 1_000, "max_file_bytes": 1_000_000}


def snapshots(*seconds: int) -> pl.DataFrame:
    """Compressed snapshots `seconds` after the day's midnight."""
    levels = np.tile(np.array([0.5, 1.5, np.nan], dtype=np.float32), (len(seconds), 1))
    rows: dict[str, Any] = {
        "ts": [MIDNIGHT + timedelta(seconds=second) for second in seconds],
        "batch_id": list(seconds),
        "mid": [100.5] * len(seconds),
        "spread_bps": [99.5] * len(seconds),
        "microprice_bps": [0.0] * len(seconds),
        "locked": [False] * len(seconds),
    }
    return pl.DataFrame({**rows, **dict.fromkeys(SNAPSHOT_ARRAYS, levels)}, schema=snapshot_schema(SLOTS))


def books(*seconds: int) -> pl.DataFrame:
    """Books as lists `seconds` after the day's midnight."""
    return pl.DataFrame(
        {
            "ts": [MIDNIGHT + timedelta(seconds=second) for second in seconds],
            "venue": ["spot"] * len(seconds),
            "last_update_id": list(seconds),
            "bid_price": [[100.0, 99.0, 98.0]] * len(seconds),
            "bid_size": [[1.0, 2.0, 3.0]] * len(seconds),
            "ask_price": [[101.0]] * len(seconds),
            "ask_size": [[4.0]] * len(seconds),
        }
    )


def snapshot_source(path: Path, **changes: Any) -> SnapshotFilesSource:
    settings = {"files": {"ABC": str(path)}, "slots": SLOTS, **CAPS, **changes}
    return SnapshotFilesSource(SnapshotFilesParameters.model_validate_json(json.dumps(settings)), {"ABC": ABC})


def depth_source(path: Path, **changes: Any) -> DepthFilesSource:
    settings = {"files": {"ABC": str(path)}, "equal": {"ABC": {"venue": "spot"}}, "max_levels": 2, **CAPS, **changes}
    return DepthFilesSource(DepthFilesParameters.model_validate_json(json.dumps(settings)), {"ABC": ABC})


def refusal_of(path: Path, **changes: Any) -> str:
    with pytest.raises(SourceError) as refusal:
        snapshot_source(path, **changes).snapshots(ABC, DAY, 0)
    assert "ABC on 2024-03-05" in str(refusal.value)
    assert "->" in str(refusal.value), "a refusal says what to do"
    return str(refusal.value)


def test_one_file_holds_several_days(tmp_path: Path) -> None:
    snapshots(-90_000, -20, -10, 0, 10, 86_399, 86_400).write_parquet(tmp_path / "all.parquet")

    imported = snapshot_source(tmp_path / "all.parquet").snapshots(ABC, DAY, 15)

    assert imported.equals(snapshots(-10, 0, 10, 86_399))


def test_a_file_a_day_with_its_lead_in_from_the_day_before(tmp_path: Path) -> None:
    snapshots(-20, -10).write_parquet(tmp_path / "2024-03-04.parquet")
    snapshots(0, 10).write_parquet(tmp_path / "2024-03-05.parquet")

    assert snapshot_source(tmp_path / "{day}.parquet").snapshots(ABC, DAY, 15).equals(snapshots(-10, 0, 10))


def test_the_first_day_has_no_lead_in(tmp_path: Path) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "2024-03-05.parquet")

    assert snapshot_source(tmp_path / "{day}.parquet").snapshots(ABC, DAY, 15).equals(snapshots(0, 10))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "2024-03-05.parquet" in refusal_of(tmp_path / "{day}.parquet")


@pytest.mark.parametrize("kept", [0, 4, 200, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:kept])

    assert "cut.parquet" in refusal_of(tmp_path / "cut.parquet")


def test_damaged_pages_are_refused(tmp_path: Path) -> None:
    snapshots(*range(100)).write_parquet(tmp_path / "bad.parquet")
    content = bytearray((tmp_path / "bad.parquet").read_bytes())
    content[4:60] = bytes(56)
    (tmp_path / "bad.parquet").write_bytes(content)

    assert "bad.parquet" in refusal_of(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (snapshots(0, 10).drop("mid"), "lacks the columns mid"),
        (snapshots(0, 10).with_columns(pl.col("mid").cast(pl.Float32)), "column mid is Float32"),
        (snapshots(0, 10).with_columns(pl.col("ts").cast(pl.String)), "another layout"),
        (snapshots(0, 10).with_columns(pl.col("ts").dt.replace_time_zone(None)), "another layout"),
        (snapshots(0, 10).with_columns(pl.col("ts").dt.cast_time_unit("ms")), "column ts"),
        (snapshots(0, 10).with_columns(mid=pl.lit(None, dtype=pl.Float64)), "nulls in mid"),
        (snapshots(10, 0), "step back"),
        (snapshots(0, 0), "repeat"),
        (snapshots(-5), "no row of the day"),
        (snapshots(), "no row of the day"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, frame: pl.DataFrame, part: str) -> None:
    frame.write_parquet(tmp_path / "odd.parquet")

    assert part in refusal_of(tmp_path / "odd.parquet")


def test_a_file_of_another_width_is_refused(tmp_path: Path) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "wide.parquet")

    assert "check slots" in refusal_of(tmp_path / "wide.parquet", slots=4)


def test_a_file_that_declares_too_much_is_refused_unread(tmp_path: Path) -> None:
    snapshots(*range(50)).write_parquet(tmp_path / "big.parquet")

    assert "declares 50 rows" in refusal_of(tmp_path / "big.parquet", max_rows=49)
    assert "raise max_rows or max_file_bytes" in refusal_of(tmp_path / "big.parquet", max_file_bytes=100)


def test_files_of_an_unknown_instrument_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown instruments XYZ"):
        snapshot_source(tmp_path, files={"XYZ": "x.parquet"})


def test_listed_books_become_tall_rows(tmp_path: Path) -> None:
    other = books(1, 11).with_columns(venue=pl.lit("usdm"))
    pl.concat([books(-10, 0, 10), other]).sort("ts").write_parquet(tmp_path / "books.parquet")

    tall = depth_source(tmp_path / "books.parquet").extract(ABC, DAY, 0)

    assert tall["batch_id"].to_list() == [0, 0, 10, 10]
    assert tall["level"].to_list() == [0, 1, 0, 1]
    assert tall["bid_price"].to_list() == [100.0, 99.0, 100.0, 99.0]
    assert tall["bid_quantity"].to_list() == [1.0, 2.0, 1.0, 2.0]
    assert tall["ask_price"].to_list() == [101.0, None, 101.0, None]
    assert tall["ask_quantity"].to_list() == [4.0, None, 4.0, None]


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (books(0, 10).with_columns(bid_size=pl.lit([1.0])), "prices without sizes"),
        (books(0, 10).with_columns(bid_size=pl.lit(None, dtype=pl.List(pl.Float64))), "prices without sizes"),
        (books(0, 10).with_columns(bid_price=pl.lit("many")), "other types"),
        (books(0, 10).drop("venue"), "another layout"),
    ],
)
def test_listed_books_of_another_layout_are_refused(tmp_path: Path, frame: pl.DataFrame, part: str) -> None:
    frame.write_parquet(tmp_path / "odd.parquet")

    with pytest.raises(SourceError, match=part) as refusal:
        depth_source(tmp_path / "odd.parquet").extract(ABC, DAY, 0)
    assert "odd.parquet" in str(refusal.value)


def test_listed_books_equal_the_books_rebuilt_from_the_capture(market_data: Path) -> None:
    day = date(2020, 11, 1)
    folder = market_data / "lob-binance-ethbtc-1000lvl"
    ethbtc = instrument("ABC", "spot", "ETHBTC")
    stem = folder / "raw" / "ETHBTC_2020-11-01T09-00-00"
    capture = list_capture(Path(f"{stem}_snapshot.json.gz"), Path(f"{stem}_update.json.gz"), day)
    rebuilt = source(ethbtc, capture, cadence_seconds=10, max_levels=1000, max_file_bytes=100_000_000)

    listed = depth_source(
        folder / "ETHBTC_snapshots_10s.parquet", equal={}, max_levels=1000, max_file_bytes=100_000_000
    )

    assert listed.extract(ethbtc, day, 0).equals(rebuilt.extract(ethbtc, day, 0))
