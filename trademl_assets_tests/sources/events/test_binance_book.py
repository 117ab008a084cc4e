"""The rules by which a book is built, sampled and refused, on small captures with known answers."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.foundation.calendar import day_start
from trademl_assets.foundation.errors import SequenceGapError, SourceError
from trademl_assets.sources.events.book_builder import BookBuilder
from trademl_assets.sources.events.continuity import SpotChain
from trademl_assets.sources.events.messages import DepthDiff, InitialBook
from trademl_assets.sources.events.price_keys import PriceKeys
from trademl_assets_tests.sources.events.binance_messages import (
    DAY,
    answer,
    diff,
    instrument,
    line,
    source,
    write_lines,
    write_list,
)

BIDS = [("100.00", "1.0"), ("99.50", "2.0")]
ASKS = [("100.50", "3.0"), ("101.00", "4.0")]
START = answer(10, BIDS, ASKS)


def seconds_of(tall: pl.DataFrame) -> list[float]:
    return [(ts - day_start(DAY)).total_seconds() for ts in tall["ts"].unique(maintain_order=True)]


def book_at(tall: pl.DataFrame, second: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    rows = tall.filter(pl.col("ts") == day_start(DAY) + timedelta(seconds=second))
    bids = rows.select("bid_price", "bid_quantity").drop_nulls().rows()
    asks = rows.select("ask_price", "ask_quantity").drop_nulls().rows()
    return bids, asks


def spot_stream(folder: Path, *messages: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    return write_lines(folder / "capture.gz", [line(second, message) for second, message in messages])


def test_quantities_are_absolute_and_zero_removes(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(
        tmp_path,
        (0.5, START),
        (0.8, diff(0.8, 11, 12, bids=[("100.00", "0.00"), ("99.75", "5.5")], asks=[("100.50", "0.25")])),
        (1.2, diff(1.2, 13, 13, asks=[("100.25", "9")])),
        (2.0, diff(2.0, 14, 14, bids=[("99.50", "0")])),
    )

    tall = source(abc, capture).extract(abc, DAY, 0)

    assert seconds_of(tall) == [1.0, 2.0]
    assert book_at(tall, 1.0) == ([(99.75, 5.5), (99.5, 2.0)], [(100.5, 0.25), (101.0, 4.0)])
    assert book_at(tall, 2.0) == ([(99.75, 5.5)], [(100.25, 9.0), (100.5, 0.25), (101.0, 4.0)])
    assert tall["batch_id"].unique(maintain_order=True).to_list() == [12, 14]


def test_a_shallow_side_is_null_beyond_its_levels(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(tmp_path, (0.5, answer(10, BIDS[:1], ASKS)), (1.5, diff(1.5, 11, 11)))

    tall = source(abc, capture).extract(abc, DAY, 0)

    assert tall["level"].to_list() == [0, 1]
    assert tall["bid_price"].to_list() == [100.0, None]
    assert tall["bid_quantity"].to_list() == [1.0, None]


def test_only_the_best_levels_are_kept(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(tmp_path, (0.5, START), (1.5, diff(1.5, 11, 11)))

    tall = source(abc, capture, max_levels=1).extract(abc, DAY, 0)

    assert book_at(tall, 1.0) == ([(100.0, 1.0)], [(100.5, 3.0)])


def test_diffs_received_before_the_answer_wait_for_it(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(
        tmp_path,
        (0.1, diff(0.1, 8, 9, bids=[("98.00", "7")])),  # contained in the answer
        (0.2, diff(0.2, 10, 11, bids=[("99.50", "6")])),  # lastUpdateId + 1 lies in [U, u]
        (1.5, START),
        (2.5, diff(2.5, 12, 12)),
    )

    tall = source(abc, capture).extract(abc, DAY, 0)

    assert seconds_of(tall) == [2.0]  # the book was not known at 1 s
    assert book_at(tall, 2.0)[0] == [(100.0, 1.0), (99.5, 6.0)]


def test_an_answer_with_a_time_counts_from_it_though_older_diffs_follow(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(tmp_path, (0.5, START), (1.5, diff(1.5, 9, 10)), (2.5, diff(2.5, 11, 11)))

    assert seconds_of(source(abc, capture).extract(abc, DAY, 0)) == [1.0, 2.0]


def test_an_answer_without_a_time_counts_from_the_last_diff_it_contains(tmp_path: Path) -> None:
    abc = instrument()
    diffs = [diff(0.5, 7, 8), diff(1.5, 9, 10), diff(2.5, 11, 11, bids=[("99.50", "0")]), diff(3.0, 12, 12)]

    tall = source(abc, write_list(tmp_path, START, diffs)).extract(abc, DAY, 0)

    assert seconds_of(tall) == [2.0, 3.0]
    assert book_at(tall, 2.0)[0] == [(100.0, 1.0), (99.5, 2.0)]
    assert book_at(tall, 3.0)[0] == [(100.0, 1.0)]


def test_an_answer_without_a_time_or_older_diffs_counts_from_the_first_diff(tmp_path: Path) -> None:
    abc = instrument()

    capture = write_list(tmp_path, START, [diff(1.5, 11, 11), diff(2.5, 12, 12)])

    assert seconds_of(source(abc, capture).extract(abc, DAY, 0)) == [2.0]


def test_no_instant_sees_a_message_that_came_after_it(tmp_path: Path) -> None:
    abc = instrument()
    late = line(1.0, diff(1.0, 11, 11, bids=[("100.00", "8")])).replace("000000000 ", "000000001 ", 1)
    lines = [line(0.5, START), late, line(2.5, diff(2.5, 12, 12))]

    tall = source(abc, write_lines(tmp_path / "capture.gz", lines)).extract(abc, DAY, 0)

    assert book_at(tall, 1.0)[0][0] == (100.0, 1.0)
    assert book_at(tall, 2.0)[0][0] == (100.0, 8.0)


def test_a_silent_feed_leaves_instants_out(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(
        tmp_path, (0.0, START), (1.5, diff(1.5, 11, 11)), (7.2, diff(7.2, 12, 12)), (8.0, diff(8.0, 13, 13))
    )

    tall = source(abc, capture, max_silence_seconds=2).extract(abc, DAY, 0)

    assert seconds_of(tall) == [0.0, 1.0, 2.0, 3.0, 8.0]


def test_the_lead_in_comes_from_the_day_before(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(
        tmp_path, (-10.0, START), (-1.5, diff(0, 11, 11)), (0.0, diff(0, 12, 12)), (1.5, diff(0, 13, 13))
    )
    capture["first_day"] = (DAY - timedelta(days=1)).isoformat()

    assert seconds_of(source(abc, capture).extract(abc, DAY, 3)) == [-3.0, -2.0, -1.0, 0.0, 1.0]
    assert seconds_of(source(abc, capture).extract(abc, DAY, 0)) == [0.0, 1.0]


def test_the_day_ends_before_midnight(tmp_path: Path) -> None:
    abc = instrument()
    capture = spot_stream(tmp_path, (86_397.5, START), (86_401.5, diff(0, 11, 11)), (86_403.5, diff(0, 99, 99)))
    capture["last_day"] = (DAY + timedelta(days=1)).isoformat()

    tall = source(abc, capture).extract(abc, DAY, 0)

    assert seconds_of(tall) == [86_398.0, 86_399.0]  # and the gap of the next day is not its concern


def test_captures_follow_one_another_and_may_not_overlap(tmp_path: Path) -> None:
    abc = instrument()
    first = write_lines(tmp_path / "1.gz", [line(0.5, START), line(2.5, diff(0, 11, 11))])
    second = write_lines(tmp_path / "2.gz", [line(5.5, answer(50, BIDS, ASKS)), line(7.0, diff(0, 51, 51))])

    assert seconds_of(source(abc, first, second).extract(abc, DAY, 0)) == [1.0, 2.0, 6.0, 7.0]
    with pytest.raises(SourceError, match="list captures in the order of time"):
        source(abc, second, first).extract(abc, DAY, 0)


@pytest.mark.parametrize(
    ("diffs", "numbers"),
    [
        ([diff(1, 12, 13)], ["U <= 11", "U = 12"]),  # the first after the answer
        ([diff(1, 10, 12), diff(2, 14, 15)], ["U <= 13", "U = 14", "after id 12"]),
    ],
)
def test_a_gap_on_spot_is_refused(tmp_path: Path, diffs: list[dict[str, Any]], numbers: list[str]) -> None:
    abc = instrument()

    with pytest.raises(SequenceGapError) as refusal:
        source(abc, write_list(tmp_path, START, diffs)).extract(abc, DAY, 0)

    for part in [*numbers, "ABC on 2024-03-05", "diffs.json.gz", f"message {len(diffs)}"]:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("diffs", "numbers"),
    [
        ([diff(1, 11, 13, previous=10)], ["U <= 10", "U = 11"]),  # the first must begin at or before the answer
        ([diff(1, 9, 12, previous=8), diff(2, 20, 25, previous=13)], ["pu = 12", "pu = 13"]),
        ([diff(1, 9, 12, previous=8), diff(2, 13, 14)], ["pu = 12", "pu = None"]),
    ],
)
def test_a_gap_on_futures_is_refused(tmp_path: Path, diffs: list[dict[str, Any]], numbers: list[str]) -> None:
    abc = instrument(market="usdm")

    with pytest.raises(SequenceGapError) as refusal:
        source(abc, write_list(tmp_path, START, diffs)).extract(abc, DAY, 0)

    for part in numbers:
        assert part in str(refusal.value)


def test_futures_numbers_may_jump_where_previous_ids_chain(tmp_path: Path) -> None:
    abc = instrument(market="coinm")
    diffs = [diff(1, 5, 9, previous=4), diff(2, 9, 12, previous=8), diff(3, 40, 45, previous=12)]

    tall = source(abc, write_list(tmp_path, START, diffs)).extract(abc, DAY, 0)

    assert tall["batch_id"].to_list()[-1] == 45


def test_a_futures_chain_may_begin_with_the_very_last_update_of_the_answer(tmp_path: Path) -> None:
    abc = instrument(market="usdm")
    diffs = [diff(1, 8, 10, previous=7), diff(2, 11, 12, previous=10)]

    tall = source(abc, write_list(tmp_path, START, diffs)).extract(abc, DAY, 0)

    assert tall["batch_id"].unique(maintain_order=True).to_list() == [10, 12]


def test_a_repeated_diff_on_spot_changes_nothing(tmp_path: Path) -> None:
    abc = instrument()
    once = diff(1, 11, 12, bids=[("99.50", "0")])

    later = diff(2, 13, 13, bids=[("99.50", "1")])

    tall = source(abc, write_list(tmp_path, START, [once, later, {**once, "E": later["E"]}])).extract(abc, DAY, 0)

    assert book_at(tall, 2.0)[0] == [(100.0, 1.0), (99.5, 1.0)]


@st.composite
def chains(draw: st.DrawFn) -> list[DepthDiff]:
    """An unbroken chain of spot diffs on a few prices of up to eight decimals."""
    prices = ["0.00000001", "0.1", "0.3", "0.30000000", "61773.6", "1234567.12345678"]
    levels = st.lists(
        st.tuples(st.sampled_from(prices), st.sampled_from(["0", "0.00000000", "0.1", "2.5"])), max_size=4
    )
    last, chain = 10, []
    for number in range(draw(st.integers(2, 12))):
        first, last = last + 1, last + draw(st.integers(1, 5))
        chain.append(DepthDiff(f"diff {number}", number, first, last, None, draw(levels), draw(levels)))
    return chain


@given(chain=chains(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_chain_builds_the_book_and_any_missing_link_is_refused(chain: list[DepthDiff], data: st.DataObject) -> None:
    book = built([("0.3", "1")], chain)
    expected: dict[Decimal, float] = {Decimal("0.3"): 1.0}
    for link in chain:
        expected |= {Decimal(price): float(quantity) for price, quantity in link.bids}
    assert book.bids.levels == {int(price * 10**8): quantity for price, quantity in expected.items() if quantity}

    missing = data.draw(st.integers(0, len(chain) - 2))
    with pytest.raises(SequenceGapError, match=f"diff {missing + 1}: .*U = {chain[missing + 1].first_update_id}"):
        built([], chain[:missing] + chain[missing + 1 :])


def built(bids: list[tuple[str, str]], chain: list[DepthDiff]) -> BookBuilder:
    book = BookBuilder(InitialBook("answer", None, 10, bids, []), SpotChain(), PriceKeys(8))
    for link in chain:
        book.apply(link)
    return book
