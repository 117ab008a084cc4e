"""Captures that cannot be trusted are refused by name of instrument, day and file, never read half."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.sources.events.binance_capture import BinanceCaptureSource
from trademl_assets_tests.sources.events.binance_messages import (
    DAY,
    DAY_US,
    answer,
    diff,
    instrument,
    line,
    source,
    stream_capture,
    write_lines,
    write_list,
)

START = answer(10, [("100.00", "1.0")], [("100.50", "3.0")])
GOOD = [line(0.5, START), line(1.5, diff(1.5, 11, 11)), line(2.5, diff(2.5, 12, 12))]


def refusal_of(capture: dict[str, Any], **limits: Any) -> str:
    abc = instrument()
    with pytest.raises(SourceError) as refusal:
        source(abc, capture, **limits).extract(abc, DAY, 0)
    assert "ABC on 2024-03-05" in str(refusal.value)
    assert "->" in str(refusal.value), "a refusal says what to do"
    return str(refusal.value)


@pytest.mark.parametrize("kept", [3, 30, 90])
def test_truncated_gzip(tmp_path: Path, kept: int) -> None:
    capture = write_lines(tmp_path / "cut.gz", GOOD)
    content = (tmp_path / "cut.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(content[:kept])

    assert "cut.gz" in refusal_of(capture)


def test_gzip_with_a_wrong_checksum(tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "bad.gz", GOOD)
    content = bytearray((tmp_path / "bad.gz").read_bytes())
    content[-6] ^= 1
    (tmp_path / "bad.gz").write_bytes(content)

    assert "damaged gzip" in refusal_of(capture)


def test_missing_file(tmp_path: Path) -> None:
    assert "check the path" in refusal_of(stream_capture(tmp_path / "nowhere.gz"))


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_empty_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty").write_bytes(content)

    assert "no line" in refusal_of(stream_capture(tmp_path / "empty"))


def test_plain_text_is_read_like_gzip(tmp_path: Path) -> None:
    abc = instrument()
    (tmp_path / "plain").write_text("\n".join(GOOD))

    assert len(source(abc, stream_capture(tmp_path / "plain")).extract(abc, DAY, 0)) == 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1709596801000000000 {not json", "not JSON"),
        ("1709596801000000000", "not JSON"),
        ('{"e": "depthUpdate"}', "receive time"),
        (f"{'9' * 5000} {{}}", "receive time"),
        ("1709596801000000000 [1, 2]", "expected layout"),
        ('1709596801000000000 {"stream": "x"}', "expected layout"),
        (line(1.6, {"e": "depthUpdate", "s": "ABCUSDT", "E": 1, "U": 12}), "KeyError"),
        (line(1.6, {**diff(1.6, 12, 12), "u": "12"}), "not an integer"),
        (line(1.6, {**diff(1.6, 12, 12), "u": 1e999}), "not JSON"),
        (line(1.6, {**diff(1.6, 12, 12), "u": 2**64}), "not an integer"),
        (line(1.6, diff(1.6, 12, 12, bids=[("nan", "1")])), "price 'nan'"),
        (line(1.6, diff(1.6, 12, 12, bids=[("-1.0", "1")])), "price '-1.0'"),
        (line(1.6, diff(1.6, 12, 12, bids=[("1e300", "1")])), "price '1e300'"),
        (line(1.6, diff(1.6, 12, 12, bids=[("1.000000001", "1")])), "at most 8 decimals"),
        (line(1.6, diff(1.6, 12, 12, asks=[("1.0", "-2")])), "quantity '-2'"),
        (line(1.6, diff(1.6, 12, 12, asks=[("1.0", "inf")])), "quantity 'inf'"),
        (line(1.6, diff(1.6, 12, 12, asks=[("1.0",)])), "bad level"),  # type: ignore[list-item]  # a level without quantity, on purpose
    ],
)
def test_broken_lines(tmp_path: Path, text: str, part: str) -> None:
    message = refusal_of(write_lines(tmp_path / "broken.gz", [*GOOD[:2], text, line(9.0, diff(9.0, 13, 13))]))

    assert part in message
    assert "broken.gz, line 3" in message


def test_another_symbol(tmp_path: Path) -> None:
    message = refusal_of(write_lines(tmp_path / "c.gz", [*GOOD, line(3.0, diff(3.0, 13, 13, symbol="XYZUSDT"))]))

    assert "'XYZUSDT'" in message
    assert "'ABCUSDT'" in message


def test_another_symbol_in_the_answer(tmp_path: Path) -> None:
    assert "'XYZUSDT'" in refusal_of(write_lines(tmp_path / "c.gz", [line(0.5, {**START, "symbol": "XYZUSDT"})]))


def test_no_initial_book(tmp_path: Path) -> None:
    assert "no initial book" in refusal_of(write_lines(tmp_path / "c.gz", GOOD[1:]))


def test_too_many_diffs_before_the_initial_book(tmp_path: Path) -> None:
    early = [line(0.1, diff(0.1, number, number)) for number in range(3)]

    assert "first 3 depth diffs" in refusal_of(write_lines(tmp_path / "c.gz", [*early, *GOOD]), max_diffs_before_book=2)


def test_an_answer_that_is_none(tmp_path: Path) -> None:
    message = refusal_of(write_list(tmp_path, {"code": -1121, "msg": "Invalid symbol."}, [diff(1, 11, 11)]))

    assert "no lastUpdateId" in message
    assert "book.json.gz" in message


@pytest.mark.parametrize("diffs", [[], {"e": "depthUpdate"}, [{"e": "trade", "s": "ABCUSDT"}], [None]])
def test_a_list_of_something_else(tmp_path: Path, diffs: Any) -> None:
    assert "diffs.json.gz" in refusal_of(write_list(tmp_path, START, diffs))


def test_a_file_that_declares_too_much_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 2_000_000))

    assert "larger than 1000000 bytes" in refusal_of(stream_capture(tmp_path / "bomb.gz"))


def test_a_file_that_understates_its_size_is_refused_while_reading(tmp_path: Path) -> None:
    # Two gzip members: the trailer speaks of the last one alone.
    lines = "\n".join([*GOOD, *[line(3.0, {"s": "ABCUSDT", "e": "trade"})] * 20_000])
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(lines.encode()) + gzip.compress(b"\n"))

    assert "larger than 1000000 bytes" in refusal_of(stream_capture(tmp_path / "bomb.gz"))


def test_a_line_without_end(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"1" * 500_000)

    assert "longer than 100000 bytes" in refusal_of(stream_capture(tmp_path / "long"))


def test_a_clock_in_another_unit(tmp_path: Path) -> None:
    milliseconds = f"{DAY_US // 1000} {json.dumps(START)}"

    assert "unit of its clock" in refusal_of(write_lines(tmp_path / "c.gz", [milliseconds]))


def test_a_clock_that_steps_back(tmp_path: Path) -> None:
    lines = [*GOOD, line(2.0, diff(2.0, 13, 13)), line(3.5, diff(3.5, 14, 14))]
    capture = write_lines(tmp_path / "c.gz", lines)
    abc = instrument()

    assert "steps back by 500.000 ms" in refusal_of(capture, max_clock_regress_milliseconds=499)
    assert len(source(abc, capture, max_clock_regress_milliseconds=500).extract(abc, DAY, 0)) == 3


def test_a_day_without_an_instant(tmp_path: Path) -> None:
    assert "no instant of the day" in refusal_of(
        write_lines(tmp_path / "c.gz", [GOOD[0], line(0.6, diff(0.6, 11, 11))])
    )


def test_a_day_without_a_capture(tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "c.gz", GOOD)

    assert "no capture covers the day" in refusal_of({**capture, "first_day": "2024-03-06", "last_day": "2024-03-06"})


def test_captures_of_an_unknown_instrument(tmp_path: Path) -> None:
    known = source(instrument(), write_lines(tmp_path / "c.gz", GOOD))

    with pytest.raises(ConfigError, match="unknown instruments ABC"):
        BinanceCaptureSource(known._settings, {"XYZ": instrument("XYZ")})


@pytest.mark.parametrize(
    "mistake", [{"cadence_seconds": 7}, {"max_levels": 0}, {"max_silence_seconds": 0}, {"unknown": 1}]
)
def test_impossible_parameters(tmp_path: Path, mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        source(instrument(), stream_capture(tmp_path / "c.gz"), **mistake)
