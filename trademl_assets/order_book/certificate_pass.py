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
        rows: As `ordering.rows_of_block` gives them.
        after: Mids and the four arrays of slots.
        kept: Near levels, kept depth, edges of the bins, whether they are levels.
        units: Tick size, bands in bps, sizes of orders as quantities.
    """
    tick, bands, sizes = units
    tally = Tally.empty(len(bands), len(sizes))
    sums = (tally.total, tally.weight, tally.count, tally.before, tally.after, tally.thin)
    _compare(block, rows, after, kept, tick, bands, sizes, tally.worst, tally.worst_at, sums)
    return tally


def _note_errors(  # noqa: PLR0917 - compiled code takes no keywords
    place: int,
    compared: int,
    largest: float,
    sum_of_errors: float,
    weight: float,
    n: int,
    worst: Any,
    worst_at: Any,
    total: Any,
    weights: Any,
    count: Any,
) -> None:
    """Add the errors of one side of a snapshot; of equal worst errors the first stays."""
    if largest > worst[place]:
        worst[place], worst_at[place] = largest, n
    total[place] += sum_of_errors
    weights[place] += weight
    count[place] += compared


_note: Any = njit(cache=True, nogil=True)(_note_errors)


def _walk_levels(  # noqa: PLR0917 -- compiled code takes no keywords
    distances: Any, quantities: Any, levels: int, bands: Any, sizes: Any, within: Any, costs: Any
) -> None:
    """Walk one side once, outward: quantity within each band, mean distance in bps that each order pays.

    Args:
        distances: Of the levels, bps, nearest first.
        quantities: Of the same levels.
        levels: How many there are.
        bands: Distances in bps, ascending.
        sizes: Quantities, ascending.
        within: (bands,) is filled with quantities.
        costs: (sizes,) is filled with costs, NaN where the book is too thin for the order.
    """
    band, size, reached, paid = 0, 0, 0.0, 0.0
    for k in range(levels):
        distance, quantity = distances[k], quantities[k]
        while band < len(bands) and distance >= bands[band]:
            within[band] = reached
            band += 1
        while size < len(sizes) and reached + quantity >= sizes[size]:
            costs[size] = (paid + (sizes[size] - reached) * distance) / sizes[size]
            size += 1
        reached += quantity
        paid += quantity * distance
    within[band:] = reached
    costs[size:] = np.nan


_walk: Any = njit(cache=True, nogil=True)(_walk_levels)


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
    within, later_within = np.empty(len(bands)), np.empty(len(bands))
    costs, later_costs = np.empty(len(sizes)), np.empty(len(sizes))
    for n in range(block[0], block[1]):
        mid = mids[n]
        to_ticks = mid / BPS / tick
        for side in range(2):
            price, size = sides[2 * side], sides[2 * side + 1]
            kept_distance, kept_quantity = slots[2 * side][n], slots[2 * side + 1][n]
            sign = -1.0 if side == 0 else 1.0
            found, bin_at = 0, 0
            near_count, bin_count = 0, 0
            near_weight, near_price, near_quantity, bin_weight, bin_price = 0.0, 0.0, 0.0, 0.0, 0.0
            worst_price, worst_quantity, worst_bin = 0.0, 0.0, 0.0
            for row in range(offsets[n], offsets[n + 1]):
                held = size[row]
                if not held > 0:
                    continue
                away = sign * (price[row] - mid) / mid * BPS
                distance[found], quantity[found] = away, held
                found += 1
                here = level[row]
                if here >= kept_levels[side]:
                    continue
                if here < near_levels:
                    error = abs(away - kept_distance[here]) * to_ticks
                    difference = abs(held - kept_quantity[here])
                    worst_price = max(worst_price, error)
                    worst_quantity = max(worst_quantity, difference / held)
                    near_price += error * held
                    near_quantity += difference
                    near_weight += held
                    near_count += 1
                    continue
                reached = float(here) if by_level else away
                while bin_at < bins and reached >= edges[bin_at]:
                    bin_at += 1
                if bin_at < bins:
                    error = abs(away - kept_distance[near_levels + bin_at]) * to_ticks
                    worst_bin = max(worst_bin, error)
                    bin_price += error * held
                    bin_weight += held
                    bin_count += 1
            _note(0, near_count, worst_price, near_price, near_weight, n, worst, worst_at, total, weights, count)
            _note(1, near_count, worst_quantity, near_quantity, near_weight, n, worst, worst_at, total, weights, count)
            _note(2, bin_count, worst_bin, bin_price, bin_weight, n, worst, worst_at, total, weights, count)
            filled = 0
            for slot in range(width):
                if kept_quantity[slot] > 0:
                    slot_distance[filled], slot_quantity[filled] = kept_distance[slot], kept_quantity[slot]
                    filled += 1
            _walk(distance, quantity, found, bands, sizes, within, costs)
            _walk(slot_distance, slot_quantity, filled, bands, sizes, later_within, later_costs)
            for b in range(len(bands)):
                if within[b] > 0:
                    error = abs(later_within[b] - within[b]) / within[b]
                    _note(3 + b, 1, error, error, 1.0, n, worst, worst_at, total, weights, count)
                    sum_before[3 + b] += within[b]
                    sum_after[3 + b] += later_within[b]
            for s in range(len(sizes)):
                place = 3 + len(bands) + s
                if np.isnan(costs[s]):
                    thin[0, s] += 1
                elif np.isnan(later_costs[s]):
                    thin[1, s] += 1
                else:
                    error = abs(later_costs[s] - costs[s])
                    _note(place, 1, error, error, 1.0, n, worst, worst_at, total, weights, count)
                    sum_before[place] += costs[s]
                    sum_after[place] += later_costs[s]


_compare: Any = njit(cache=True, nogil=True)(_compare_snapshots)
