"""Compression of clean tall rows: the nearest levels as they are, deeper ones summed into bins of distance to the mid.

The rows come from `quality.clean_tall_rows`; the snapshots are the archive from which the grid is aligned.
"""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import from_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.ordering import instants_us, levels, side_columns, snapshot_offsets, sort_rows
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, InstrumentParameters, snapshot_schema

BPS = 10_000.0


class CompressionParameters(Parameters):
    """Which depth a compressed snapshot keeps.

    Attributes:
        near_levels: Levels kept one by one, from the best.
        bin_upper_edges_bps: Ascending upper edges of the bins that take the deeper levels, in bps from the mid; the
            first bin begins at 0, each holds [previous edge, edge), what lies at or beyond the last edge is dropped
            and its share reported.
    """

    near_levels: Annotated[int, Field(ge=1)]
    bin_upper_edges_bps: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]

    @model_validator(mode="after")
    def _edges_ascend(self) -> Self:
        if any(
            upper <= lower for lower, upper in zip(self.bin_upper_edges_bps, self.bin_upper_edges_bps[1:], strict=False)
        ):
            raise ValueError(f"bin_upper_edges_bps must ascend, found {list(self.bin_upper_edges_bps)}")
        return self

    @property
    def slots(self) -> int:
        """Width of the array columns: near levels, then bins."""
        return self.near_levels + len(self.bin_upper_edges_bps)


@dataclass(frozen=True)
class CompressedDay:
    """A day of one instrument after compression.

    Attributes:
        snapshots: Rows of `snapshot_schema`, lead-in included, ascending in `ts`.
        dropped_depth_share: Quantity at or beyond the last bin edge over all quantity, both sides; 0 without
            quantity.
        raw_rows: Tall rows that went in.
    """

    snapshots: pl.DataFrame
    dropped_depth_share: float
    raw_rows: int


def compress_day(
    tall: pl.DataFrame, instrument: InstrumentParameters, day: date, parameters: CompressionParameters
) -> CompressedDay:
    """Compress clean tall rows in one pass.

    Missing and zero are kept apart, on each side for itself. A level counts as present when its quantity is positive.
    A near level that is not present has NaN for distance and quantity. A bin without a level has quantity 0 and
    distance NaN as long as the observed depth (the distance of the farthest level present) reaches it, and NaN for
    both where the bin begins beyond that depth. A bin's distance is weighted by quantity. The numbers in the array
    columns are NaN, never null, so that they map to numpy without a copy.

    Args:
        tall: Rows of `TALL_SCHEMA`, cleaned; sorted by (ts, level), else they are sorted here.
        instrument: The instrument, named in messages.
        day: The UTC day, named in messages.
        parameters: Depth kept.

    Returns:
        The snapshots, one for each instant (`batch_id` that of its best level), and what was lost.

    Raises:
        DataQualityError: A snapshot has no best bid or ask, is crossed or has levels out of order: the rows were not
        cleaned.
    """
    ordered, _ = sort_rows(tall)
    instants = instants_us(ordered)
    offsets = snapshot_offsets(instants)
    edges = np.asarray(parameters.bin_upper_edges_bps, dtype=np.float64)
    bad, mid, scalars, locked, arrays, quantities = _compress(
        offsets, levels(ordered), side_columns(ordered), parameters.near_levels, edges
    )
    if bad >= 0:
        raise DataQualityError(
            f"{instrument.name} {day.isoformat()}: the snapshot of "
            f"{from_microseconds(int(instants[offsets[bad]])).isoformat()} has no best bid or ask, is crossed or "
            "has levels out of order -> clean the rows first"
        )
    columns: dict[str, Any] = {
        "ts": ordered["ts"].gather(offsets[:-1]),
        "batch_id": ordered["batch_id"].gather(offsets[:-1]),
        "mid": mid,
        "spread_bps": scalars[0],
        "microprice_bps": scalars[1],
        "locked": locked,
        **{name: arrays[position] for position, name in enumerate(SNAPSHOT_ARRAYS)},
    }
    snapshots = pl.DataFrame(columns, schema=snapshot_schema(parameters.slots))
    total, dropped = quantities
    return CompressedDay(snapshots, dropped / total if total > 0 else 0.0, tall.height)


def _compress_snapshots(  # noqa: C901, PLR0912 - one pass over all rows; splitting it would read them several times
    offsets: NDArray[np.int64],
    level: NDArray[np.int32],
    sides: tuple[NDArray[np.float64], ...],
    near_levels: int,
    edges: NDArray[np.float64],
) -> tuple[int, NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32], tuple[float, float]]:
    """Compress all snapshots.

    Returns:
        The first snapshot that was not cleaned or -1; mid; (spread, microprice); locked; distances and quantities of
        shape (4, snapshots, slots); (all, dropped) quantity.
    """
    bid_price, bid_quantity, ask_price, ask_quantity = sides
    snapshots, bins = len(offsets) - 1, len(edges)
    mid = np.empty(snapshots, np.float64)
    scalars = np.empty((2, snapshots), np.float32)
    locked = np.empty(snapshots, np.bool_)
    arrays = np.full((4, snapshots, near_levels + bins), np.nan, np.float32)
    weighted, summed = np.empty(bins, np.float64), np.empty(bins, np.float64)
    total, dropped = 0.0, 0.0
    for n in range(snapshots):
        first, last = offsets[n], offsets[n + 1]
        bid, ask, bid_size, ask_size = bid_price[first], ask_price[first], bid_quantity[first], ask_quantity[first]
        if not (level[first] == 0 and 0 < bid <= ask < np.inf and 0 < bid_size < np.inf and 0 < ask_size < np.inf):
            return n, mid, scalars, locked, arrays, (total, dropped)
        middle = (bid + ask) / 2
        mid[n] = middle
        scalars[0, n] = (ask - bid) / middle * BPS
        microprice = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
        scalars[1, n] = (microprice - middle) / middle * BPS
        locked[n] = bid == ask
        for side in range(2):
            price, quantity = sides[2 * side], sides[2 * side + 1]
            distances, sizes = arrays[2 * side, n], arrays[2 * side + 1, n]
            sign = -1.0 if side == 0 else 1.0
            weighted[:] = 0.0
            summed[:] = 0.0
            farthest = 0.0
            bin_at = 0
            for row in range(first, last):
                size = quantity[row]
                if not size > 0:
                    continue
                distance = sign * (price[row] - middle) / middle * BPS
                if not distance >= farthest or (row > first and level[row] <= level[row - 1]):
                    return n, mid, scalars, locked, arrays, (total, dropped)
                farthest = distance
                total += size
                if level[row] < near_levels:
                    distances[level[row]] = distance
                    sizes[level[row]] = size
                    continue
                while bin_at < bins and distance >= edges[bin_at]:
                    bin_at += 1
                if bin_at < bins:
                    weighted[bin_at] += size * distance
                    summed[bin_at] += size
                else:
                    dropped += size
            for b in range(bins):
                if summed[b] > 0:
                    distances[near_levels + b] = weighted[b] / summed[b]
                    sizes[near_levels + b] = summed[b]
                elif b == 0 or edges[b - 1] <= farthest:
                    sizes[near_levels + b] = 0.0
    return -1, mid, scalars, locked, arrays, (total, dropped)


_compress: Any = njit(cache=True, nogil=True)(_compress_snapshots)
