"""Real books, with the counts that were measured on them."""

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from trademl_assets.order_book.quality import RejectedDayError, clean_tall_rows
from trademl_assets.sources.contract import INSTANT, TALL_SCHEMA
from trademl_assets_tests.order_book.corruptions import tolerant

LIVELY = {"stuck_feed_seconds": 30.0, "outlier_robust_z": 20.0, "fat_finger_seconds": 10.0}


def tall_of(lists: pl.DataFrame) -> pl.DataFrame:
    """Tall rows of snapshots whose sides are lists."""
    numbered = lists.with_columns(pl.col("ts").cast(INSTANT)).with_row_index("batch_id")
    sides = [
        numbered.select("ts", "batch_id", f"{side}_price", f"{side}_size")
        .explode(f"{side}_price", f"{side}_size")
        .with_columns(level=pl.int_range(pl.len()).over("ts"))
        .rename({f"{side}_size": f"{side}_quantity"})
        for side in ("bid", "ask")
    ]
    both = sides[0].join(sides[1], on=["ts", "batch_id", "level"], how="full", coalesce=True)
    return both.select(pl.col(name).cast(kind) for name, kind in TALL_SCHEMA.items()).sort("ts", "level")


def test_bitstamp_has_three_crossed_and_six_locked_books(market_data: Path) -> None:
    lists, day = pl.read_parquet(market_data / "lob-bitstamp-l3" / "snapshots_10s.parquet"), date(2015, 5, 1)
    tall, best = tall_of(lists), lists.select(pl.col("bid_price", "ask_price").list.first())

    rows, report = clean_tall_rows(tall, "BTCUSD", day, tolerant(max_crossed_share=3 / 899, **LIVELY))

    assert best.filter(pl.col("bid_price") >= pl.col("ask_price")).height == 9
    assert (report.snapshots, report.crossed_snapshots, report.locked_snapshots) == (899, 3, 6)
    assert (report.dropped_snapshots, report.flagged_snapshots) == (3, 6)
    assert rows["ts"].n_unique() == 896
    assert report.by_hour["crossed_snapshots"][0] == 3
    with pytest.raises(
        RejectedDayError, match=r"BTCUSD 2015-05-01: 3 of 899 .*\(0\.334%\), at most 0\.333%"
    ) as refused:
        clean_tall_rows(tall, "BTCUSD", day, tolerant(max_crossed_share=0.00333, **LIVELY))
    assert refused.value.cause == "crossed"
    assert refused.value.report.crossed_snapshots == 3


def test_six_instruments_on_three_venues_are_clean(market_data: Path) -> None:
    lists = pl.read_parquet(market_data / "lob-binance-multivenue" / "snapshots_1s.parquet")
    for (venue, symbol), mine in lists.group_by("venue", "symbol", maintain_order=True):
        report = clean_tall_rows(tall_of(mine), f"{venue} {symbol}", date(2024, 8, 8), tolerant(**LIVELY))[1]

        assert report.snapshots == mine.height
        assert (report.dropped_snapshots, report.flagged_snapshots) == (0, 0)
        assert report.gaps == 1  # from midnight on: the capture ends with the day
        assert 340 < report.coverage_seconds < 350


def test_an_hour_of_ethbtc_is_clean(market_data: Path) -> None:
    lists = pl.read_parquet(market_data / "lob-binance-ethbtc-1000lvl" / "ETHBTC_snapshots_1s.parquet")
    report = clean_tall_rows(tall_of(lists), "ETHBTC", date(2020, 11, 1), tolerant(**LIVELY))[1]

    assert (report.snapshots, report.kept_snapshots) == (3_599, 3_599)
    assert (report.crossed_snapshots, report.stuck_snapshots, report.fat_finger_mids) == (0, 0, 0)
    assert report.gaps == 2  # before and after the hour
    assert report.coverage_seconds == (lists["ts"][-1] - lists["ts"][0]).total_seconds()


def test_three_outages_are_found_as_gaps_where_they_were(market_data: Path) -> None:
    top = pl.read_parquet(market_data / "lob-btc-top-5s" / "BTC_top_of_book.parquet")
    tall = top.select(
        ts=pl.col("timestamp").dt.replace_time_zone("UTC"),
        batch_id=pl.int_range(pl.len()),
        level=pl.lit(0),
        bid_price="best_bid",
        bid_quantity="bid_volume",
        ask_price="best_ask",
        ask_quantity="ask_volume",
    ).select(pl.col(name).cast(kind) for name, kind in TALL_SCHEMA.items())

    report = clean_tall_rows(tall, "BTC", date(2026, 6, 15), tolerant(**LIVELY))[1]

    before, *outages, after = report.longest_gaps
    assert (report.snapshots, report.dropped_snapshots, report.gaps) == (6_000, 0, 5)
    assert [round(seconds) for _, seconds in outages] == [2_323, 6_208, 3_283]
    ends = [datetime.fromisoformat(start).timestamp() + seconds for start, seconds in outages]
    assert [f"{datetime.fromtimestamp(end, tz=tall['ts'][0].tzinfo):%H:%M:%S}" for end in ends] == [
        "11:28:13",
        "13:49:06",
        "15:33:39",
    ]
    span = (tall["ts"][-1] - tall["ts"][0]).total_seconds()
    assert (report.outlier_mids, report.fat_finger_mids) == (0, 0)  # the moves across the outages are no faults
    assert report.coverage_seconds + report.stuck_seconds == pytest.approx(span - sum(gap for _, gap in outages))
    assert before[0].startswith("2026-06-15T00:00:00")
    assert after[0].startswith("2026-06-15T18:25:56")
