"""Whether a mean is more than chance when neighbouring values depend on each other: bootstrap, Diebold-Mariano."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from trademl_assets.evaluation.long_run import long_run_variance, memory_rows

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
        statistic: t statistic, of equal weights with Harvey's correction; None for too few values or no variance.
        p_value: Of the null that the mean is 0 or below; 1 where there is no statistic.
        lags: Autocovariances used.
        kernel: `rectangular`, or `bartlett` where that is more careful, or the rectangular variance is not positive.
    """

    statistic: float | None
    p_value: float
    lags: int
    kernel: Literal["rectangular", "bartlett", "none"]


def diebold_mariano(differences: Floats, overlap: int, block: float | None = None) -> DieboldMariano:
    """Test loss differences of overlapping forecasts (Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997).

    The long-run variance sums autocovariances up to overlap - 1 lags with equal weight. It knows nothing of what lasts
    longer than a horizon: gains that follow the volatility. So where a block is given, the mean is tested with Bartlett
    weights over the memory of the differences, too, with the distribution that so wide a bandwidth asks for (Kiefer and
    Vogelsang 2005), and the larger p stands. Without a block these weights, over the overlap, take the place of a
    variance that is not positive; they cannot be negative.

    Args:
        differences: (N,) loss of the reference minus loss of the model, in time order.
        overlap: Forecasts whose horizons overlap, in steps: a horizon of h steps has overlap h.
        block: Known reach of dependence in rows; None for the overlap alone.
    """
    count, lags = len(differences), overlap - 1
    factor = (count + 1 - 2 * overlap + overlap * lags / count) / count if count else 0.0
    if count <= 2 * overlap or factor <= 0:
        return DieboldMariano(None, 1.0, lags, "none")
    plain = _rectangular(differences, overlap, factor)
    if plain is not None and block is None:
        return plain
    reach = overlap if block is None else memory_rows(differences[:, None], max(float(overlap), block))
    careful = _bartlett(differences, math.ceil(reach))
    if careful is None:
        return plain or DieboldMariano(None, 1.0, lags, "none")
    return careful if plain is None or careful.p_value >= plain.p_value else plain


def _rectangular(differences: Floats, overlap: int, factor: float) -> DieboldMariano | None:
    """With equal weights, Harvey's `factor` and Student's t; None where the variance is not positive."""
    count, lags = len(differences), overlap - 1
    mean = float(differences.mean())
    centred = differences - mean
    covariances = np.array([centred[lag:] @ centred[: count - lag] / count for lag in range(lags + 1)])
    variance = covariances[0] + 2 * covariances[1:].sum()
    if variance <= covariances[0] * np.finfo(np.float64).eps:
        return None
    statistic = mean / math.sqrt(variance / count) * math.sqrt(factor)
    return DieboldMariano(statistic, float(scipy.stats.t.sf(statistic, count - 1)), lags, "rectangular")


def _bartlett(differences: Floats, width: int) -> DieboldMariano | None:
    """With Bartlett weights that reach 0 at `width`; None without variance."""
    found = long_run_variance(differences[:, None], width)
    if found.variance[0] <= 0:
        return None
    statistic = float(differences.mean()) / math.sqrt(found.variance[0] / len(differences))
    return DieboldMariano(statistic, float(scipy.stats.t.sf(statistic, found.freedom)), width - 1, "bartlett")
