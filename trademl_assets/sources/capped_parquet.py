"""Reads Parquet files that strangers wrote.

Declared sizes are capped before reading; every defect is a `SourceError`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.input_files import note_input

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


def require_within_caps(metadata: Any, caps: ParquetCaps, columns: tuple[str, ...] | None, origin: str) -> None:
    """Check what the footer of a file declares.

    A column of repetitions encodes to almost nothing, so values count with the size that they are decoded to.

    Args:
        metadata: Footer as pyarrow reads it.
        caps: Declared sizes that are refused beyond.
        columns: Columns that will be read; None counts their encoded sizes alone, for all columns.
        origin: Instrument, day and file, for messages.

    Raises:
        SourceError: More rows or bytes than allowed.
    """
    declared = 0
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        if columns is None:
            declared += group.total_byte_size
            continue
        for chunk in (group.column(number) for number in range(group.num_columns)):
            if chunk.path_in_schema in columns or chunk.path_in_schema.split(".")[0] in columns:
                declared += max(chunk.total_uncompressed_size, BYTES_PER_VALUE * chunk.num_values)
    if metadata.num_rows > caps.rows or declared > caps.file_bytes:
        raise SourceError(
            f"{origin}: declares {metadata.num_rows} rows and {declared} bytes, allowed are {caps.rows} and "
            f"{caps.file_bytes} -> if the file is genuine, raise max_rows or max_file_bytes"
        )


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
        require_within_caps(metadata, caps, None, origin)
        require_within_caps(metadata, caps, tuple(columns), origin)
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
