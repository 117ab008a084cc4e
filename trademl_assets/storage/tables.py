"""Tables as Parquet, written so that the same frame always gives the same bytes."""

from io import RawIOBase
from pathlib import Path
from typing import IO, cast

import polars as pl

COMPRESSION_LEVEL = 3


def write_table(frame: pl.DataFrame, target: Path | RawIOBase) -> None:
    """Write a frame as Parquet (zstd), whatever pieces it is held in: the same rows give the same bytes."""
    sink = cast("Path | IO[bytes]", target)  # polars asks of a file no more than that it can be written to
    frame.rechunk().write_parquet(sink, compression="zstd", compression_level=COMPRESSION_LEVEL, statistics=True)


def read_table(path: Path) -> pl.DataFrame:
    """Read a whole Parquet file; its path adds no columns."""
    return pl.read_parquet(path, glob=False, hive_partitioning=False)


def table_schema(path: Path) -> dict[str, pl.DataType]:
    """Return names and types of a Parquet file's columns, in their order."""
    return dict(pl.read_parquet_schema(path))


def scan_tables(paths: list[Path]) -> pl.LazyFrame:
    """Return one lazy frame over several Parquet files, in their order; their paths add no columns."""
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
