"""Reads plain, gzip, zstd or zip files that strangers wrote.

Sizes are capped before and while reading; every defect is a `SourceError`.
"""

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.input_files import note_input

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZIP_MAGIC = b"PK\x03\x04"
EMPTY_ZIP_MAGIC = b"PK\x05\x06"
GZIP_SIZE_BYTES = 4  # the trailer of RFC 1952 ends with the size before compression, modulo 2**32
ZIP_ENCRYPTED = 0x1  # bit 0 of the general purpose flag, APPNOTE 4.4.4
CHUNK_BYTES = 1 << 20

_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True)
class ReadingCaps:
    """Most that is read.

    Attributes:
        file_bytes: Most bytes of a file after decompression.
        line_bytes: Most bytes of one line.
        compression_ratio: Most bytes after decompression for each byte of a compressed file.
    """

    file_bytes: int
    line_bytes: int
    compression_ratio: float = math.inf

    def of_compressed(self, compressed_bytes: int) -> int:
        """Most bytes that a compressed file of this size may become."""
        return int(min(self.file_bytes, self.compression_ratio * compressed_bytes))


def compression_of(path: Path) -> str:
    """How a file is compressed, by its first bytes: `gzip`, `zstd`, `zip` or `plain`.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as raw:
        return _compression(raw.read(len(ZIP_MAGIC)))


def read_capped(path: Path, origin: str, caps: ReadingCaps) -> bytes:
    """Read a whole file, decompressed.

    Args:
        path: Plain, gzip, zstd or zip file (of one member); told apart by the first bytes.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.

    Returns:
        The content, never empty.

    Raises:
        SourceError: The file is missing, empty, truncated, damaged, or larger than the cap.
    """
    content = io.BytesIO()
    with _opened(path, origin, caps) as (stream, allowed):
        while chunk := stream.read(min(CHUNK_BYTES, allowed + 1 - content.tell())):
            content.write(chunk)
        if content.tell() > allowed:
            raise _too_large(origin, allowed)
    whole = content.getvalue()
    if not whole or whole.isspace():
        raise SourceError(f"{origin}: the file holds nothing -> fetch it again")
    return whole


def head_capped(path: Path, origin: str, caps: ReadingCaps, wanted_bytes: int) -> bytes:
    """Read the first bytes of a file, decompressed; empty where it holds nothing.

    Raises:
        SourceError: As `read_capped`, where the head itself or the declared size shows it.
    """
    with _opened(path, origin, caps) as (stream, _):
        return stream.read(wanted_bytes)


def lines_capped(path: Path, origin: str, caps: ReadingCaps) -> Iterator[tuple[int, bytes]]:
    """Read a file line by line, decompressed.

    Args:
        path: Plain, gzip, zstd or zip file (of one member); told apart by the first bytes.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.

    Yields:
        Line number from 1, and the line without its end; blank lines are passed over.

    Raises:
        SourceError: The file is missing, without a line, truncated, damaged, or larger than a cap.
    """
    number = found = size = 0
    with _opened(path, origin, caps) as (stream, allowed):
        while line := stream.readline(caps.line_bytes + 1):
            number += 1
            size += len(line)
            if len(line) > caps.line_bytes:
                raise SourceError(
                    f"{origin}, line {number}: longer than {caps.line_bytes} bytes "
                    "-> if the line is genuine, raise max_message_bytes"
                )
            if size > allowed:
                raise _too_large(origin, allowed)
            if line := line.strip():
                found += 1
                yield number, line
    if not found:
        raise SourceError(f"{origin}: the file holds no line -> fetch it again")


@contextmanager
def _opened(path: Path, origin: str, caps: ReadingCaps) -> Iterator[tuple[BinaryIO, int]]:
    """The decompressed stream and how many bytes it may hand out."""
    compression = ""
    note_input(path)
    try:
        with path.open("rb") as raw:
            compression = _compression(raw.read(len(ZIP_MAGIC)))
            size = raw.seek(0, io.SEEK_END)
            if compression == "plain":
                raw.seek(0)
                yield raw, caps.file_bytes
                return
            allowed = caps.of_compressed(size)
            if size > caps.file_bytes:
                raise _too_large(origin, allowed)
            with _decompressed(raw, size, compression, origin, allowed) as stream:
                yield stream, allowed
    except _DAMAGE as error:
        raise SourceError(f"{origin}: truncated or damaged {compression} ({error}) -> fetch the file again") from error
    except OSError as error:
        if compression == "zstd" and error.errno is None:
            raise SourceError(f"{origin}: truncated or damaged zstd ({error}) -> fetch the file again") from error
        reason = error.strerror or error
        raise SourceError(f"{origin}: cannot be read ({reason}) -> check the path and its rights") from error


@contextmanager
def _decompressed(raw: BinaryIO, size: int, compression: str, origin: str, allowed: int) -> Iterator[BinaryIO]:
    if compression == "gzip":
        raw.seek(max(0, size - GZIP_SIZE_BYTES))
        if int.from_bytes(raw.read(), "little") > allowed:
            raise _too_large(origin, allowed)
        raw.seek(0)
        with gzip.open(raw) as stream:
            yield cast("BinaryIO", stream)
    elif compression == "zstd":
        raw.seek(0)
        with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd") as frames:
            yield cast("BinaryIO", io.BufferedReader(frames))
    else:
        raw.seek(0)
        with zipfile.ZipFile(raw) as archive:
            member = _only_member(archive, origin)
            if member.file_size > allowed:
                raise _too_large(origin, allowed)
            with archive.open(member) as stream:
                yield cast("BinaryIO", stream)


def _only_member(archive: zipfile.ZipFile, origin: str) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise SourceError(
            f"{origin}: the zip archive holds {len(members)} files, expected one -> unpack it and name the file itself"
        )
    if members[0].flag_bits & ZIP_ENCRYPTED:
        raise SourceError(f"{origin}: the zip archive is encrypted -> unpack it and name the file itself")
    return members[0]


def _compression(magic: bytes) -> str:
    if magic.startswith(GZIP_MAGIC):
        return "gzip"
    if magic == ZSTD_MAGIC:
        return "zstd"
    return "zip" if magic in {ZIP_MAGIC, EMPTY_ZIP_MAGIC} else "plain"


def _too_large(origin: str, allowed: int) -> SourceError:
    return SourceError(
        f"{origin}: larger than {allowed} bytes decompressed -> if the file is genuine, raise max_file_bytes "
        "(or max_compression_ratio where there is one)"
    )
