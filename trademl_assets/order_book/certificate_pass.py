"""The one pass over rows and snapshots that measures what compression cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BPS = 10_000.0
NEAR_PRICE, NEAR_QUANTITY, BIN_PRICE, FIXED = 0, 1, 2, 3
"""Places of the errors; behind them stand the bands of depth, then the sizes of orders."""


@dataclass(frozen=True)
class Tally:
    """Errors summed over snapshots, each array with a place for every kind of error.

    Attributes:
        worst: Largest error.
        worst_at: Snapshot of the largest.
        total: Sum of the errors times their weights.
        weight: Sum of the weights.
        count: Number of comparisons.
        before: Sum of the values before.
        after: Sum of the values after.
        thin: (2, sizes): books too thin for an order before, and after only.
    """

    worst: NDArray[np.float64]
    worst_at: NDArray[np.int64]
    total: NDArray[np.float64]
    weight: NDArray[np.float64]
    count: NDArray[np.int64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    thin: NDArray[np.int64]

    @classmethod
    def empty(cls, bands: int, sizes: int) -> "Tally":
        """Nothing compared yet."""
        places = FIXED + bands + sizes
        return cls(
            worst=np.zeros(places),
            worst_at=np.zeros(places, np.int64),
            total=np.zeros(places),
            weight=np.zeros(places),
            count=np.zeros(places, np.int64),
            before=np.zeros(places),
            after=np.zeros(places),
            thin=np.zeros((2, sizes), np.int64),
        )

    @classmethod
    def sum(cls, tallies: Iterable["Tally"], bands: int, sizes: int) -> "Tally":
        """All of them together, in their order; of equal worst errors the first counts."""
        found = cls.empty(bands, sizes)
        for each in tallies:
            larger = each.worst > found.worst
            found.worst[larger], found.worst_at[larger] = each.worst[larger], each.worst_at[larger]
            for name in ("total", "weight", "count", "before", "after", "thin"):
                np.add(getattr(found, name), getattr(each, name), out=getattr(found, name))
        return found


def compare_block(
    block: tuple[int, int],
    rows: tuple[Any, ...],
    after: tuple[Any, ...],
    kept: tuple[Any, ...],
    units: tuple[float, NDArray[np.float64], NDArray[np.float64]],
) -> Tally:
    """Compare the snapshots of a block.

    Args:
        block: First snapshot and the one behind the last.
        rows: Offsets, levels and the four columns of the sides, as in the compression.
        after: Mids and the four arrays of slots.
        kept: Near levels, kept depth, edges of the bins, whether they are levels.
        units: Tick size, bands in bps, sizes of orders as quantities.
    """
    tick, bands, sizes = units
    tally = Tally.empty(len(bands), len(sizes))
    sums = (tally.total, tally.weight, tally.count, tally.before, tally.after, tally.thin)
    _compare(block, rows, after, kept, tick, bands, sizes, tally.worst, tally.worst_at, sums)
    return tally


def _note_error(  # noqa: PLR0917 - compiled code takes no keywords
    place: int, error: float, weight: float, n: int, worst: Any, worst_at: Any, total: Any, weights: Any, count: Any
) -> None:
    if error > worst[place]:
        worst[place], worst_at[place] = error, n
    total[place] += error * weight
    weights[place] += weight
    count[place] += 1


_note: Any = njit(cache=True, nogil=True)(_note_error)


def _order_cost_bps(distances: NDArray[np.float64], quantities: NDArray[np.float64], levels: int, size: float) -> float:
    """Mean distance from the mid, in bps, that an order pays; NaN where the book is too thin for it."""
    left, paid = size, 0.0
    for k in range(levels):
        taken = min(left, float(quantities[k]))
        paid += taken * float(distances[k])
        left -= taken
        if left <= 0:
            return paid / size
    return np.nan


_cost_bps: Any = njit(cache=True, nogil=True)(_order_cost_bps)


def _compare_snapshots(  # noqa: C901, PLR0912, PLR0915, PLR0917 - one compiled pass, without keywords
    block: tuple[int, int],
    rows: tuple[Any, ...],
    after: tuple[Any, ...],
    kept: tuple[Any, ...],
    tick: float,
    bands: NDArray[np.float64],
    sizes: NDArray[np.float64],
    worst: NDArray[np.float64],
    worst_at: NDArray[np.int64],
    sums: tuple[Any, ...],
) -> None:
    offsets, level, sides = rows
    mids, slots = after
    near_levels, kept_levels, edges, by_level = kept
    total, weights, count, sum_before, sum_after, thin = sums
    bins, width = len(edges), slots[0].shape[1]
    most = 0
    for n in range(block[0], block[1]):
        most = max(most, offsets[n + 1] - offsets[n])
    distance, quantity = np.empty(most), np.empty(most)
    slot_distance, slot_quantity = np.empty(width), np.empty(width)
    for n in range(block[0], block[1]):
        mid = mids[n]
        to_ticks = mid / BPS / tick
        for side in range(2):
            price, size = sides[2 * side], sides[2 * side + 1]
            kept_distance, kept_quantity = slots[2 * side][n], slots[2 * side + 1][n]
            sign = -1.0 if side == 0 else 1.0
            found, bin_at = 0, 0
            for row in range(offsets[n], offsets[n + 1]):
                if not size[row] > 0:
                    continue
                away = sign * (price[row] - mid) / mid * BPS
                distance[found], quantity[found] = away, size[row]
                found += 1
                if level[row] >= kept_levels[side]:
                    continue
                if level[row] < near_levels:
                    error = abs(away - kept_distance[level[row]]) * to_ticks
                    _note(0, error, size[row], n, worst, worst_at, total, weights, count)
                    share = abs(size[row] - kept_quantity[level[row]]) / size[row]
                    _note(1, share, size[row], n, worst, worst_at, total, weights, count)
                    continue
                reached = float(level[row]) if by_level else away
                while bin_at < bins and reached >= edges[bin_at]:
                    bin_at += 1
                if bin_at < bins:
                    error = abs(away - kept_distance[near_levels + bin_at]) * to_ticks
                    _note(2, error, size[row], n, worst, worst_at, total, weights, count)
            held = 0
            for slot in range(width):
                if kept_quantity[slot] > 0:
                    slot_distance[held], slot_quantity[held] = kept_distance[slot], kept_quantity[slot]
                    held += 1
            for b in range(len(bands)):
                before, later = 0.0, 0.0
                for k in range(found):
                    if distance[k] >= bands[b]:
                        break
                    before += quantity[k]
                for k in range(held):
                    if slot_distance[k] >= bands[b]:
                        break
                    later += slot_quantity[k]
                if before > 0:
                    _note(3 + b, abs(later - before) / before, 1.0, n, worst, worst_at, total, weights, count)
                    sum_before[3 + b] += before
                    sum_after[3 + b] += later
            for s in range(len(sizes)):
                place = 3 + len(bands) + s
                cost = _cost_bps(distance, quantity, found, sizes[s])
                if np.isnan(cost):
                    thin[0, s] += 1
                    continue
                later_cost = _cost_bps(slot_distance, slot_quantity, held, sizes[s])
                if np.isnan(later_cost):
                    thin[1, s] += 1
                    continue
                _note(place, abs(later_cost - cost), 1.0, n, worst, worst_at, total, weights, count)
                sum_before[place] += cost
                sum_after[place] += later_cost


_compare: Any = njit(cache=True, nogil=True)(_compare_snapshots)
