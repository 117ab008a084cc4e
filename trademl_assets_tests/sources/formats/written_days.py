"""Writes a known tall day in every format that the importers read."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

SIDES = ("bid", "ask")


def listed(tall: pl.DataFrame) -> pl.DataFrame:
    """One row a book, its levels as lists; a missing level ends its list."""
    lists = [
        pl.col(f"{side}_{written}").filter(pl.col(f"{side}_price").is_not_null()).alias(f"{side}_{name}")
        for side in SIDES
        for written, name in (("price", "price"), ("quantity", "size"))
    ]
    return tall.group_by("ts", pl.col("batch_id").alias("last_update_id"), maintain_order=True).agg(lists)


def sided(tall: pl.DataFrame) -> pl.DataFrame:
    """One row a level and side."""
    halves = [
        tall.select(
            "ts", "batch_id", "level", pl.lit(side[0]).alias("side"), price=f"{side}_price", size=f"{side}_quantity"
        )
        for side in SIDES
    ]
    return pl.concat(halves).drop_nulls("price").sort("ts", "side", "level", maintain_order=True)


def numbered(tall: pl.DataFrame, names: Callable[[str, int], str], *, first: int = 0) -> pl.DataFrame:
    """One row a book, a column a level and quality."""
    depth = int(tall["level"].max()) + 1  # type: ignore[arg-type] -- the levels of a test are numbers
    columns = [
        pl.col(quality).filter(pl.col("level") == level).first().alias(names(quality, level + first))
        for level in range(depth)
        for quality in ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    ]
    return tall.group_by("ts", "batch_id", maintain_order=True).agg(columns)


def tardis(tall: pl.DataFrame, symbol: str = "ABCUSDT") -> pl.DataFrame:
    """The columns of Tardis book snapshots."""

    def name(quality: str, level: int) -> str:
        side, what = quality.split("_")
        return f"{side}s[{level}].{'price' if what == 'price' else 'amount'}"

    wide = numbered(tall, name)
    microseconds = pl.col("ts").dt.timestamp("us")
    return wide.select(
        pl.lit("binance").alias("exchange"),
        pl.lit(symbol).alias("symbol"),
        timestamp=microseconds,
        local_timestamp=microseconds + 1,
    ).hstack(wide.drop("ts", "batch_id"))


def json_levels(tall: pl.DataFrame) -> pl.DataFrame:
    """Milliseconds and JSON text of each side."""
    texts: dict[str, list[str]] = {"b": [], "a": []}
    books = listed(tall)
    for book in books.iter_rows(named=True):
        for short, side in (("b", "bid"), ("a", "ask")):
            levels = zip(book[f"{side}_price"], book[f"{side}_size"], strict=True)
            texts[short].append(json.dumps([[repr(price), repr(size)] for price, size in levels]))
    return books.select(tm=pl.col("ts").dt.timestamp("ms")).with_columns(**{k: pl.Series(v) for k, v in texts.items()})


def book_ticker(tall: pl.DataFrame) -> pl.DataFrame:
    """The columns of the bookTicker archive."""
    milliseconds = pl.col("ts").dt.timestamp("ms")
    return tall.filter(pl.col("level") == 0).select(
        update_id="batch_id",
        best_bid_price="bid_price",
        best_bid_qty="bid_quantity",
        best_ask_price="ask_price",
        best_ask_qty="ask_quantity",
        transaction_time=milliseconds,
        event_time=milliseconds + 2,
    )


def with_epoch(frame: pl.DataFrame, unit: str = "us") -> pl.DataFrame:
    """`ts` as a number."""
    return frame.with_columns(ts=pl.col("ts").dt.epoch(unit))  # type: ignore[arg-type] -- the units of a test are known


def write(frame: pl.DataFrame, path: Path, **csv: Any) -> Path:
    """Write a frame as the name says: `.parquet`, or `.csv` with `.gz`, `.zst` or `.zip`."""
    if path.suffix == ".parquet":
        frame.write_parquet(path)
        return path
    return compress(frame.write_csv(**csv).encode(), path)


def compress(content: bytes, path: Path) -> Path:
    """Write bytes as the name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
        return path
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)
    return path
