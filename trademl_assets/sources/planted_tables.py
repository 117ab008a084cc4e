"""Books of the planted market as tables: compressed snapshots directly, or the tall rows that compress to the same."""

from datetime import date

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.sources.contract import INSTANT, SNAPSHOT_ARRAYS, TALL_SCHEMA, snapshot_schema
from trademl_assets.sources.planted_books import ASK, BID, Integers, SlotBooks


def snapshot_table(books: SlotBooks, day: date, first_batch: int, tick_size: float) -> pl.DataFrame:
    """Write books as compressed snapshots, crossed ones left out.

    Args:
        books: Books of the day.
        day: The day.
        first_batch: `batch_id` of the day's step 0.
        tick_size: Tick of the instrument in quote currency.

    Returns:
        Frame of `snapshot_schema`, one row per snapshot, sorted by `ts`.
    """
    if books.crossed.any():
        books = books.take(~books.crossed)
    near, bins = books.near_ticks.shape[1], books.bin_count.shape[1]
    mid = books.best.sum(axis=1) / 2
    half = (books.best[:, ASK] - books.best[:, BID]) / 2
    columns: dict[str, pl.Series] = {}
    for side, name in ((BID, "bid"), (ASK, "ask")):
        distance = np.empty((mid.size, near + bins), np.float32)
        quantity = books.quantity[:, :, side].astype(np.float32)
        distance[:, :near] = (books.near_ticks[:, :, side] + half[:, None]) / mid[:, None] * 1e4
        count = books.bin_count[:, :, side]
        center = books.bin_start[:, :, side] + books.bin_gap[:, :, side] * ((count - 1) / 2)
        distance[:, near:] = np.where(count > 0, (center + half[:, None]) / mid[:, None] * 1e4, np.nan)
        deeper = np.cumsum(count[:, ::-1], axis=1)[:, ::-1]
        quantity[:, near:][deeper == 0] = np.nan
        columns[f"{name}_distance_bps"] = pl.Series(distance)
        columns[f"{name}_quantity"] = pl.Series(quantity)
    bid, ask = books.quantity[:, 0, BID], books.quantity[:, 0, ASK]
    frame = pl.DataFrame(
        {
            "ts": _stamps(books, day),
            "batch_id": first_batch + books.steps,
            "mid": mid * tick_size,
            "spread_bps": (2 * half / mid * 1e4).astype(np.float32),
            "microprice_bps": (half * (bid - ask) / (bid + ask) / mid * 1e4).astype(np.float32),
            "locked": np.zeros(mid.size, dtype=np.bool_),
            **{name: columns[name] for name in SNAPSHOT_ARRAYS},
        },
    )
    return frame.cast(dict(snapshot_schema(near + bins)))


def tall_table(books: SlotBooks, day: date, first_batch: int, tick_size: float) -> pl.DataFrame:
    """Write books as tall rows, crossed ones included with their bids lifted through the ask.

    Args:
        books: Books of the day.
        day: The day.
        first_batch: `batch_id` of the day's step 0.
        tick_size: Tick of the instrument in quote currency.

    Returns:
        Frame of `TALL_SCHEMA`, sorted by (`ts`, `level`).
    """
    near = books.near_ticks.shape[1]
    depth = near + books.bin_count.sum(axis=1).max(axis=1)
    ends = np.cumsum(depth)
    level = np.empty(depth.sum(), np.int32)
    price, quantity = np.full((2, level.size), np.nan), np.full((2, level.size), np.nan)
    lift = np.where(books.crossed, books.best[:, ASK] - books.best[:, BID] + 1, 0)
    _expand(
        books.best + np.stack([lift, np.zeros_like(lift)], axis=1),
        books.near_ticks,
        books.bin_start,
        books.bin_gap,
        books.bin_count,
        books.quantity,
        ends - depth,
        ends,
        tick_size,
        level,
        price,
        quantity,
    )
    rows = np.repeat(np.arange(depth.size), depth)
    frame = pl.DataFrame(
        {
            "ts": _stamps(books, day).gather(rows),
            "batch_id": (first_batch + books.steps)[rows],
            "level": level,
            "bid_price": price[BID],
            "bid_quantity": quantity[BID],
            "ask_price": price[ASK],
            "ask_quantity": quantity[ASK],
        },
        schema_overrides=dict(TALL_SCHEMA),
    )
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def _stamps(books: SlotBooks, day: date) -> pl.Series:
    return pl.Series("ts", to_microseconds(day_start(day)) + books.offset_us).cast(INSTANT)


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _expand(
    best: Integers,
    near_ticks: NDArray[np.int32],
    bin_start: NDArray[np.int32],
    bin_gap: NDArray[np.int32],
    bin_count: NDArray[np.int32],
    slot_quantity: NDArray[np.float64],
    starts: Integers,
    ends: Integers,
    tick_size: float,
    level: NDArray[np.int32],
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
) -> None:
    """Write the levels of each book to its rows in place; rows that a side does not reach keep their NaN."""
    near, bins = near_ticks.shape[1], bin_count.shape[1]
    for n in range(starts.size):
        for row in range(starts[n], ends[n]):
            level[row] = row - starts[n]
        for side in range(2):
            direction = -1 if side == 0 else 1
            row = starts[n]
            for i in range(near):
                price[side, row] = (best[n, side] + direction * near_ticks[n, i, side]) * tick_size
                quantity[side, row] = slot_quantity[n, i, side]
                row += 1
            for b in range(bins):
                held = bin_count[n, b, side]
                for i in range(held):
                    price[side, row] = (
                        best[n, side] + direction * (bin_start[n, b, side] + i * bin_gap[n, b, side])
                    ) * tick_size
                    quantity[side, row] = slot_quantity[n, near + b, side] / held
                    row += 1
