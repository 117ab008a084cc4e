"""Reads Parquet files that strangers wrote.

Declared sizes are capped before reading; every defect is a `SourceError`.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trademl_assets.foundation.errors import SourceError


@dataclass(frozen=True)
class ParquetCaps:
    """Most that a file may declare.

    Attributes:
        rows: Most rows.
        file_bytes: Most bytes after decompression.
    """

    rows: int
    file_bytes: int


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
    try:
        metadata = pq.read_metadata(path)
        declared = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        if metadata.num_rows > caps.rows or declared > caps.file_bytes:
            raise SourceError(
                f"{origin}: declares {metadata.num_rows} rows and {declared} bytes, allowed are {caps.rows} and "
                f"{caps.file_bytes} -> if the file is genuine, raise max_rows or max_file_bytes"
            )
        present = pl.read_parquet_schema(path)
        if missing := [name for name in columns if name not in present]:
            raise SourceError(
                f"{origin}: lacks the columns {', '.join(missing)}, has {', '.join(present)} -> check the file's layout"
            )
        return pl.scan_parquet(path).filter(wanted).select(columns).collect()
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{origin}: cannot be read ({error}) -> check the path, fetch the file again") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SourceError(f"{origin}: damaged or of another layout ({error}) -> fetch the file again") from error
