"""Reads tables of order events: Parquet, or CSV with the same columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_parquet import ParquetCaps, read_parquet_capped
from trademl_assets.sources.events.capture_source import Reading
from trademl_assets.sources.events.csv_blocks import CsvBlock, csv_blocks

PARQUET_MAGIC = b"PAR1"
COLUMNS: Mapping[str, type[pl.DataType]] = {
    "id": pl.Int64,
    "timestamp": pl.Int64,
    "price": pl.String,
    "volume": pl.Int64,
    "action": pl.String,
    "direction": pl.String,
}
ALLOWED = {"action": ("created", "changed", "deleted"), "direction": ("bid", "ask")}


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something happened to an order.

    Attributes:
        place: Instrument, day, file and row.
        number: Row or line, ascending.
        order: Identity of the order.
        time_ms: When it was received, milliseconds.
        price: As it was written.
        volume: What remains, in units of the venue's smallest step.
        action: `created`, `changed` or `deleted`.
        is_bid: Whether the order buys.
    """

    place: str
    number: int
    order: int
    time_ms: int
    price: str
    volume: int
    action: str
    is_bid: bool


def order_events(path: str, reading: Reading, max_rows: int) -> Iterator[OrderEvent]:
    """Read events in the order of the file.

    Args:
        path: Parquet or CSV; told apart by the first bytes.
        reading: Who reads.
        max_rows: Parquet files that declare more rows are refused.

    Raises:
        SourceError: The file cannot be read, lacks a column, or holds a value out of range.
    """
    origin = reading.origin(path)
    blocks = (
        _parquet_block(path, reading, max_rows)
        if _is_parquet(Path(path), origin)
        else csv_blocks(Path(path), origin, reading.caps, COLUMNS)
    )
    for block in blocks:
        _check(block)
        rows = block.rows
        columns = (rows["id"], rows["timestamp"], rows["price"], rows["volume"], rows["action"], rows["direction"])
        values = zip(*(column.to_list() for column in columns), strict=True)
        for index, (order, time_ms, price, volume, action, direction) in enumerate(values):
            yield OrderEvent(
                block.place(index), block.lines[index], order, time_ms, price, volume, action, direction == "bid"
            )


def _check(block: CsvBlock) -> None:
    for name, allowed in ALLOWED.items():
        if not (fits := block.rows[name].is_in(allowed)).all():
            row = int(fits.arg_min() or 0)
            raise SourceError(
                f"{block.place(row)}: column {name} holds {block.rows[name][row]!r}, expected {' or '.join(allowed)} "
                "-> check the file's layout"
            )
    if not (fits := block.rows["volume"] >= 0).all():
        row = int(fits.arg_min() or 0)
        raise SourceError(f"{block.place(row)}: volume {block.rows['volume'][row]} is negative -> fetch the file again")


def _is_parquet(path: Path, origin: str) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    except OSError as error:
        reason = error.strerror or error
        raise SourceError(f"{origin}: cannot be read ({reason}) -> check the path and its rights") from error


def _parquet_block(path: str, reading: Reading, max_rows: int) -> Iterator[CsvBlock]:
    origin = reading.origin(path)
    caps = ParquetCaps(max_rows, reading.caps.file_bytes)
    rows = read_parquet_capped(Path(path), origin, caps, pl.lit(value=True), list(COLUMNS))
    try:
        rows = rows.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{origin}: columns are of other types ({error}) -> check the layout") from error
    if sum(rows.null_count().row(0)):
        raise SourceError(f"{origin}: has empty cells -> fetch the file again")
    yield CsvBlock(rows, list(range(1, len(rows) + 1)), origin)
