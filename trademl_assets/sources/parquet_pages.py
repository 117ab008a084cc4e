"""The headers of a Parquet chunk's pages, read before a reader trusts them: polars allocates what they declare.

Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, as far as
page headers (https://parquet.apache.org/docs/file-format/) use it.
"""

import mmap
from collections.abc import Iterator

Header = dict[int, "int | Header"]
"""Whole numbers and structures of a header by their field; everything else is passed over."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12
_PLAIN_BYTES, _COMPRESSED_BYTES, _DATA, _DICTIONARY, _DATA_2 = 2, 3, 5, 7, 8
"""Fields of a page header; the first field of each of the last three counts values."""
_MOST_VARINT_BYTES = 10
_DEEPEST = 8


class PageDamageError(ValueError):
    """A page header cannot be read, or declares what cannot be."""


def require_sane_pages(file: mmap.mmap, first: int, size: int, most_values: int) -> None:
    """Walk over the headers of a chunk's pages.

    Args:
        file: The file.
        first: Where its first page begins.
        size: Bytes of the chunk as it lies in the file.
        most_values: Values of the chunk, which no page of data has more of.

    Raises:
        PageDamageError: A header cannot be read, reaches beyond the chunk, or declares a number of values that is
            negative or more than there can be.
    """
    if first < 0 or size < 0 or first + size > len(file):
        raise PageDamageError(f"a chunk of {size} bytes at {first} in a file of {len(file)}")
    at = first
    while at < first + size:
        header, at = _struct(file, at)
        length = header.get(_COMPRESSED_BYTES)
        if not isinstance(length, int) or not 0 <= length <= first + size - at:
            raise PageDamageError(f"a page of {length} bytes at {at}")
        for declared, most in _declared(header, most_values):
            if not 0 <= declared <= most:
                raise PageDamageError(f"a page of {declared} values at {at} where {most} are possible")
        at += length


def _declared(header: Header, most_values: int) -> Iterator[tuple[int, int]]:
    """Yield whatever a page's header counts, and the most that this can be.

    A dictionary may have more entries than its chunk has values, each of a byte at least.
    """
    for field in (_DATA, _DICTIONARY, _DATA_2):
        found, size = header.get(field), header.get(_PLAIN_BYTES)
        if isinstance(found, dict):
            values = found.get(1)
            most = (size if isinstance(size, int) else 0) if field == _DICTIONARY else most_values
            yield (values if isinstance(values, int) else -1), most


def _struct(file: mmap.mmap, at: int, depth: int = 0) -> tuple[Header, int]:
    if depth > _DEEPEST:
        raise PageDamageError(f"a page header of more than {_DEEPEST} structures in each other at {at}")
    found: Header = {}
    field = 0
    while True:
        head, at = _byte(file, at), at + 1
        if head == 0:
            return found, at
        kind, step = head & 0x0F, head >> 4
        if step:
            field += step
        else:
            number, at = _varint(file, at)
            field = _signed(number)
        if kind in (_TRUE, _FALSE):
            continue
        if kind in (_I16, _I32, _I64):
            number, at = _varint(file, at)
            found[field] = _signed(number)
        elif kind == _STRUCT:
            found[field], at = _struct(file, at, depth + 1)
        elif kind == _BINARY:
            length, at = _varint(file, at)
            at += length
        elif kind in (_BYTE, _DOUBLE):
            at += 1 if kind == _BYTE else 8
        else:
            raise PageDamageError(f"a page header with a field of type {kind} at {at}")


def _varint(file: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_MOST_VARINT_BYTES):
        byte = _byte(file, at + place)
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 -- the protocol's mark that more follows
            return value, at + place + 1
    raise PageDamageError(f"a number without end at {at}")


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _byte(file: mmap.mmap, at: int) -> int:
    if at >= len(file):
        raise PageDamageError("a page header beyond the end of the file")
    return file[at]
