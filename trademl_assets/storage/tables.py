"""Tables as Parquet, written so that the same frame always gives the same bytes."""

from pathlib import Path

import polars as pl

COMPRESSION_LEVEL = 3


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as Parquet (zstd)."""
    frame.write_parquet(path, compression="zstd", compression_level=COMPRESSION_LEVEL, statistics=True)


def read_table(path: Path) -> pl.DataFrame:
    """Read a whole Parquet file."""
    return pl.read_parquet(path)


def scan_tables(paths: list[Path]) -> pl.LazyFrame:
    """Return one lazy frame over several Parquet files, in their order."""
    return pl.scan_parquet(paths)
