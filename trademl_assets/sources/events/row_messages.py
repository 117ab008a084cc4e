"""Groups rows of one change each into the messages that brought them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.sources.events.csv_blocks import CsvBlock

Changes = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RowMessage:
    """Rows that belong together.

    Attributes:
        key: Values of the grouping columns.
        place: Of the first row.
        last_line: Line number of the last row.
        bids: Price and quantity.
        asks: Price and quantity.
    """

    key: tuple[int | str, ...]
    place: str
    last_line: int
    bids: Changes
    asks: Changes


class _Columns(TypedDict):
    group_by: tuple[str, ...]
    bid_rows: pl.Expr
    price: str
    quantity: str


def row_messages(
    blocks: Iterator[CsvBlock], group_by: tuple[str, ...], bid_rows: pl.Expr, price: str, quantity: str
) -> Iterator[RowMessage]:
    """Group consecutive rows, also across blocks.

    Args:
        blocks: Blocks of a file.
        group_by: Columns that are equal within a message.
        bid_rows: Which rows are bids; the others are asks.
        price: Column of prices.
        quantity: Column of quantities.

    Yields:
        Messages in the order of the file.
    """
    columns: _Columns = {"group_by": group_by, "bid_rows": bid_rows, "price": price, "quantity": quantity}
    carried: CsvBlock | None = None
    for block in blocks:
        joined = block if carried is None else _joined(carried, block)
        starts = _starts(joined.rows, group_by)
        yield from _messages(joined, starts, **columns)
        # The last message may go on in the next block.
        last = int(starts[-1]) if len(starts) else 0
        carried = CsvBlock(joined.rows[last:], joined.lines[last:], joined.origin)
    if carried is not None and len(carried.rows):
        ends = np.array([0, len(carried.rows)])
        yield from _messages(carried, ends, **columns)


def _joined(earlier: CsvBlock, later: CsvBlock) -> CsvBlock:
    return CsvBlock(pl.concat([earlier.rows, later.rows]), earlier.lines + later.lines, later.origin)


def _starts(rows: pl.DataFrame, group_by: tuple[str, ...]) -> NDArray[np.int64]:
    if rows.is_empty():
        return np.empty(0, dtype=np.int64)
    first = rows.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in group_by))
    mask = first.to_series().to_numpy().copy()
    mask[0] = True
    return np.flatnonzero(mask)


def _messages(
    block: CsvBlock,
    bounds: NDArray[np.int64],
    *,
    group_by: tuple[str, ...],
    bid_rows: pl.Expr,
    price: str,
    quantity: str,
) -> Iterator[RowMessage]:
    """Messages between each two bounds."""
    prices, quantities = block.rows[price].to_list(), block.rows[quantity].to_list()
    is_bid = block.rows.select(bid_rows).to_series().to_list()
    keys = block.rows.select(group_by).gather(bounds[:-1]).rows()
    limits = bounds.tolist()
    for key, start, end in zip(keys, limits[:-1], limits[1:], strict=True):
        bids: Changes = []
        asks: Changes = []
        for row in range(start, end):
            (bids if is_bid[row] else asks).append((prices[row], quantities[row]))
        yield RowMessage(key, block.place(start), block.lines[end - 1], bids, asks)
