"""The order of tall rows, and where one snapshot ends and the next begins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True)
class Disorder:
    """How far rows are from the order (ts, level).

    Attributes:
        rows: Rows that came after a row with a greater key.
        most_late_us: How far an instant lay behind the latest before it, microseconds; 0 where only levels are
            out of order.
        repeated: Whether two rows in succession have the same key; in sorted rows: whether any key repeats.
        changes: How often the instant differs from that of the row before.
    """

    rows: int
    most_late_us: int
    repeated: bool
    changes: int


def measure_disorder(tall: pl.DataFrame) -> Disorder:
    """Look over the keys of tall rows once; `ts` and `level` are not null."""
    rows, most_late_us, repeated, changes = _measure(instants_us(tall), levels(tall))
    return Disorder(int(rows), int(most_late_us), bool(repeated), int(changes))


def sort_rows(tall: pl.DataFrame) -> tuple[pl.DataFrame, Disorder]:
    """Bring tall rows into the order (ts, level); rows that are in order already are handed back as they are.

    Args:
        tall: Rows with `ts` (microseconds) and `level`, neither null.

    Returns:
        The sorted rows (stable: rows of equal keys keep their order) and how far they were from that order.
    """
    disorder = measure_disorder(tall)
    return (tall.sort("ts", "level", maintain_order=True) if disorder.rows else tall), disorder


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
        if column.null_count():
            column = column.fill_null(np.nan)  # in half the time that to_numpy takes for it
        columns.append(_frozen(column.to_numpy()))
    return tuple(columns)


def rows_of_block(
    tall: pl.DataFrame, offsets: NDArray[np.int64], block: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int32], tuple[NDArray[np.float64], ...]]:
    """The rows of some snapshots for a compiled pass, small enough to stay near the processor.

    Args:
        tall: Sorted rows.
        offsets: Of all snapshots, as `snapshot_offsets` gives them.
        block: First snapshot and the one behind the last.

    Returns:
        Offsets of all snapshots counted from the block's first row, and the block's levels and side columns.
    """
    first, last = int(offsets[block[0]]), int(offsets[block[1]])
    part = tall.slice(first, last - first)
    return offsets - first, levels(part), side_columns(part)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array read-only, whether it is a copy or a view: compiled passes then see one type and are compiled once."""
    array.flags.writeable = False
    return array


def _measure_keys(instants: NDArray[np.int64], level: NDArray[np.int32]) -> tuple[int, int, bool, int]:
    count, most_late, repeated, changes = 0, 0, False, 0
    if len(instants) == 0:
        return count, most_late, repeated, changes
    latest, deepest = instants[0], level[0]
    for row in range(1, len(instants)):
        if instants[row] != instants[row - 1]:
            changes += 1
        elif level[row] == level[row - 1]:
            repeated = True
        if instants[row] > latest:
            latest, deepest = instants[row], level[row]
        elif instants[row] < latest or level[row] < deepest:
            count += 1
            most_late = max(most_late, latest - instants[row])
        else:
            deepest = level[row]
    return count, most_late, repeated, changes


_measure: Any = njit(cache=True, nogil=True)(_measure_keys)
