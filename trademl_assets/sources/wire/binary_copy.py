"""Rows in PostgreSQL's binary COPY form: https://www.postgresql.org/docs/current/sql-copy.html, File Formats.

A row is a count of fields (16 bits), then for each field its length (32 bits, -1 for null) and its bytes, big-endian.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SourceError

SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
TRAILER = b"\xff\xff"
WIDTHS: Mapping[str, int] = {"i4": 4, "i8": 8, "f8": 8}

_HAS_ROW_NUMBERS = 1 << 16  # a flag of servers before PostgreSQL 12
_CRITICAL_FLAGS = 0xFFFF0000
_HEAD = struct.Struct("!II")
_COUNT, _LENGTH = struct.Struct("!h"), struct.Struct("!i")
_NULL = -1


@dataclass(frozen=True)
class Values:
    """A column of N rows.

    Attributes:
        values: Shape (N,); 0 where there is none.
        absent: Whether there is none, shape (N,); None where all rows have one.
    """

    values: NDArray[Any]
    absent: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Rows:
    """Rows of a result, by column.

    Attributes:
        columns: Columns in their order.
        height: Number of rows.
        is_regular: Whether all rows were equally long, so that they were read at once.
    """

    columns: tuple[Values, ...]
    height: int
    is_regular: bool


def parse_binary_copy(data: bytes | bytearray | memoryview, kinds: Sequence[str], origin: str) -> Rows:
    """Read what a binary COPY sent.

    Args:
        data: Everything from the header to the trailer; GreptimeDB sends the trailer alone where there are no rows.
        kinds: Type of each column: `i4`, `i8` or `f8`.
        origin: Instrument, day and table, for messages.

    Returns:
        The rows, in native byte order.

    Raises:
        SourceError: The bytes are cut, or are no rows of these types.
    """
    body = _body(data, origin)
    wire = np.dtype([("count", ">i2"), *_fields(kinds)])
    if len(body) % wire.itemsize == 0:
        table = np.frombuffer(body, dtype=wire)
        if _is_regular(table, kinds):
            columns = tuple(Values(table[f"value{n}"].astype(f"={kind}"), None) for n, kind in enumerate(kinds))
            return Rows(columns, len(table), is_regular=True)
    return _row_by_row(body, kinds, origin)


def _fields(kinds: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [((f"length{n}", ">i4"), (f"value{n}", f">{kind}")) for n, kind in enumerate(kinds)]
    return [field for pair in pairs for field in pair]


def _is_regular(table: NDArray[Any], kinds: Sequence[str]) -> bool:
    """Whether every row has all fields, each of its full length."""
    return bool((table["count"] == len(kinds)).all()) and all(
        bool((table[f"length{n}"] == WIDTHS[kind]).all()) for n, kind in enumerate(kinds)
    )


def _body(data: bytes | bytearray | memoryview, origin: str) -> memoryview:
    """The rows, without header and trailer."""
    view = memoryview(data)
    if bytes(view[-len(TRAILER) :]) != TRAILER:
        raise SourceError(f"{origin}: COPY ended after {len(view)} bytes without its trailer -> extract the day again")
    if len(view) == len(TRAILER):
        return view[:0]
    start = len(SIGNATURE) + _HEAD.size
    if bytes(view[: len(SIGNATURE)]) != SIGNATURE or len(view) < start + len(TRAILER):
        raise SourceError(f"{origin}: COPY began with {bytes(view[:start]).hex()} -> the server sends another form")
    flags, extension = _HEAD.unpack_from(view, len(SIGNATURE))
    if flags & _CRITICAL_FLAGS:
        raise SourceError(f"{origin}: COPY has the flags {flags:#x}, none are expected -> the server is too old or new")
    if start + extension + len(TRAILER) > len(view):
        raise SourceError(f"{origin}: the header of COPY is longer than what came -> extract the day again")
    return view[start + extension : -len(TRAILER)]


def _row_by_row(body: memoryview, kinds: Sequence[str], origin: str) -> Rows:
    """Read rows of which some lack fields."""
    readers = [
        (struct.Struct(f"!{'d' if kind == 'f8' else 'q' if kind == 'i8' else 'i'}"), WIDTHS[kind]) for kind in kinds
    ]
    values: list[list[Any]] = [[] for _ in kinds]
    absent: list[list[bool]] = [[] for _ in kinds]
    place = height = 0
    try:
        while place < len(body):
            (count,) = _COUNT.unpack_from(body, place)
            if count != len(kinds):
                raise SourceError(
                    f"{origin}: row {height} has {count} fields, expected {len(kinds)} -> check the table"
                )
            place += _COUNT.size
            for column, (reader, width) in enumerate(readers):
                (length,) = _LENGTH.unpack_from(body, place)
                place += _LENGTH.size
                if length not in (width, _NULL):
                    raise SourceError(
                        f"{origin}: row {height}, field {column} has {length} bytes, expected {width} -> check its type"
                    )
                absent[column].append(length == _NULL)
                values[column].append(0 if length == _NULL else reader.unpack_from(body, place)[0])
                place += max(length, 0)
            height += 1
    except struct.error as error:
        raise SourceError(f"{origin}: COPY is cut within row {height} -> extract the day again") from error
    columns = [
        Values(np.array(column, dtype=f"={kind}"), np.array(lacks) if any(lacks) else None)
        for column, lacks, kind in zip(values, absent, kinds, strict=True)
    ]
    return Rows(tuple(columns), height, is_regular=False)
