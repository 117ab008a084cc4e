"""Laws that hold whatever format a moving book was captured in."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trademl_assets.foundation.errors import SequenceGapError
from trademl_assets_tests.sources.events.event_files import (
    FORMATS,
    binance_stream,
    books_of,
    build,
    instrument,
    read_back,
)
from trademl_assets_tests.sources.events.evolutions import DAY, Book, Evolution, evolutions, true_books

CHAINED = ("binance spot", "binance futures", "lob capture", "depth csv")
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def shown(evolution: Evolution) -> Evolution:
    """Only evolutions that hold at least one whole second."""
    assume(true_books(evolution))
    return evolution


@pytest.mark.parametrize("name", FORMATS)
@given(evolution=evolutions())
@QUICK
def test_books_are_the_true_ones(name: str, evolution: Evolution) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert read_back(name, Path(folder), shown(evolution)) == true_books(evolution)


@pytest.mark.parametrize("name", FORMATS)
@given(evolution=evolutions(), data=st.data())
@QUICK
def test_nothing_after_an_instant_changes_what_it_shows(name: str, evolution: Evolution, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(evolution.updates) - 1))
    cut = evolution.until(kept)
    assume(true_books(cut))
    with tempfile.TemporaryDirectory() as folder:
        books = read_back(name, Path(folder), cut)
        assert books == _before(cut.updates[-1].time_ms + 1, true_books(evolution))
        if name in {"kraken", "okx", "bybit"}:
            return  # their messages check the book, so other quantities would be noticed
        changed = read_back(name, Path(folder), evolution.changed_from(kept))
        limit_ms = evolution.updates[kept].time_ms
        assert _before(limit_ms, changed) == _before(limit_ms, true_books(evolution))


def _before(limit_ms: int, books: dict[int, Book]) -> dict[int, Book]:
    return {second: book for second, book in books.items() if second * 1000 < limit_ms}


@pytest.mark.parametrize("name", CHAINED)
@given(evolution=evolutions(), data=st.data())
@QUICK
def test_a_lost_message_is_refused(name: str, evolution: Evolution, data: st.DataObject) -> None:
    broken = evolution.without(data.draw(st.integers(0, len(evolution.updates) - 2)))
    with tempfile.TemporaryDirectory() as folder, pytest.raises(SequenceGapError, match="sequence gap: expected"):
        read_back(name, Path(folder), broken)


@pytest.mark.parametrize("name", CHAINED)
@given(evolution=evolutions(), data=st.data())
@QUICK
def test_swapped_messages_are_refused(name: str, evolution: Evolution, data: st.DataObject) -> None:
    broken = evolution.swapping(data.draw(st.integers(0, len(evolution.updates) - 2)))
    with tempfile.TemporaryDirectory() as folder, pytest.raises(SequenceGapError, match="sequence gap: expected"):
        read_back(name, Path(folder), broken)


@pytest.mark.parametrize("name", CHAINED)
@given(evolution=evolutions(), data=st.data())
@QUICK
def test_a_repeated_message_is_passed_over_on_spot_and_refused_on_futures(
    name: str, evolution: Evolution, data: st.DataObject
) -> None:
    broken = shown(evolution).repeating(data.draw(st.integers(0, len(evolution.updates) - 1)))
    with tempfile.TemporaryDirectory() as folder:
        if name in {"binance spot", "lob capture"}:
            assert read_back(name, Path(folder), broken) == true_books(evolution)
        elif name == "binance futures":
            with pytest.raises(SequenceGapError, match="expected pu ="):
                read_back(name, Path(folder), broken)
        else:
            # Rows of one message twice in a row are one message: quantities are absolute.
            assert read_back(name, Path(folder), broken) == true_books(evolution)


@pytest.mark.parametrize("name", ["kraken", "okx"])
@given(evolution=evolutions(), data=st.data())
@QUICK
def test_checksums_refuse_every_book_that_is_not_the_true_one(
    name: str, evolution: Evolution, data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(evolution.updates) - 2))
    before = evolution.updates[lost - 1] if lost else evolution.start
    after = evolution.updates[lost + 1]
    sides = (before.bids_after, after.bids, after.bids_after), (before.asks_after, after.asks, after.asks_after)
    repaired = all(
        {price: text for price, text in {**known, **told}.items() if text != "0"} == true for known, told, true in sides
    )
    with tempfile.TemporaryDirectory() as folder:
        if repaired:
            read_back(name, Path(folder), shown(evolution.without(lost)))
        else:
            with pytest.raises(SequenceGapError, match="its checksum is"):
                read_back(name, Path(folder), evolution.without(lost))


@pytest.mark.parametrize("market", ["spot", "usdm"])
@given(evolution=evolutions(), data=st.data())
@QUICK
def test_a_restart_shows_true_books_outside_the_gap_and_counts_the_instants_in_it(
    market: str, evolution: Evolution, data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(evolution.updates) - 2))
    answered = evolution.updates[data.draw(st.integers(lost + 1, len(evolution.updates) - 1))]
    broken, of = evolution.without(lost), instrument(market)
    gap_ms = evolution.updates[lost + 1].time_ms
    stale, true = true_books(broken.until(lost + 1)), true_books(shown(evolution))
    expected = {second: book for second, book in stale.items() if second * 1000 < gap_ms} | {
        second: book for second, book in true.items() if second * 1000 >= answered.time_ms
    }
    assume(expected)

    with tempfile.TemporaryDirectory() as folder:
        capture = binance_stream(Path(folder), broken, futures=market != "spot", answered=answered)
        tall, facts = build("binance_capture", of, capture, on_gap="restart").extract_described(of, DAY, 0)

    assert books_of(tall) == expected
    met = facts["captures"][0]
    in_gap = -(-answered.time_ms // 1000) - -(-gap_ms // 1000)
    assert (met["gaps"], met["books_begun"], met["instants_left_out"].get("gap", 0)) == (1, 2, in_gap)
    assert "sequence gap" in met["gap_places"][0]
