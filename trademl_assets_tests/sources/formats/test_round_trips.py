"""A known day, written in each format and read back, is the same bit for bit."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.foundation.input_files import noting_inputs
from trademl_assets.order_book.quality import clean_tall_rows
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.contracts import require_contract, tall_contract
from trademl_assets_tests.order_book.books import QUALITY
from trademl_assets_tests.sources.formats.configured import ABC, DAY, MIDNIGHT, PLAIN_NAMES, source, tall_day
from trademl_assets_tests.sources.formats.written_days import (
    book_ticker,
    json_levels,
    listed,
    numbered,
    sided,
    tardis,
    with_epoch,
    write,
)

SIDED = {"by": "side", "side": "side", "bid": "b", "ask": "a", "price": "price", "quantity": "size"}
NUMBERED = {"columns": {name: name + "{level}" for name in PLAIN_NAMES}, "batch": "batch_id"}

prices = st.floats(1e-6, 1e6, allow_nan=False)
quantities = st.floats(0.0, 1e9, allow_nan=False)
sides = st.lists(st.tuples(prices, quantities), min_size=1, max_size=4, unique_by=lambda level: level[0])


@st.composite
def tall_days(draw: st.DrawFn, *, most_levels: int = 4) -> pl.DataFrame:
    """Books at distinct milliseconds, each side with one level at least, best first."""
    offsets = sorted(draw(st.lists(st.integers(0, 86_399_999), min_size=1, max_size=5, unique=True)))
    rows = []
    for batch, offset in enumerate(offsets):
        bids = sorted(draw(sides), reverse=True)[:most_levels]
        asks = sorted(draw(sides))[:most_levels]
        for level in range(max(len(bids), len(asks))):
            bid, ask = (side[level] if level < len(side) else (None, None) for side in (bids, asks))
            rows.append((MIDNIGHT + timedelta(milliseconds=offset), batch, level, *bid, *ask))
    return pl.DataFrame(rows, schema=dict(TALL_SCHEMA), orient="row")


def unnumbered(tall: pl.DataFrame) -> pl.DataFrame:
    """The same day as a format hands it out that knows no sequence numbers."""
    return tall.with_columns(batch_id=pl.lit(0, dtype=pl.Int64))


def read_back(kind: str, path: Path, **changes: Any) -> pl.DataFrame:
    with noting_inputs() as inputs:
        rows: pl.DataFrame = source(kind, path, **changes).extract(ABC, DAY, 0)
    assert str(path) in inputs, "a changed file would not be noticed"
    require_contract(rows, tall_contract(), kind)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("days")


@given(tall=tall_days())
@settings(max_examples=15, deadline=None)
def test_tall_rows_come_back_from_every_container(folder: Path, tall: pl.DataFrame) -> None:
    for name in ("day.parquet", "day.csv", "day.csv.gz", "day.csv.zst", "day.csv.zip"):
        assert read_back("tall_files", write(tall, folder / name)).equals(tall), name
    for unit in ("ms", "us", "ns"):
        assert read_back("tall_files", write(with_epoch(tall, unit), folder / "epoch.csv")).equals(tall), unit


@given(tall=tall_days(), delimiter=st.sampled_from([",", ";", "\t", "|"]))
@settings(max_examples=15, deadline=None)
def test_rows_of_one_side_come_back_with_and_without_levels(folder: Path, tall: pl.DataFrame, delimiter: str) -> None:
    path = write(with_epoch(sided(tall)), folder / "sided.csv", separator=delimiter)

    assert read_back("tall_files", path, layout=SIDED).equals(tall)
    assert read_back("tall_files", path, layout=SIDED, level=None).equals(tall)


@given(tall=tall_days(), first=st.sampled_from([0, 1]))
@settings(max_examples=15, deadline=None)
def test_columns_of_levels_come_back(folder: Path, tall: pl.DataFrame, first: int) -> None:
    wide = numbered(tall, lambda quality, level: f"{quality}{level}", first=first)
    for name in ("wide.parquet", "wide.csv"):
        assert read_back("level_column_files", write(wide, folder / name), **NUMBERED).equals(tall), name


@given(tall=tall_days())
@settings(max_examples=15, deadline=None)
def test_lists_json_and_tardis_come_back(folder: Path, tall: pl.DataFrame) -> None:
    assert read_back("depth_files", write(listed(tall), folder / "lists.parquet")).equals(tall)
    for name in ("json.parquet", "json.csv.gz"):
        assert read_back("json_level_files", write(json_levels(tall), folder / name)).equals(unnumbered(tall)), name
    assert read_back("tardis_snapshots", write(tardis(tall), folder / "tardis.csv")).equals(unnumbered(tall))


@given(tall=tall_days(most_levels=1), header=st.booleans())
@settings(max_examples=15, deadline=None)
def test_best_bids_and_asks_come_back(folder: Path, tall: pl.DataFrame, header: bool) -> None:  # noqa: FBT001 -- drawn
    path = write(book_ticker(tall), folder / "ABCUSDT-bookTicker-2024-03-05.zip", include_header=header)

    assert read_back("binance_book_ticker", path).equals(tall)


def test_what_comes_back_passes_the_quality_rules(folder: Path) -> None:
    tall = tall_day(*range(0, 600, 10), levels=3)
    files = {
        "tall_files": write(tall, folder / "chain.csv.gz"),
        "depth_files": write(listed(tall), folder / "chain.parquet"),
        "json_level_files": write(json_levels(tall), folder / "chain.json.csv"),
        "tardis_snapshots": write(tardis(tall), folder / "chain.csv"),
    }
    for kind, path in files.items():
        kept, report = clean_tall_rows(read_back(kind, path), "ABC", DAY, QUALITY)[:2]

        assert kept.drop("batch_id").equals(tall.drop("batch_id")), kind
        assert (report.kept_snapshots, report.out_of_order_rows) == (60, 0)
