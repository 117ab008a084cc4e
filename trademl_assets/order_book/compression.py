"""Compression of clean tall rows: the nearest levels as they are, deeper ones summed into bins of distance to the mid.

The rows come from `quality.clean_tall_rows`; the snapshots are the archive from which the grid is aligned.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import from_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.compression_pass import Target, compress_block
from trademl_assets.order_book.ordering import instants_us, rows_of_block, snapshot_offsets, sort_rows
from trademl_assets.order_book.population import KeptDepth
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, InstrumentParameters, snapshot_schema

BLOCK_SNAPSHOTS = 1_024
"""Snapshots that one thread compresses at a time; quantities are summed block by block, in their order."""
_MOST_THREADS = 4


class DistanceBins(Parameters):
    """Bins of distance to the mid.

    Attributes:
        upper_edges_bps: Ascending upper edges in basis points of the mid; the first bin begins at 0, each holds
            [previous edge, edge), what lies at or beyond the last edge is dropped and its share reported.
    """

    by: Literal["distance"]
    upper_edges_bps: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]

    @model_validator(mode="after")
    def _edges_ascend(self) -> Self:
        _require_ascending("upper_edges_bps", self.upper_edges_bps)
        return self

    @property
    def edges(self) -> tuple[float, ...]:
        """Upper edges in bps."""
        return self.upper_edges_bps


class LevelBins(Parameters):
    """Bins of levels.

    Attributes:
        upper_edges: Ascending upper edges; the first bin begins at the near levels' end, each holds the levels
            [previous edge, edge), deeper ones are dropped and their share reported.
    """

    by: Literal["level"]
    upper_edges: tuple[Annotated[int, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _edges_ascend(self) -> Self:
        _require_ascending("upper_edges", self.upper_edges)
        return self

    @property
    def edges(self) -> tuple[float, ...]:
        """Upper edges as levels."""
        return tuple(float(edge) for edge in self.upper_edges)


class CompressionParameters(Parameters):
    """Which depth a compressed snapshot keeps.

    Attributes:
        near_market_levels: Levels kept one by one, from the best.
        min_nonzero_threshold: Levels that fewer snapshots of the previous day populated are dropped; 0 keeps all.
        bins: Where the deeper levels go.
    """

    near_market_levels: Annotated[int, Field(ge=1)]
    min_nonzero_threshold: Annotated[int, Field(ge=0)]
    bins: Annotated[DistanceBins | LevelBins, Field(discriminator="by")]

    @model_validator(mode="after")
    def _bins_begin_behind_the_near_levels(self) -> Self:
        if isinstance(self.bins, LevelBins) and self.bins.edges and self.bins.edges[0] <= self.near_market_levels:
            raise ValueError(
                f"bins.upper_edges begin with {self.bins.upper_edges[0]}, but {self.near_market_levels} levels are "
                "kept one by one -> begin behind them"
            )
        return self

    @property
    def slots(self) -> int:
        """Width of the array columns: near levels, then bins."""
        return self.near_market_levels + len(self.bins.edges)


@dataclass(frozen=True)
class CompressedDay:
    """A day of one instrument after compression.

    Attributes:
        snapshots: Rows of `snapshot_schema`, lead-in included, ascending in `ts`.
        dropped_depth_share: Quantity that no slot holds over all quantity, both sides; 0 without quantity. The sum of
            the next two.
        beyond_bins_share: Of it, what lies at or beyond the last bin's edge.
        unpopulated_share: Of it, what lies at levels that the previous day hardly populated.
        kept_depth: Levels kept of each side, None where all are.
        raw_rows: Tall rows that went in.
        parameters: How it was compressed.
    """

    snapshots: pl.DataFrame
    dropped_depth_share: float
    beyond_bins_share: float
    unpopulated_share: float
    kept_depth: KeptDepth | None
    raw_rows: int
    parameters: CompressionParameters

    def facts(self) -> dict[str, float | int | None]:
        """Everything but the rows, as JSON."""
        depth = self.kept_depth
        return {
            "dropped_depth_share": self.dropped_depth_share,
            "beyond_bins_share": self.beyond_bins_share,
            "unpopulated_share": self.unpopulated_share,
            "kept_bid_levels": None if depth is None else depth.bid,
            "kept_ask_levels": None if depth is None else depth.ask,
            "raw_rows": self.raw_rows,
        }


def compress_day(
    tall: pl.DataFrame,
    instrument: InstrumentParameters,
    day: date,
    parameters: CompressionParameters,
    depth: KeptDepth | None,
) -> CompressedDay:
    """Compress clean tall rows in one pass.

    Missing and zero are kept apart, on each side for itself. A level counts as present when its quantity is positive
    and it lies within the kept depth. A near level that is not present has NaN for distance and quantity. A bin without
    a level has quantity 0 and distance NaN as long as the observed depth (the farthest level present) reaches it, and
    NaN for both where the bin begins beyond that depth. A bin's distance is weighted by quantity. The numbers in the
    array columns are NaN, never null, so that they map to numpy without a copy.

    Snapshots are independent of each other, so blocks of them are compressed side by side; the result does not depend
    on how many threads there are.

    Args:
        tall: Rows of `TALL_SCHEMA`, cleaned; sorted by (ts, level), else they are sorted here.
        instrument: The instrument, named in messages.
        day: The UTC day, named in messages.
        parameters: Depth kept.
        depth: Levels kept of each side, as the previous day decides; None keeps all.

    Returns:
        The snapshots, one for each instant (`batch_id` that of its best level), and what was lost.

    Raises:
        DataQualityError: A snapshot has no best bid or ask, is crossed or has levels out of order: the rows were not
        cleaned.
    """
    ordered, _ = sort_rows(tall)
    instants = instants_us(ordered)
    offsets = snapshot_offsets(instants)
    snapshots = len(offsets) - 1
    target = Target.empty(snapshots, parameters.slots)
    kept = (np.iinfo(np.int64).max,) * 2 if depth is None else (depth.bid, depth.ask)
    near_levels, edges = parameters.near_market_levels, np.asarray(parameters.bins.edges, dtype=np.float64)
    by_level = isinstance(parameters.bins, LevelBins)

    def compress(first: int) -> tuple[int, float, float, float]:
        block = (first, min(first + BLOCK_SNAPSHOTS, snapshots))
        rows = rows_of_block(ordered, offsets, block)
        return compress_block(block, rows, (near_levels, kept, edges, by_level), target)

    with ThreadPoolExecutor(thread_count()) as pool:
        blocks = list(pool.map(compress, range(0, snapshots, BLOCK_SNAPSHOTS)))
    bad = next((block[0] for block in blocks if block[0] >= 0), -1)
    if bad >= 0:
        raise DataQualityError(
            f"{instrument.name} {day.isoformat()}: the snapshot of "
            f"{from_microseconds(int(instants[offsets[bad]])).isoformat()} has no best bid or ask, is crossed or "
            "has levels out of order -> clean the rows first"
        )
    columns: dict[str, Any] = {
        "ts": ordered["ts"].gather(offsets[:-1]),
        "batch_id": ordered["batch_id"].gather(offsets[:-1]),
        "mid": target.mid,
        "spread_bps": target.scalars[0],
        "microprice_bps": target.scalars[1],
        "locked": target.locked,
        **{name: target.slots[position] for position, name in enumerate(SNAPSHOT_ARRAYS)},
    }
    total, beyond, unpopulated = (sum(block[part] for block in blocks) for part in (1, 2, 3))
    whole = total if total > 0 else 1.0
    return CompressedDay(
        snapshots=pl.DataFrame(columns, schema=snapshot_schema(parameters.slots)),
        dropped_depth_share=(beyond + unpopulated) / whole,
        beyond_bins_share=beyond / whole,
        unpopulated_share=unpopulated / whole,
        kept_depth=depth,
        raw_rows=tall.height,
        parameters=parameters,
    )


def export_arrays(snapshots: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Lay snapshots out for other programs.

    Args:
        snapshots: Rows of `snapshot_schema`.

    Returns:
        `ts` (T,) int64, microseconds since the epoch, UTC; `mid` (T,) float64; `book` (T, slots, 4) float32, whose last
        axis is that of `fields`: distance to the mid in bps and quantity, of bids and of asks, NaN where missing.
    """
    book = np.stack([snapshots[name].to_numpy() for name in SNAPSHOT_ARRAYS], axis=2)
    return {
        "ts": snapshots["ts"].to_physical().to_numpy(),
        "mid": snapshots["mid"].to_numpy(),
        "book": book,
        "fields": np.array(SNAPSHOT_ARRAYS),
    }


def thread_count() -> int:
    """Threads that compressed blocks are worth."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


def _require_ascending(key: str, edges: tuple[float, ...]) -> None:
    if any(upper <= lower for lower, upper in pairwise(edges)):
        raise ValueError(f"{key} must ascend, found {list(edges)}")
