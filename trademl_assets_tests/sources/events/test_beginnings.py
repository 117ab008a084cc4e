"""How a book begins without an initial book, goes on after a gap, and what is told about it."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from trademl_assets.foundation.calendar import day_start
from trademl_assets.foundation.errors import SequenceGapError, SourceError
from trademl_assets.sources.contract import DescribedDepthSource, extract_with_facts
from trademl_assets_tests.sources.events.binance_messages import (
    DAY,
    answer,
    diff,
    instrument,
    line,
    source,
    write_lines,
)
from trademl_assets_tests.sources.events.event_files import books_of

BIDS = [("100.00", "1.0"), ("99.50", "2.0")]
ASKS = [("100.50", "3.0")]


def stream(folder: Path, *messages: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    return write_lines(folder / "capture.gz", [line(second, message) for second, message in messages])


def facts_of(of: Any, capture: dict[str, Any], **limits: Any) -> tuple[dict[int, Any], dict[str, Any]]:
    tall, facts = source(of, capture, **limits).extract_described(of, DAY, 0)
    return books_of(tall), facts["captures"][0]


def test_a_book_that_began_empty_is_handed_out_after_its_warm_up(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path,
        (0.5, diff(0.5, 11, 12, bids=BIDS[:1])),
        (2.2, diff(2.2, 13, 13, asks=ASKS)),
        (4.0, diff(4.0, 14, 14, bids=[("100.00", "0"), ("99.75", "4")])),
    )

    books, facts = facts_of(abc, capture, without_initial_book="warm_up", warm_up_seconds=2)

    assert books == {3: ([(100.0, 1.0)], [(100.5, 3.0)]), 4: ([(99.75, 4.0)], [(100.5, 3.0)])}
    assert facts["instants_left_out"] == {"warm_up": 2}
    known_from = (day_start(DAY) + timedelta(seconds=2.5)).isoformat()
    assert facts["beginnings"][0]["from"] == "warm_up"
    assert facts["beginnings"][0]["known_from"] == known_from


def test_a_book_that_began_empty_goes_on_from_an_answer(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path,
        (0.5, diff(0.5, 11, 12, bids=[("98.00", "7")])),
        (2.0, diff(2.0, 13, 13, asks=[("101.00", "5")])),
        (3.5, answer(12, BIDS, ASKS)),  # older than the last diff, which is applied on top
        (5.0, diff(5.0, 14, 14)),
    )

    books, facts = facts_of(abc, capture, without_initial_book="warm_up", warm_up_seconds=1)

    partial, whole = ([(98.0, 7.0)], [(101.0, 5.0)]), ([(100.0, 1.0), (99.5, 2.0)], [(100.5, 3.0), (101.0, 5.0)])
    assert books == {2: partial, 3: partial, 4: whole, 5: whole}
    assert [beginning["from"] for beginning in facts["beginnings"]] == ["warm_up", "initial_book"]


def test_a_chain_that_breaks_while_an_empty_book_fills_is_refused_too(tmp_path: Path) -> None:
    abc = instrument(market="usdm")
    capture = stream(
        tmp_path, (0.5, diff(0.5, 11, 12, previous=10)), (1.0, diff(1.0, 20, 21, previous=15)), (2.0, diff(2.0, 22, 22))
    )

    with pytest.raises(SequenceGapError, match=r"expected pu = 12 .*found pu = 15"):
        source(abc, capture, without_initial_book="warm_up").extract(abc, DAY, 0)


def test_after_a_gap_an_empty_book_fills_where_that_is_allowed(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path,
        (0.5, answer(10, BIDS, ASKS)),
        (1.5, diff(1.5, 11, 11)),
        (2.5, diff(2.5, 20, 21, bids=[("97.00", "3")])),
        (6.0, diff(6.0, 22, 22)),
    )

    books, facts = facts_of(abc, capture, without_initial_book="warm_up", warm_up_seconds=2, on_gap="restart")

    whole = ([(100.0, 1.0), (99.5, 2.0)], [(100.5, 3.0)])
    assert books == {1: whole, 2: whole, 5: ([(97.0, 3.0)], []), 6: ([(97.0, 3.0)], [])}
    assert facts["gaps"] == 1
    assert facts["instants_left_out"] == {"gap": 2}


def test_after_a_gap_without_another_answer_the_rest_is_left_out(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path, (0.5, answer(10, BIDS, ASKS)), (2.5, diff(2.5, 20, 21)), *((t, diff(t, 22, 22)) for t in (3.0, 6.0))
    )

    books, facts = facts_of(abc, capture, on_gap="restart")

    assert list(books) == [1, 2]
    assert facts["instants_left_out"] == {"gap": 4}


def test_an_answer_that_does_not_fit_its_diffs_is_passed_over_on_restart(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path,
        (0.5, diff(0.5, 20, 20, bids=[("97.00", "3")])),
        (0.7, answer(10, BIDS, ASKS)),  # from before the stream was opened: 11 to 19 are missing
        (1.7, answer(20, BIDS, ASKS)),
        (3.0, diff(3.0, 21, 21)),
    )

    books, facts = facts_of(abc, capture, on_gap="restart")

    assert list(books) == [2, 3]
    assert (facts["gaps"], facts["books_seen"], facts["books_begun"]) == (1, 2, 1)
    with pytest.raises(SequenceGapError, match="found U = 20"):
        source(abc, capture).extract(abc, DAY, 0)


def test_a_second_answer_says_nothing_new_while_the_chain_is_whole(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path,
        (0.5, answer(10, BIDS, ASKS)),
        (1.5, diff(1.5, 11, 11)),
        (1.6, answer(11, [], [])),
        (2.0, diff(2, 12, 12)),
    )

    books, facts = facts_of(abc, capture)

    assert books[2] == ([(100.0, 1.0), (99.5, 2.0)], [(100.5, 3.0)])
    assert (facts["books_seen"], facts["books_begun"]) == (2, 1)


def test_an_instant_of_an_empty_book_is_counted(tmp_path: Path) -> None:
    abc = instrument()
    nothing = diff(1.5, 11, 11, bids=[("100.00", "0"), ("99.50", "0")], asks=[("100.50", "0")])
    capture = stream(tmp_path, (0.5, answer(10, BIDS, ASKS)), (1.5, nothing), (3.0, diff(3, 12, 12, bids=BIDS)))

    books, facts = facts_of(abc, capture)

    assert list(books) == [1, 3]
    assert facts["instants_left_out"] == {"empty_book": 1}


def test_silence_is_counted(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(tmp_path, (0.0, answer(10, BIDS, ASKS)), (7.2, diff(7.2, 11, 11)), (8.0, diff(8.0, 12, 12)))

    books, facts = facts_of(abc, capture, max_silence_seconds=2)

    assert list(books) == [0, 1, 2, 8]
    assert facts["instants_left_out"] == {"silence": 5}
    assert facts["instants"] == 4


def test_facts_name_the_files_and_what_was_met(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(
        tmp_path,
        (0.1, diff(0.1, 9, 10)),
        (0.5, answer(10, BIDS, ASKS)),
        (1.5, diff(1.5, 11, 11)),
        (2.5, diff(2.5, 12, 12)),
    )
    reader = source(abc, capture)
    assert isinstance(reader, DescribedDepthSource)

    rows, facts = extract_with_facts(reader, abc, DAY, 0)

    content = (tmp_path / "capture.gz").read_bytes()
    (met,) = facts["captures"]
    assert met["files"] == [
        {
            "file": str(tmp_path / "capture.gz"),
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    ]
    assert {name: met[name] for name in ("diffs", "old_diffs", "books_seen", "books_begun", "gaps")} == {
        "diffs": 3,
        "old_diffs": 1,
        "books_seen": 1,
        "books_begun": 1,
        "gaps": 0,
    }
    assert met["beginnings"] == [
        {
            "from": "initial_book",
            "place": f"file {tmp_path / 'capture.gz'}, line 2",
            "known_from": (day_start(DAY) + timedelta(seconds=0.5)).isoformat(),
        }
    ]
    assert rows.equals(reader.extract(abc, DAY, 0))


def test_facts_show_paths_as_they_were_configured(tmp_path: Path) -> None:
    abc = instrument()
    capture = stream(tmp_path, (0.5, answer(10, BIDS, ASKS)), (1.5, diff(1.5, 11, 11)))
    capture["messages"] = "${BOOKS}/capture.gz"
    known = source(abc, {**capture, "messages": "capture.gz"})
    settings = known._settings.model_dump(mode="json") | {"captures": {"ABC": [capture]}}
    parameters = type(known).parameters.model_validate_json(
        json.dumps(settings), context={"environment": {"BOOKS": str(tmp_path)}}
    )

    facts = type(known)(parameters, {"ABC": abc}).extract_described(abc, DAY, 0)[1]["captures"][0]

    assert facts["files"][0]["file"] == "${BOOKS}/capture.gz"
    assert facts["beginnings"][0]["place"] == "file ${BOOKS}/capture.gz, line 1"


def test_a_capture_that_ends_before_any_book_is_refused(tmp_path: Path) -> None:
    abc = instrument()

    with pytest.raises(SourceError, match="set without_initial_book: warm_up"):
        source(abc, stream(tmp_path, (0.5, diff(0.5, 1, 1)))).extract(abc, DAY, 0)
