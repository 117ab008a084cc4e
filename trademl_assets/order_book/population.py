"""How often each level of a day was populated, and which levels the next day keeps for it.

Counted on raw rows as they are extracted; the count outlives the rows. A day is judged by the day BEFORE it: counting
on the same day would let a level exist in the morning because of the evening.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import day_bounds, to_microseconds
from trademl_assets.order_book.ordering import instants_us, levels

POPULATION_SCHEMA: Mapping[str, pl.DataType] = {
    "level": pl.Int32(),
    "bid_snapshots": pl.Int64(),
    "ask_snapshots": pl.Int64(),
}
"""One row per level from 0 to the deepest populated one: rows of the day with a quantity above 0 there, by side."""


@dataclass(frozen=True)
class KeptDepth:
    """Levels [0, n) of each side that a day keeps."""

    bid: int
    ask: int


def count_populated_levels(tall: pl.DataFrame, day: date) -> pl.DataFrame:
    """Count, for every level, how many snapshots of the day have a quantity above 0 there.

    Rows are not what is counted: a source that pads its books to 1,000 levels is no deeper for it. The lead-in is left
    out; negative levels, which no book has, are too.

    Args:
        tall: Rows of `TALL_SCHEMA` as the source delivered them, in any order.
        day: The UTC day.

    Returns:
        Rows of `POPULATION_SCHEMA`, levels ascending from 0 without a hole.
    """
    start = to_microseconds(day_bounds(day)[0])
    deepest = int(levels(tall).max(initial=-1))
    counts = np.zeros((2, deepest + 1), dtype=np.int64)
    quantities = tuple(_readable(tall[f"{side}_quantity"]) for side in ("bid", "ask"))
    _count(instants_us(tall), start, levels(tall), quantities, counts)
    populated = np.flatnonzero(counts.any(axis=0))
    kept = int(populated[-1]) + 1 if len(populated) else 0
    columns = {
        "level": np.arange(kept, dtype=np.int32),
        "bid_snapshots": counts[0, :kept],
        "ask_snapshots": counts[1, :kept],
    }
    return pl.DataFrame(columns, schema=dict(POPULATION_SCHEMA))


def kept_depth(
    population: pl.DataFrame | None, near_market_levels: int, min_nonzero_threshold: int
) -> KeptDepth | None:
    """Tell which levels a day keeps, from the counts of the day before.

    A side is kept down to the deepest level that was populated in at least `min_nonzero_threshold` snapshots, holes
    above it included; the near levels are kept in any case.

    Args:
        population: Rows of `POPULATION_SCHEMA` of the PREVIOUS day; None where there is none, and a count without a
            level (a day without books) say nothing, so everything is kept.
        near_market_levels: Levels that are always kept.
        min_nonzero_threshold: Least number of snapshots.

    Returns:
        The depth of both sides, None where everything is kept.
    """
    if population is None or population.is_empty():
        return None
    depths = []
    for side in ("bid", "ask"):
        reached = np.flatnonzero(population[f"{side}_snapshots"].to_numpy() >= min_nonzero_threshold)
        depths.append(max(near_market_levels, int(reached[-1]) + 1 if len(reached) else 0))
    return KeptDepth(*depths)


def _readable(column: pl.Series) -> NDArray[np.float64]:
    """Quantities as a read-only array; null becomes NaN, which no comparison counts."""
    values: NDArray[np.float64] = column.to_numpy().view()
    values.flags.writeable = False
    return values


def _count_levels(
    instants: NDArray[np.int64],
    start: int,
    level: NDArray[np.int32],
    quantities: tuple[NDArray[np.float64], ...],
    counts: NDArray[np.int64],
) -> None:
    bid, ask = quantities
    for row in range(len(level)):
        if instants[row] < start or level[row] < 0:
            continue
        counts[0, level[row]] += bid[row] > 0
        counts[1, level[row]] += ask[row] > 0


_count: Any = njit(cache=True, nogil=True)(_count_levels)
