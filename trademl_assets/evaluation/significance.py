"""Whether a mean is more than chance when neighbouring values depend on each other: bootstrap, Diebold-Mariano."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from trademl_assets.evaluation.long_run import long_run_variance

Floats = NDArray[np.float64]


def bootstrap_means(values: Floats, mean_block: float, replicates: int, seed: int) -> Floats:
    """Means of stationary-block-bootstrap replicates (Politis and Romano 1994).

    Blocks of geometric length start anywhere and wrap around the end. All columns share the blocks, so that their
    replicates may be combined.

    Args:
        values: (N, K) in time order.
        mean_block: Mean length of a block in rows, held between 1 and N.
        replicates: R.
        seed: The same seed draws the same blocks for the same N and mean_block.

    Returns:
        (R, K).
    """
    rows = len(values)
    starts, lengths, replicate = draw_blocks(
        rows, float(np.clip(mean_block, 1, rows)), replicates, np.random.default_rng(seed)
    )
    ahead = np.zeros((2 * rows + 1, values.shape[1]))
    np.cumsum(np.concatenate([values, values]), axis=0, out=ahead[1:])
    first = np.flatnonzero(np.r_[True, np.diff(replicate) > 0])
    return np.asarray(np.add.reduceat(ahead[starts + lengths] - ahead[starts], first, axis=0) / rows)


def draw_blocks(
    rows: int, mean_block: float, replicates: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Starts, lengths and replicate numbers (B,) of geometric blocks; each replicate's lengths sum to `rows`."""
    lengths = generator.geometric(1 / mean_block, size=(replicates, math.ceil(2 * rows / mean_block) + 1))
    while lengths.sum(axis=1).min() < rows:
        lengths = np.concatenate([lengths, generator.geometric(1 / mean_block, size=lengths.shape)], axis=1)
    before = np.cumsum(lengths, axis=1) - lengths
    kept = before < rows
    replicate = np.nonzero(kept)[0]
    cut = np.minimum(lengths[kept], rows - before[kept])
    return generator.integers(rows, size=len(cut)), cut, replicate


def interval(replicates: Floats, confidence: float) -> tuple[float, float]:
    """Central percentile interval of replicates (R,)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class DieboldMariano:
    """One-sided test that the mean loss difference is above 0.

    Attributes:
        statistic: t statistic with Harvey's correction; None where there are too few values or no variance.
        p_value: Of the null that the mean is 0 or below; 1 where there is no statistic.
        lags: Autocovariances used.
        kernel: `rectangular`, or `bartlett` where the rectangular variance was not positive.
    """

    statistic: float | None
    p_value: float
    lags: int
    kernel: Literal["rectangular", "bartlett", "none"]


def diebold_mariano(differences: Floats, overlap: int, block: float | None = None) -> DieboldMariano:
    """Test loss differences of overlapping forecasts (Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997).

    The long-run variance sums autocovariances up to overlap - 1 lags with equal weight; where that is not positive,
    Bartlett weights over the longer of overlap and block, which cannot go negative, take its place, with the
    distribution that so wide a bandwidth asks for (Kiefer and Vogelsang 2005).

    Args:
        differences: (N,) loss of the reference minus loss of the model, in time order.
        overlap: Forecasts whose horizons overlap, in steps: a horizon of h steps has overlap h.
        block: Reach of dependence in rows for the Bartlett weights; None for the overlap.
    """
    count, lags = len(differences), overlap - 1
    factor = (count + 1 - 2 * overlap + overlap * lags / count) / count if count else 0.0
    if count <= 2 * overlap or factor <= 0:
        return DieboldMariano(None, 1.0, lags, "none")
    mean = float(differences.mean())
    centred = differences - mean
    covariances = np.array([centred[lag:] @ centred[: count - lag] / count for lag in range(lags + 1)])
    variance = covariances[0] + 2 * covariances[1:].sum()
    if variance > covariances[0] * np.finfo(np.float64).eps:
        statistic = mean / math.sqrt(variance / count) * math.sqrt(factor)
        return DieboldMariano(statistic, float(student.sf(statistic, count - 1)), lags, "rectangular")
    width = max(overlap, math.ceil(block or overlap))
    positive = long_run_variance(differences[:, None], width)
    if positive.variance[0] <= 0:
        return DieboldMariano(None, 1.0, lags, "none")
    statistic = mean / math.sqrt(positive.variance[0] / count)
    return DieboldMariano(statistic, float(student.sf(statistic, positive.freedom)), width - 1, "bartlett")
