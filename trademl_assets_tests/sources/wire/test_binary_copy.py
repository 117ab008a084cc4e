"""The bytes of a binary COPY are read as a plain reader, written from PostgreSQL's documentation, reads them."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.wire.binary_copy import Rows, parse_binary_copy

FORMATS = {"i4": "!i", "i8": "!q", "f8": "!d"}
HEADER = bytes.fromhex("5047434f50590aff0d0a000000000000000000")
TRAILER = b"\xff\xff"
KINDS = ("i8", "i4", "f8")

VALUES = {
    "i4": st.integers(-(2**31), 2**31 - 1),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "f8": st.floats(width=64),
}


@st.composite
def tables(draw: Any) -> tuple[list[str], list[list[Any]]]:
    """Kinds of columns, and rows of which some lack values."""
    kinds = draw(st.lists(st.sampled_from(sorted(FORMATS)), min_size=1, max_size=5))
    may_lack = draw(st.booleans())
    cells = [VALUES[kind] | st.none() if may_lack else VALUES[kind] for kind in kinds]
    return kinds, [list(row) for row in draw(st.lists(st.tuples(*cells), max_size=8))]


def written(kinds: Any, rows: Any) -> bytes:
    content = HEADER
    for row in rows:
        content += struct.pack("!h", len(row))
        for kind, value in zip(kinds, row, strict=True):
            body = b"" if value is None else struct.pack(FORMATS[kind], value)
            content += struct.pack("!i", -1 if value is None else len(body)) + body
    return content + TRAILER


def plainly_read(content: bytes, kinds: Any) -> list[list[Any]]:
    """Field by field, no array."""
    place, rows = len(HEADER), []
    while (count := struct.unpack_from("!h", content, place)[0]) != -1:
        place += 2
        row = []
        for number in range(count):
            (length,) = struct.unpack_from("!i", content, place)
            place += 4
            row.append(None if length == -1 else struct.unpack_from(FORMATS[kinds[number]], content, place)[0])
            place += max(length, 0)
        rows.append(row)
    return rows


def lists_of(rows: Rows) -> list[list[Any]]:
    columns = [
        [
            None if column.absent is not None and column.absent[n] else value
            for n, value in enumerate(column.values.tolist())
        ]
        for column in rows.columns
    ]
    return [list(row) for row in zip(*columns, strict=True)]


@given(tables())
def test_any_table_is_read_as_the_plain_reader_reads_it(table: tuple[list[str], list[list[Any]]]) -> None:
    kinds, rows = table
    content = written(kinds, rows)
    found = parse_binary_copy(bytearray(content), kinds, "here")

    assert repr(lists_of(found)) == repr(plainly_read(content, kinds))  # repr: NaN equals itself, -0.0 is not 0.0
    assert found.height == len(rows)
    assert found.is_regular == all(value is not None for row in rows for value in row)
    assert [column.values.dtype for column in found.columns] == [np.dtype(f"={kind}") for kind in kinds]


@given(tables(), st.data())
def test_what_is_cut_is_refused(table: tuple[list[str], list[list[Any]]], data: st.DataObject) -> None:
    kinds, rows = table
    content = written(kinds, rows)
    kept = content[: data.draw(st.integers(0, len(content) - 1))]
    try:
        found = parse_binary_copy(kept, kinds, "here")
    except SourceError as refusal:
        assert "here" in str(refusal)  # noqa: PT017 -- cut where the bytes -1 stand, the rest may be whole rows
    else:
        assert kept.endswith(TRAILER)
        assert repr(lists_of(found)) == repr(plainly_read(content, kinds)[: found.height])


@pytest.mark.parametrize(
    "empty",
    [
        pytest.param("ffff", id="GreptimeDB: the trailer alone"),
        pytest.param("5047434f50590aff0d0a000000000000000000ffff", id="PostgreSQL: header and trailer"),
    ],
)
def test_both_empty_forms_are_no_rows(empty: str) -> None:
    content = bytes.fromhex(empty)
    assert len(content) in {2, 21}
    found = parse_binary_copy(content, KINDS, "here")
    assert (found.height, found.is_regular, [len(column.values) for column in found.columns]) == (0, True, [0, 0, 0])


def test_a_longer_header_is_passed_over() -> None:
    content = HEADER[:-4] + struct.pack("!I", 3) + b"abc" + written(KINDS, [[1, 2, 3.0]])[len(HEADER) :]
    assert lists_of(parse_binary_copy(content, KINDS, "here")) == [[1, 2, 3.0]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "after 0 bytes"),
        (HEADER, "without its trailer"),
        (b"ERROR" + TRAILER, "COPY began with"),
        (HEADER[:12] + b"\x01" + HEADER[13:] + TRAILER, "flags 0x10000"),
        (HEADER[:-4] + struct.pack("!I", 9) + TRAILER, "header of COPY is longer"),
        (written(KINDS, [[1, 2, 3.0]])[:-3] + TRAILER, "cut within row 0"),
        (written(("i8", "i4"), [[1, 2]]), "row 0 has 2 fields, expected 3"),
        (written(("i8", "i8", "f8"), [[1, 2, 3.0]]), "row 0, field 1 has 8 bytes, expected 4"),
        (written(("i4", "i8", "f8"), [[1, 2, 3.0]] * 2), "row 0, field 0 has 4 bytes, expected 8"),
        (written(KINDS, [[1, 2, 3.0]]) + TRAILER, "row 1 has -1 fields, expected 3"),
    ],
)
def test_what_is_no_copy_of_these_columns_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=said) as refusal:
        parse_binary_copy(content, KINDS, "here")
    assert str(refusal.value).startswith("here: ")
    assert " -> " in str(refusal.value)
