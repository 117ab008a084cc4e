"""Books rebuilt from real order events, against the books derived by another program."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trademl_assets_tests.sources.events.event_files import ORDERS, build, instrument
from trademl_assets_tests.sources.events.test_binance_real_books import LISTS, as_lists

DAY = date(2015, 5, 1)
READING = {"max_file_bytes": 100_000_000, "snapshot_cadence_seconds": 10, "max_levels": 1000}
AFTER_THE_FILE_ENDS = 21  # 187 orders are older than the whole source, 166 of them have an event before 02:30


def replayed(market_data: Path, name: str, **overrides: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    of = instrument("spot", "BTCUSD")
    day = DAY.isoformat()
    file = market_data / "lob-bitstamp-l3" / name
    capture = {"orders": str(file), "volume_decimals": 8, "first_day": day, "last_day": day}
    settings = {**ORDERS, **READING, **overrides}
    tall, facts = build("order_events", of, capture, **settings).extract_described(of, DAY, 0)
    return tall, facts["captures"][0]


def crossed(books: pl.DataFrame) -> pl.DataFrame:
    return books.filter(pl.col("bid_price").list.first() >= pl.col("ask_price").list.first())


def test_orders_older_than_the_capture_are_there_from_their_first_event(market_data: Path) -> None:
    known = pl.read_parquet(market_data / "lob-bitstamp-l3" / "snapshots_10s.parquet")

    tall, facts = replayed(market_data, "orders.parquet", initial_orders="from_first_event")

    books = as_lists(tall)
    assert facts["diffs"] == 27_242
    assert facts["older_orders"] == 187 - AFTER_THE_FILE_ENDS
    assert facts["odd_events"] == {"after_their_end": 13, "created_twice": 2, "unknown_orders": 0}
    assert books["ts"].to_list() == known["ts"].to_list()
    assert len(books) == 899
    assert len(crossed(books)) == 9
    assert str(crossed(books)["ts"][0]) == "2015-05-01 00:07:00+00:00"
    differences: set[tuple[str, float, int]] = set()
    for ours, theirs in zip(books.iter_rows(named=True), known.iter_rows(named=True), strict=True):
        at_once = set()
        for side in ("bid", "ask"):
            both = [dict(zip(book[f"{side}_price"], book[f"{side}_size"], strict=True)) for book in (ours, theirs)]
            for price in both[0].keys() | both[1].keys():
                lacking = round((both[1].get(price, 0.0) - both[0].get(price, 0.0)) * 1e8)
                if lacking:
                    at_once.add((side, price, lacking))
        differences |= at_once
        assert len(at_once) == AFTER_THE_FILE_ENDS
    # The same 21 orders in all 899 books: those whose first event lies behind the end of the file.
    assert len(differences) == AFTER_THE_FILE_ENDS
    assert all(lacking > 0 for _, _, lacking in differences)


def test_a_book_of_orders_may_begin_empty(market_data: Path) -> None:
    tall, facts = replayed(market_data, "orders.parquet", warm_up_seconds=600)

    assert tall["ts"].n_unique() == facts["instants"] == 839
    assert facts["instants_left_out"] == {"warm_up": 60}
    assert facts["older_orders"] == 0
    assert facts["odd_events"]["unknown_orders"] == 166


@pytest.mark.parametrize("initial_orders", ["from_first_event", "warm_up"])
def test_the_original_csv_gives_the_same_books(market_data: Path, initial_orders: str) -> None:
    from_csv, facts = replayed(market_data, "orders_first5000.csv.gz", initial_orders=initial_orders)
    from_parquet, _ = replayed(market_data, "orders.parquet", initial_orders="warm_up")

    assert facts["diffs"] == 5000
    assert set(LISTS) <= set(from_csv.columns)
    if initial_orders == "warm_up":
        same = from_parquet.filter(pl.col("ts") <= from_csv["ts"].max())
        assert from_csv.drop("batch_id").equals(same.drop("batch_id"))
    else:
        assert facts["older_orders"] == 103


def test_only_the_book_that_begins_empty_is_free_of_what_comes_later(market_data: Path, tmp_path: Path) -> None:
    events = pl.read_parquet(market_data / "lob-bitstamp-l3" / "orders.parquet").head(3000)
    of, day = instrument("spot", "BTCUSD"), DAY.isoformat()

    def books(count: int) -> pl.DataFrame:
        events.head(count).write_parquet(tmp_path / "orders.parquet")
        file = str(tmp_path / "orders.parquet")
        capture = {"orders": file, "volume_decimals": 8, "first_day": day, "last_day": day}
        return build("order_events", of, capture, **{**ORDERS, **READING}).extract(of, DAY, 0)

    whole = books(3000)
    for count in range(400, 3000, 50):
        cut = books(count)
        assert cut.equals(whole.filter(pl.col("ts") <= cut["ts"].max()))
