"""Intervals of every metric: decisions are summed up in cells once, and a replicate is a weighted sum of cells."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl_assets.evaluation.significance import draw_blocks
from trademl_assets.scoring.metric_sums import sum_metrics

Floats = NDArray[np.float64]
CELLS_A_BLOCK = 24
"""Cells that a block holds on average: an hour of a day, fine enough for lengths that are random anyway."""


def bootstrap_metrics(
    probabilities: ArrayLike,
    labels: ArrayLike,
    mean_block: float,
    *,
    replicates: int,
    seed: int,
    boundaries_bps: ArrayLike | None = None,
) -> dict[str, Floats]:
    """Metric -> (R,) replicates of the stationary block bootstrap (Politis and Romano 1994) over cells of decisions.

    Args:
        probabilities: (N, C) in time order.
        labels: (N,).
        mean_block: Mean length of a block in decisions.
        replicates: R.
        seed: Of the blocks; the same blocks for the same N and mean_block.
        boundaries_bps: (C - 1,) class edges; None for no directional accuracy.
    """
    cell = cell_of(mean_block)
    summed = sum_metrics(probabilities, labels, cell, boundaries_bps)
    counts = draw_counts(len(summed.sums), mean_block / cell, replicates, seed)
    return summed.metrics(counts @ summed.sums)


def metric_intervals(
    probabilities: ArrayLike,
    labels: ArrayLike,
    mean_block: float,
    *,
    replicates: int,
    confidence: float,
    seed: int,
    boundaries_bps: ArrayLike | None = None,
) -> dict[str, tuple[float, float]]:
    """Central percentile interval of every metric; replicates in which one is undefined are left out.

    Args:
        probabilities: As `bootstrap_metrics`.
        labels: As `bootstrap_metrics`.
        mean_block: As `bootstrap_metrics`.
        replicates: As `bootstrap_metrics`.
        confidence: Of the intervals.
        seed: As `bootstrap_metrics`.
        boundaries_bps: As `bootstrap_metrics`.
    """
    drawn = bootstrap_metrics(
        probabilities, labels, mean_block, replicates=replicates, seed=seed, boundaries_bps=boundaries_bps
    )
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    kept = {name: values[~np.isnan(values)] for name, values in drawn.items()}
    ends = {name: np.quantile(values, tails) for name, values in kept.items() if len(values)}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def cell_of(mean_block: float) -> int:
    """Decisions a cell."""
    return max(1, int(mean_block / CELLS_A_BLOCK))


def draw_counts(cells: int, mean_block: float, replicates: int, seed: int) -> Floats:
    """(R, M) how often each of M cells is drawn by blocks of geometric length that wrap around the end.

    Args:
        cells: M.
        mean_block: Mean length of a block in cells, held between 1 and M.
        replicates: R.
        seed: Of the blocks.
    """
    length = float(np.clip(mean_block, 1, cells))
    starts, lengths, replicate = draw_blocks(cells, length, replicates, np.random.default_rng(seed))
    begun = np.bincount(replicate * (2 * cells + 1) + starts, minlength=replicates * (2 * cells + 1))
    ended = np.bincount(replicate * (2 * cells + 1) + starts + lengths, minlength=replicates * (2 * cells + 1))
    present = np.cumsum((begun - ended).reshape(replicates, -1), axis=1)
    return (present[:, :cells] + present[:, cells : 2 * cells]).astype(np.float64)
