"""The order of tall rows, and where one snapshot ends and the next begins."""

from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray


def sort_rows(tall: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Bring tall rows into the order (ts, level); rows that are in order already are handed back as they are.

    Args:
        tall: Rows with `ts` (microseconds) and `level`, neither null.

    Returns:
        The sorted rows (stable: rows of equal keys keep their order) and the number of rows that came after a row
        with a greater key.
    """
    out_of_order = int(_count_out_of_order(instants_us(tall), levels(tall)))
    return (tall.sort("ts", "level", maintain_order=True) if out_of_order else tall), out_of_order


def instants_us(frame: pl.DataFrame) -> NDArray[np.int64]:
    """Instants of the column `ts`, microseconds since the epoch, UTC, shape (rows,); zero copy."""
    return _frozen(frame["ts"].to_physical().to_numpy())


def levels(tall: pl.DataFrame) -> NDArray[np.int32]:
    """Column `level`, shape (rows,); zero copy."""
    return _frozen(tall["level"].to_numpy())


def snapshot_offsets(instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row at which each snapshot starts, followed by the number of rows.

    Args:
        instants: Ascending instants of the rows, shape (rows,).

    Returns:
        Offsets of shape (snapshots + 1,): snapshot n holds the rows [offsets[n], offsets[n + 1]).
    """
    if len(instants) == 0:
        return np.zeros(1, dtype=np.int64)
    changes = np.flatnonzero(instants[1:] != instants[:-1]) + 1
    return np.concatenate(([0], changes, [len(instants)])).astype(np.int64)


def side_columns(tall: pl.DataFrame) -> tuple[NDArray[np.float64], ...]:
    """Columns bid_price, bid_quantity, ask_price, ask_quantity as read-only arrays of shape (rows,).

    Null becomes NaN, NaN becomes infinity: a level that is missing stays distinguishable from a number that is none,
    for infinity is no valid price or quantity.
    """
    columns = []
    for name in ("bid_price", "bid_quantity", "ask_price", "ask_quantity"):
        column = tall[name]
        if column.is_nan().any():
            column = column.fill_nan(np.inf)
        columns.append(_frozen(column.to_numpy()))
    return tuple(columns)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array read-only, whether it is a copy or a view: compiled passes then see one type and are compiled once."""
    array.flags.writeable = False
    return array


def _count_out_of_order_rows(instants: NDArray[np.int64], level: NDArray[np.int32]) -> int:
    count = 0
    if len(instants) == 0:
        return count
    latest, deepest = instants[0], level[0]
    for row in range(1, len(instants)):
        if instants[row] > latest:
            latest, deepest = instants[row], level[row]
        elif instants[row] < latest or level[row] < deepest:
            count += 1
        else:
            deepest = level[row]
    return count


_count_out_of_order: Any = njit(cache=True, nogil=True)(_count_out_of_order_rows)
