"""The one pass over clean rows that fills the slots of compressed snapshots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BPS = 10_000.0


@dataclass(frozen=True)
class Target:
    """What the pass writes: one row a snapshot.

    Attributes:
        mid: (snapshots,).
        scalars: (2, snapshots): spread and distance of the microprice from the mid, bps.
        locked: (snapshots,): best bid and ask are equal.
        slots: (4, snapshots, slots), in the order of `SNAPSHOT_ARRAYS`.
    """

    mid: NDArray[np.float64]
    scalars: NDArray[np.float32]
    locked: NDArray[np.bool_]
    slots: NDArray[np.float32]

    @classmethod
    def empty(cls, snapshots: int, slots: int) -> "Target":
        """Room for so many snapshots."""
        return cls(
            mid=np.empty(snapshots, np.float64),
            scalars=np.empty((2, snapshots), np.float32),
            locked=np.empty(snapshots, np.bool_),
            slots=np.empty((4, snapshots, slots), np.float32),
        )


def compress_block(
    block: tuple[int, int], rows: tuple[Any, ...], kept: tuple[Any, ...], target: Target
) -> tuple[int, float, float, float]:
    """Compress the snapshots of a block.

    Args:
        block: First snapshot and the one behind the last.
        rows: As `ordering.rows_of_block` gives them.
        kept: Near levels, kept depth of both sides, edges of the bins, whether they are levels.
        target: Is filled for these snapshots.

    Returns:
        The first snapshot that was not cleaned or -1; all quantity, that beyond the bins, that of unpopulated levels.
    """
    found: tuple[int, float, float, float] = _compress(
        block, *rows, *kept, target.mid, target.scalars, target.locked, target.slots
    )
    return found


def _compress_snapshots(  # noqa: C901, PLR0912, PLR0915, PLR0917 - one compiled pass, without keywords
    block: tuple[int, int],
    offsets: NDArray[np.int64],
    level: NDArray[np.int32],
    sides: tuple[NDArray[np.float64], ...],
    near_levels: int,
    kept: tuple[int, int],
    edges: NDArray[np.float64],
    by_level: bool,  # noqa: FBT001 - compiled code takes no keywords
    mid: NDArray[np.float64],
    scalars: NDArray[np.float32],
    locked: NDArray[np.bool_],
    slots: NDArray[np.float32],
) -> tuple[int, float, float, float]:
    """Compress the snapshots of a block into the rows of the last four arguments.

    Returns:
        The first snapshot that was not cleaned or -1; all quantity, that beyond the bins, that of unpopulated levels.
    """
    bid_price, bid_quantity, ask_price, ask_quantity = sides
    bins = len(edges)
    weighted, summed = np.empty(bins, np.float64), np.empty(bins, np.float64)
    total, beyond, unpopulated = 0.0, 0.0, 0.0
    for n in range(block[0], block[1]):
        first, last = offsets[n], offsets[n + 1]
        bid, ask, bid_size, ask_size = bid_price[first], ask_price[first], bid_quantity[first], ask_quantity[first]
        if not (level[first] == 0 and 0 < bid <= ask < np.inf and 0 < bid_size < np.inf and 0 < ask_size < np.inf):
            return n, total, beyond, unpopulated
        middle = (bid + ask) / 2
        mid[n] = middle
        scalars[0, n] = (ask - bid) / middle * BPS
        microprice = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
        scalars[1, n] = (microprice - middle) / middle * BPS
        locked[n] = bid == ask
        for side in range(2):
            price, quantity = sides[2 * side], sides[2 * side + 1]
            distances, sizes = slots[2 * side, n], slots[2 * side + 1, n]
            distances[:] = np.nan
            sizes[:] = np.nan
            sign = -1.0 if side == 0 else 1.0
            weighted[:] = 0.0
            summed[:] = 0.0
            farthest, reached = 0.0, 0.0
            bin_at = 0
            for row in range(first, last):
                size = quantity[row]
                if not size > 0:
                    continue
                distance = sign * (price[row] - middle) / middle * BPS
                if not distance >= farthest or (row > first and level[row] <= level[row - 1]):
                    return n, total, beyond, unpopulated
                farthest = distance
                total += size
                if level[row] >= kept[side]:
                    unpopulated += size
                    continue
                reached = float(level[row]) if by_level else distance
                if level[row] < near_levels:
                    distances[level[row]] = distance
                    sizes[level[row]] = size
                    continue
                while bin_at < bins and reached >= edges[bin_at]:
                    bin_at += 1
                if bin_at < bins:
                    weighted[bin_at] += size * distance
                    summed[bin_at] += size
                else:
                    beyond += size
            for b in range(bins):
                begins = edges[b - 1] if b > 0 else (float(near_levels) if by_level else 0.0)
                if summed[b] > 0:
                    distances[near_levels + b] = weighted[b] / summed[b]
                    sizes[near_levels + b] = summed[b]
                elif begins <= reached:
                    sizes[near_levels + b] = 0.0
    return -1, total, beyond, unpopulated


_compress: Any = njit(cache=True, nogil=True)(_compress_snapshots)
