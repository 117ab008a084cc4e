"""Reads plain or gzip files that strangers wrote.

Sizes are capped before and while reading; every defect is a `SourceError`.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from trademl_assets.foundation.errors import SourceError

GZIP_MAGIC = b"\x1f\x8b"
GZIP_SIZE_BYTES = 4  # the trailer of RFC 1952 ends with the size before compression, modulo 2**32


@dataclass(frozen=True)
class ReadingCaps:
    """Most that is read.

    Attributes:
        file_bytes: Most bytes of a file after decompression.
        line_bytes: Most bytes of one line.
    """

    file_bytes: int
    line_bytes: int


def read_capped(path: Path, origin: str, caps: ReadingCaps) -> bytes:
    """Read a whole file, decompressed.

    Args:
        path: Plain or gzip file; told apart by the first bytes.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.

    Returns:
        The content, never empty.

    Raises:
        SourceError: The file is missing, empty, truncated, not what gzip writes, or larger than the cap.
    """
    with _opened(path, origin, caps) as stream:
        content = stream.read(caps.file_bytes + 1)
    if len(content) > caps.file_bytes:
        raise _too_large(origin, caps)
    if not content.strip():
        raise SourceError(f"{origin}: the file holds nothing -> fetch it again")
    return content


def lines_capped(path: Path, origin: str, caps: ReadingCaps) -> Iterator[tuple[int, bytes]]:
    """Read a file line by line, decompressed.

    Args:
        path: Plain or gzip file; told apart by the first bytes.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.

    Yields:
        Line number from 1, and the line without its end; blank lines are passed over.

    Raises:
        SourceError: The file is missing, without a line, truncated, not what gzip writes, or larger than a cap.
    """
    number = found = size = 0
    with _opened(path, origin, caps) as stream:
        while line := stream.readline(caps.line_bytes + 1):
            number += 1
            size += len(line)
            if len(line) > caps.line_bytes:
                raise SourceError(
                    f"{origin}, line {number}: longer than {caps.line_bytes} bytes "
                    "-> if the line is genuine, raise max_message_bytes"
                )
            if size > caps.file_bytes:
                raise _too_large(origin, caps)
            if line := line.strip():
                found += 1
                yield number, line
    if not found:
        raise SourceError(f"{origin}: the file holds no line -> fetch it again")


@contextmanager
def _opened(path: Path, origin: str, caps: ReadingCaps) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as raw:
            if raw.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                raw.seek(0)
                yield raw
                return
            size = raw.seek(0, 2)
            raw.seek(max(0, size - GZIP_SIZE_BYTES))
            if max(size, int.from_bytes(raw.read(), "little")) > caps.file_bytes:
                raise _too_large(origin, caps)
            raw.seek(0)
            with gzip.open(raw) as stream:
                yield cast("BinaryIO", stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{origin}: truncated or damaged gzip ({error}) -> fetch the file again") from error
    except OSError as error:
        reason = error.strerror or error
        raise SourceError(f"{origin}: cannot be read ({reason}) -> check the path and its rights") from error


def _too_large(origin: str, caps: ReadingCaps) -> SourceError:
    return SourceError(
        f"{origin}: larger than {caps.file_bytes} bytes decompressed -> if the file is genuine, raise max_file_bytes"
    )
