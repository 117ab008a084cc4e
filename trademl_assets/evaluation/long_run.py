"""The variance of a mean whose values depend on each other, never negative; and the least gain that could be seen."""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_REACHES = 4
"""Reaches of the dependence that a sample must hold: a longer one could not be told from a trend."""
LEAST_BLOCKS = 16
"""Blocks below which their correlation is noise: the stated block then stands."""
MOST_CORRELATION = 0.97


@dataclass(frozen=True)
class LongRunVariance:
    """Long-run variance with Bartlett weights: the variance of the mean times the number of values.

    Attributes:
        variance: (K,) of each column; corrected for having taken the mean out.
        freedom: Degrees of freedom of a t statistic that uses it.
    """

    variance: Floats
    freedom: float


def long_run_variance(values: Floats, bandwidth: float) -> LongRunVariance:
    """Newey and West (1987), with the bandwidth a fixed share b of the sample (Kiefer and Vogelsang 2005).

    The limit for fixed b is matched by a t distribution: the variance is divided by its mean under the null, 1 - b +
    b^2 / 3, and has the degrees of freedom of the weighted sum, one over the sum of squared weights.

    Args:
        values: (N, K) in time order.
        bandwidth: Lags at which the weights reach 0, held between 1 and N.
    """
    rows = len(values)
    width = int(np.clip(np.ceil(bandwidth), 1, rows))
    centred = values - values.mean(axis=0)
    size = 1 << int(np.ceil(np.log2(2 * rows)))
    spectrum = np.abs(np.fft.rfft(centred, size, axis=0)) ** 2
    covariances = np.fft.irfft(spectrum, size, axis=0)[:width] / rows
    weights = 1 - np.arange(width) / width
    weights[1:] *= 2
    share = width / rows
    variance = np.maximum(weights @ covariances, 0.0) / (1 - share + share**2 / 3)
    freedom = rows / (1 + 2 * ((1 - np.arange(1, width) / width) ** 2).sum())
    return LongRunVariance(variance, float(max(freedom - 1, 1.0)))


def memory_rows(values: Floats, block: float) -> float:
    """Rows that a sum over dependent values has to reach over: at least a block.

    Gains follow the volatility, which stays for days, so that a block of stated length may be too short. The reach is
    that of Bartlett weights for a process of first order (Andrews 1991) fitted to means over blocks; their correlation,
    the mean of the columns', is corrected for the shortness of the sample (Kendall 1954).

    Args:
        values: (N, K) in time order.
        block: Rows whose means are compared; known reach of the dependence.

    Returns:
        Rows, at most a quarter of the sample unless a block is longer.
    """
    rows, width = len(values), max(int(np.ceil(block)), 1)
    blocks = rows // width
    most = rows / LEAST_REACHES
    if blocks < LEAST_BLOCKS:
        return float(width)
    means = values[: blocks * width].reshape(blocks, width, -1).mean(axis=1)
    centred = means - means.mean(axis=0)
    squares = (centred**2).sum(axis=0)
    varied = squares > 0
    if not varied.any():
        return float(width)
    found = float(((centred[1:] * centred[:-1]).sum(axis=0)[varied] / squares[varied]).mean())
    correlation = float(np.clip(found + (1 + 3 * found) / blocks, 0.0, MOST_CORRELATION))
    reach: float = 1.1447 * (4 * correlation**2 / (1 - correlation**2) ** 2 * blocks) ** (1 / 3)
    return max(float(width), min(reach * width, most))


def least_detectable_gain(differences: Floats, block: float, *, confidence: float, power: float) -> float:
    """Smallest true mean gain (nats) that a test at this confidence would see with this power.

    The effect size formula of a t test (Cohen 1988) on the long-run variance: both quantiles of t times the standard
    error of the mean.

    Args:
        differences: (N,) loss of the reference minus loss of the model, in time order.
        block: Reach of dependence in rows: the mean length of a bootstrap block.
        confidence: Two-sided.
        power: Chance of being seen.
    """
    found = long_run_variance(differences[:, None], block)
    quantiles = scipy.stats.t.ppf([(1 + confidence) / 2, power], found.freedom)
    return float(quantiles.sum() * np.sqrt(found.variance[0] / len(differences)))


def detectable_sentence(gain: float, span_days: float) -> str:
    """Say what could not have been seen."""
    months = span_days / 30.4375
    span = f"{months:.0f} months" if months >= 2 else f"{span_days:.0f} days"  # noqa: PLR2004 -- shorter spans in days
    return f"With {span} of test data a gain below {gain:.4f} nats could not have been seen."
