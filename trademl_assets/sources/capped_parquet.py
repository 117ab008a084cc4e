"""Reads Parquet files that strangers wrote.

Declared sizes are capped before reading; every defect is a `SourceError`.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.input_files import note_input
from trademl_assets.sources.parquet_pages import PageDamageError, require_sane_pages

BYTES_PER_VALUE = 8

PARQUET_DAMAGE = (
    OSError,
    UnicodeDecodeError,
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
"""What the readers raise on a damaged file."""


@dataclass(frozen=True)
class ParquetCaps:
    """Most that a file may declare.

    Attributes:
        rows: Most rows.
        file_bytes: Most bytes after decompression, decoded values counted as eight bytes each at least.
    """

    rows: int
    file_bytes: int


def require_within_caps(metadata: Any, caps: ParquetCaps, origin: str) -> None:
    """Check what the footer of a file declares as a whole.

    Args:
        metadata: Footer as pyarrow reads it.
        caps: Declared sizes that are refused beyond.
        origin: Instrument, day and file, for messages.

    Raises:
        SourceError: More rows or encoded bytes than allowed, or numbers that contradict each other.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if min((min(group.num_rows, group.total_byte_size) for group in groups), default=0) < 0 or metadata.num_rows != sum(
        group.num_rows for group in groups
    ):
        raise _contradicts(origin, f"{metadata.num_rows} rows in groups of {[group.num_rows for group in groups]}")
    _require_sizes(metadata.num_rows, sum(group.total_byte_size for group in groups), caps, origin)


def require_columns_within_caps(
    path: Path, metadata: Any, caps: ParquetCaps, columns: Sequence[str], origin: str
) -> None:
    """Check what the footer of a file declares of columns that will be read.

    A column of repetitions encodes to almost nothing, so values count with the size that they are decoded to. Numbers
    that contradict each other are refused before a reader trusts them: polars asks for as much memory as they say and
    is aborted, pyarrow is where it looks at a damaged description of a chunk, unless it is about to read the chunk.

    Args:
        path: The file.
        metadata: Its footer as pyarrow reads it, that passed `require_within_caps`.
        caps: Declared sizes that are refused beyond.
        columns: Columns that will be read; those that the file lacks are passed over.
        origin: Instrument, day and file, for messages.

    Raises:
        SourceError: More rows or bytes than allowed, or numbers that contradict each other.
        OSError, pyarrow.ArrowException: The description of a chunk is damaged.
    """
    chosen = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    numbers = [n for n, each in enumerate(chosen) if each.path in columns or each.path.split(".")[0] in columns]
    _begin_to_read(path, metadata, numbers)
    declared = 0
    pages: list[tuple[int, int, int]] = []
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        for number in numbers:
            chunk = group.column(number)
            values, size = chunk.num_values, chunk.total_uncompressed_size
            is_flat = chosen[number].max_repetition_level == 0
            if min(values, size, chunk.total_compressed_size) < 0 or (is_flat and values != group.num_rows):
                stated = f"{values} values, {size} bytes, {chunk.total_compressed_size} compressed"
                raise _contradicts(origin, f"{stated} of {chunk.path_in_schema} in {group.num_rows} rows")
            declared += max(size, BYTES_PER_VALUE * values)
            starts = [chunk.data_page_offset, *([chunk.dictionary_page_offset] if chunk.has_dictionary_page else [])]
            pages.append((min(filter(None, starts), default=0), chunk.total_compressed_size, values))
    _require_sizes(metadata.num_rows, declared, caps, origin)
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        try:
            for place in pages:
                require_sane_pages(mapped, *place)
        except PageDamageError as error:
            raise SourceError(f"{origin}: damaged ({error}) -> fetch the file again") from error


def _begin_to_read(path: Path, metadata: Any, columns: list[int]) -> None:
    """Have pyarrow take up every chunk of columns, where it raises what is wrong with one; no page is decoded.

    The reader below `ParquetFile` takes up its chunks and then gives batches of as many rows as it is asked for: none.
    """
    with pq.ParquetFile(path, metadata=metadata) as file:
        for group in range(metadata.num_row_groups):
            next(file.reader.iter_batches(0, [group], column_indices=columns, use_threads=False), None)


def _require_sizes(rows: int, size: int, caps: ParquetCaps, origin: str) -> None:
    if rows > caps.rows or size > caps.file_bytes:
        raise SourceError(
            f"{origin}: declares {rows} rows and {size} bytes, allowed are {caps.rows} and "
            f"{caps.file_bytes} -> if the file is genuine, raise max_rows or max_file_bytes"
        )


def _contradicts(origin: str, stated: str) -> SourceError:
    return SourceError(f"{origin}: the footer contradicts itself ({stated}) -> damaged, fetch the file again")


def read_parquet_capped(
    path: Path, origin: str, caps: ParquetCaps, wanted: pl.Expr, columns: list[str]
) -> pl.DataFrame:
    """Read the wanted rows of a Parquet file.

    Args:
        path: The file.
        origin: Instrument, day and file, for messages.
        caps: Declared sizes that are refused beyond.
        wanted: Which rows.
        columns: Which columns.

    Returns:
        The rows, in the order of the file.

    Raises:
        SourceError: The file is missing, truncated or damaged, too large, or lacks a column.
    """
    note_input(path)
    try:
        metadata = pq.read_metadata(path)
        require_within_caps(metadata, caps, origin)
        require_columns_within_caps(path, metadata, caps, columns, origin)
        present = pl.read_parquet_schema(path)
        if missing := [name for name in columns if name not in present]:
            raise SourceError(
                f"{origin}: lacks the columns {', '.join(missing)}, has {', '.join(present)} -> check the file's layout"
            )
        return pl.scan_parquet(path).filter(wanted).select(columns).collect()
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{origin}: cannot be read ({error}) -> check the path, fetch the file again") from error
    except PARQUET_DAMAGE as error:
        raise SourceError(f"{origin}: damaged or of another layout ({error}) -> fetch the file again") from error
