"""Segments: contiguous stretches of grid steps, each shared by all samples of a cell of time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.parameters import Part


@dataclass(frozen=True)
class Segment:
    """A contiguous stretch of grid steps shared by all samples of its cell.

    Attributes:
        first_step: first step of the stretch (inclusive, global grid step).
        last_step: end of the stretch (exclusive).
        rows: (n,) int64 positions in `Dataset.index` of its samples, in time order; each sample's `step` lies in
            [first_step, last_step), and what is known at the sample are the steps up to and including its own.
    """

    first_step: int
    last_step: int
    rows: NDArray[np.int64]


def cut_segments(
    index: pl.DataFrame,
    recipe: Mapping[str, Any],
    part: Part,
    *,
    instrument: str | None,
    horizon_seconds: int | None,
    on_stride_only: bool,
    origin_us: int,
    cadence_us: int,
) -> list[Segment]:
    """The segments of a part, one for every cell that has samples, in time order; see `Dataset.segments`.

    Args:
        index: Sample index.
        recipe: Recipe of the dataset: its cells (`segments`) and its blocks.
        part: Which samples.
        instrument: Of which labelled instrument; None takes all.
        horizon_seconds: Over which horizon; None takes all.
        on_stride_only: Whether training phases are left out.
        origin_us: Instant of global step 0, microseconds UTC.
        cadence_us: Microseconds between steps.
    """
    stated = recipe["segments"]
    start, length, lookback = (int(stated[key]) for key in ("start_step", "length_steps", "lookback_steps"))
    ends = [-(-(int(block["last_us"]) - origin_us) // cadence_us) for block in recipe["blocks"]]
    chosen = (index["part"] == part).to_numpy()
    if instrument is not None:
        chosen = chosen & (index["instrument"] == instrument).to_numpy()
    if horizon_seconds is not None:
        chosen = chosen & (index["horizon_seconds"] == horizon_seconds).to_numpy()
    if on_stride_only:
        chosen = chosen & index["on_stride"].to_numpy()
    rows = np.flatnonzero(chosen)
    cells = (index["step"].to_numpy()[rows] - start) // length
    blocks = index["block"]
    found = []
    for cell in np.unique(cells):
        mine, first = rows[cells == cell], start + int(cell) * length
        block_end = ends[int(blocks[int(mine[-1])])]
        found.append(Segment(max(first - lookback, start), min(first + length, block_end), mine))
    return found
