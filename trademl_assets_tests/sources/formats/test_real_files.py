"""Real files, with the counts that were measured on them."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import SourceError
from trademl_assets.order_book.quality import clean_tall_rows
from trademl_assets.sources.contracts import require_contract, tall_contract
from trademl_assets_tests.order_book.books import QUALITY
from trademl_assets_tests.sources.formats.configured import instrument, source

FUTURES = {"BTCUSDT": 220, "ETHUSDT": 217, "SOLUSDT": 215, "BNBUSDT": 228}
COINBASE: dict[str, Any] = {
    "time": {"column": "system_time", "unit": "sniff", "zone": None},
    "columns": {
        "bid_price": "bids_distance_{level}",
        "bid_quantity": "bids_notional_{level}",
        "ask_price": "asks_distance_{level}",
        "ask_quantity": "asks_notional_{level}",
    },
    "prices": {"form": "distance", "divisor": 1.0, "midpoint": "midpoint", "max_tick_error": 0.001},
    "quantities": {"form": "notional", "divisor": 1.0},
}
LOBSTER: dict[str, Any] = {
    "time": {"column": "Secs", "unit": "seconds_of_day", "zone": "America/New_York"},
    "columns": {
        "bid_price": "Bidp{level}",
        "bid_quantity": "Bids{level}",
        "ask_price": "Askp{level}",
        "ask_quantity": "Asks{level}",
    },
    "repeated_instants": "keep_last",
}


def imported(
    kind: str, path: Path, day: date, symbol: str = "ABCUSDT", **changes: Any
) -> tuple[pl.DataFrame, dict[str, Any]]:
    of = instrument(symbol=symbol)
    rows, facts = source(kind, path, of, **changes).extract_described(of, day, 0)
    require_contract(rows, tall_contract(), path.name)
    return rows, facts


def quality_of(rows: pl.DataFrame, day: date) -> Any:
    return clean_tall_rows(rows, "ABC", day, QUALITY)[1]


def levels_a_side(rows: pl.DataFrame) -> list[int]:
    counts = rows.group_by("ts").agg(pl.col("bid_price").count(), pl.col("ask_price").count())
    return sorted({*counts["bid_price"], *counts["ask_price"]})


def test_futures_with_json_levels(market_data: Path) -> None:
    day, instants = date(2024, 9, 21), []
    for symbol, books in FUTURES.items():
        path = market_data / "lob-binance-futures-100lvl" / (symbol + "_{day}.parquet")
        rows, facts = imported("json_level_files", path, day, symbol)
        report = quality_of(rows, day)
        instants += rows["ts"].unique().to_list()

        assert (report.snapshots, report.kept_snapshots) == (books, books)
        assert facts["files"][0]["time_unit"] == "ms"
        assert levels_a_side(rows)[0] >= 96
        assert levels_a_side(rows)[-1] == 100
    assert len(instants) == len(set(instants)) == sum(FUTURES.values())


def test_json_levels_are_those_of_a_plain_parser(market_data: Path) -> None:
    import json  # noqa: PLC0415 -- the oracle of this test alone

    path = market_data / "lob-binance-futures-100lvl" / "SOLUSDT_2024-09-21.parquet"
    rows, _ = imported("json_level_files", path, date(2024, 9, 21))
    for text, (_, book) in zip(pl.read_parquet(path)["b"], rows.group_by("ts", maintain_order=True), strict=True):
        expected = [(float(price), float(quantity)) for price, quantity in json.loads(text)]
        assert book.select("bid_price", "bid_quantity").drop_nulls().rows() == expected


@pytest.mark.parametrize("name", ["BTC_1min.parquet", "BTC_1min_original_format.csv.gz"])
def test_coinbase_distances_become_prices_on_the_tick(market_data: Path, name: str) -> None:
    path = market_data / "lob-coinbase-btc-1min-15lvl" / name
    days = [imported("level_column_files", path, date(2021, 4, day), **COINBASE)[0] for day in (17, 18)]
    rows = pl.concat(days)
    written = pl.read_parquet(path.with_name("BTC_1min.parquet"))

    assert rows.height == 400 * 15
    assert rows["ts"].n_unique() == 400
    assert levels_a_side(rows) == [15]
    best = rows.filter(pl.col("level") == 0)
    np.testing.assert_allclose(best["ask_price"] - best["bid_price"], written["spread"], atol=1e-6)
    assert rows.select((pl.col("bid_price") * 100 - (pl.col("bid_price") * 100).round()).abs().max()).item() < 1e-6
    fifth = rows.filter(pl.col("level") == 5)
    np.testing.assert_allclose(fifth["bid_price"] * fifth["bid_quantity"], written["bids_notional_5"], rtol=1e-12)
    reports = [quality_of(frame, date(2021, 4, day)) for frame, day in zip(days, (17, 18), strict=True)]
    empty = written.filter((pl.col("bids_notional_0") == 0) | (pl.col("asks_notional_0") == 0)).height
    assert [report.crossed_snapshots for report in reports] == [0, 0]
    assert sum(report.one_sided_snapshots for report in reports) == empty == 3
    assert sum(report.kept_snapshots for report in reports) == 400 - empty


def test_a_wrong_tick_is_noticed(market_data: Path) -> None:
    path = market_data / "lob-coinbase-btc-1min-15lvl" / "BTC_1min.parquet"
    of = instrument(tick_size=0.03)
    with pytest.raises(SourceError, match="off a tick"):
        source("level_column_files", path, of, **COINBASE).extract(of, date(2021, 4, 17), 0)


def test_lobster_seconds_count_from_midnight_in_new_york(market_data: Path) -> None:
    day = date(2012, 6, 21)
    path = market_data / "lob-nasdaq-amzn-l1" / "AMZN_{day}.parquet"
    rows, facts = imported("level_column_files", path, day, **LOBSTER)

    assert facts["books"] == 16_903
    assert facts["books_kept"] + facts["books_of_repeated_instants"] == 16_903
    assert rows["ts"][0].isoformat() == "2012-06-21T16:22:33.639827+00:00"
    report = quality_of(rows, day)
    assert (report.crossed_snapshots, report.dropped_snapshots) == (0, 0)


@pytest.mark.parametrize("depth", [5, 25])
def test_tardis_snapshots(market_data: Path, depth: int) -> None:
    path = market_data / "lob-format-samples" / f"tardis_binance-futures_book_snapshot_{depth}_BTCUSDT.csv"
    rows, facts = imported("tardis_snapshots", path, date(2020, 9, 1), "BTCUSDT")

    assert (rows.height, levels_a_side(rows), facts["books_kept"]) == (10 * depth, [depth], 10)
    assert rows["ts"][0].isoformat() == "2020-09-01T00:00:03.696000+00:00"
    assert rows.row(1)[2:] == (1, *((11656.97, 0.2, 11657.54, 5.4) if depth == 5 else rows.row(1)[3:]))
    with pytest.raises(SourceError, match=r"seen were .*BTCUSDT"):
        imported("tardis_snapshots", path, date(2020, 9, 1), "ETHUSDT")


def test_listed_books_of_six_instruments(market_data: Path) -> None:
    path, day = market_data / "lob-binance-multivenue" / "snapshots_10s.parquet", date(2024, 8, 8)
    counted = 0
    for venue, suffix in (("spot", "USDT"), ("usdm", "USDT"), ("cm", "USD_PERP")):
        for coin in ("BTC", "ETH"):
            equal = {"ABC": {"venue": venue, "symbol": coin + suffix}}
            rows, facts = imported("depth_files", path, day, equal=equal)
            report = quality_of(rows, day)
            assert (report.snapshots, report.crossed_snapshots) == (34, 0)
            assert facts["files"][0]["rows_of_others"] == 204 - 34
            assert levels_a_side(rows)[0] >= 910
            counted += report.snapshots
    assert counted == 204


def test_listed_books_of_an_hour(market_data: Path) -> None:
    path, day = market_data / "lob-binance-ethbtc-1000lvl" / "ETHBTC_snapshots_10s.parquet", date(2020, 11, 1)
    rows, _ = imported("depth_files", path, day)

    report = quality_of(rows, day)
    assert (report.snapshots, report.kept_snapshots) == (360, 360)


def test_stale_orders_of_bitstamp_cross_or_lock_nine_books(market_data: Path) -> None:
    path, day = market_data / "lob-bitstamp-l3" / "snapshots_10s.parquet", date(2015, 5, 1)
    rows, _ = imported("depth_files", path, day, batch=None)
    best = rows.filter(pl.col("level") == 0)

    report = quality_of(rows, day)
    assert (report.snapshots, report.crossed_snapshots, report.locked_snapshots) == (899, 3, 6)
    touching = best.filter(pl.col("bid_price") >= pl.col("ask_price"))
    assert touching.height == 9
    assert touching["ts"][0].isoformat()[11:19] == "00:07:00"


def test_volumes_that_are_sums_over_levels_are_refused(market_data: Path) -> None:
    path = market_data / "lob-btc-top-5s" / "BTC_top_of_book.parquet"
    with pytest.raises(SourceError, match="sums over several levels, so no level's quantity is known"):
        imported("level_column_files", path, date(2026, 6, 15))
