"""Books of the planted market as tables: compressed snapshots directly, or the tall rows that compress to the same."""

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.sources.contract import INSTANT, SNAPSHOT_ARRAYS, TALL_SCHEMA, snapshot_schema
from trademl_assets.sources.planted_books import ASK, BID, Integers, Levels, SlotBooks


class _Rows(NamedTuple):
    """Columns of tall rows, filled in place; price and quantity have shape (2, rows), bid first."""

    level: NDArray[np.int32]
    price: NDArray[np.float64]
    quantity: NDArray[np.float64]


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
    mid = books.best.sum(axis=1) / 2
    half = (books.best[:, ASK] - books.best[:, BID]) / 2
    arrays = [_slot_arrays(books, side, half, mid) for side in (BID, ASK)]
    bid, ask = books.quantity[:, 0, BID], books.quantity[:, 0, ASK]
    columns = {
        "ts": _stamps(books, day),
        "batch_id": first_batch + books.steps,
        "mid": mid * tick_size,
        "spread_bps": (2 * half / mid * 1e4).astype(np.float32),
        "microprice_bps": (half * (bid - ask) / (bid + ask) / mid * 1e4).astype(np.float32),
        "locked": np.zeros(mid.size, dtype=np.bool_),
        **dict(zip(SNAPSHOT_ARRAYS, [*arrays[BID], *arrays[ASK]], strict=True)),
    }
    return pl.DataFrame(columns, schema=snapshot_schema(books.quantity.shape[1]))


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
    depth = books.levels.near.shape[1] + books.levels.held.sum(axis=1).max(axis=1)
    ends = np.cumsum(depth)
    total = int(depth.sum())
    rows = _Rows(np.empty(total, np.int32), np.full((2, total), np.nan), np.full((2, total), np.nan))
    lift = np.where(books.crossed, books.best[:, ASK] - books.best[:, BID] + 1, 0)
    best = books.best + np.stack([lift, np.zeros_like(lift)], axis=1)
    _expand(rows, best, books.levels, books.quantity, ends - depth, tick_size)
    of_row = np.repeat(np.arange(depth.size), depth)
    columns = {
        "ts": _stamps(books, day).gather(of_row),
        "batch_id": (first_batch + books.steps)[of_row],
        "level": rows.level,
        "bid_price": rows.price[BID],
        "bid_quantity": rows.quantity[BID],
        "ask_price": rows.price[ASK],
        "ask_quantity": rows.quantity[ASK],
    }
    return pl.DataFrame(columns, schema=dict(TALL_SCHEMA)).with_columns(pl.col(pl.Float64).fill_nan(None))


def _slot_arrays(
    books: SlotBooks, side: int, half: NDArray[np.float64], mid: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance in bps and quantity of a side's slots, shape (N, slots) each, absent ones marked as the schema says."""
    near, count = books.levels.near.shape[1], books.levels.held[:, :, side]
    quantity = books.quantity[:, :, side].astype(np.float32)
    distance = np.empty(quantity.shape, np.float32)
    to_bps = 1e4 / mid[:, None]
    distance[:, :near] = (books.levels.near[:, :, side] + half[:, None]) * to_bps
    center = books.levels.start[:, :, side] + books.levels.gap[:, :, side] * ((count - 1) / 2)
    distance[:, near:] = np.where(count > 0, (center + half[:, None]) * to_bps, np.nan)
    unseen = np.cumsum(count[:, ::-1], axis=1)[:, ::-1] == 0
    unseen[:, 0] = False
    quantity[:, near:][unseen] = np.nan
    return distance, quantity


def _stamps(books: SlotBooks, day: date) -> pl.Series:
    return pl.Series("ts", to_microseconds(day_start(day)) + books.offset_us).cast(INSTANT)


@njit(cache=True)
def _expand(  # noqa: PLR0917 -- a kernel
    rows: _Rows,
    best: Integers,
    levels: Levels,
    slot_quantity: NDArray[np.float64],
    starts: Integers,
    tick_size: float,
) -> None:
    """Write the levels of each book to its rows; rows that a side does not reach keep their NaN."""
    near, bins = levels.near.shape[1], levels.held.shape[1]
    for n in range(starts.size):
        for side in range(2):
            direction = 2 * side - 1
            row = starts[n]
            for i in range(near):
                rows.level[row] = i
                rows.price[side, row] = (best[n, side] + direction * levels.near[n, i, side]) * tick_size
                rows.quantity[side, row] = slot_quantity[n, i, side]
                row += 1
            for b in range(bins):
                held = levels.held[n, b, side]
                for i in range(held):
                    ticks = levels.start[n, b, side] + i * levels.gap[n, b, side]
                    rows.level[row] = row - starts[n]
                    rows.price[side, row] = (best[n, side] + direction * ticks) * tick_size
                    rows.quantity[side, row] = slot_quantity[n, near + b, side] / held
                    row += 1
