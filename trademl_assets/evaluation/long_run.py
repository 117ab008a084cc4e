"""The variance of a mean whose values depend on each other, never negative; and the least gain that could be seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]


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
    quantiles = student.ppf([(1 + confidence) / 2, power], found.freedom)
    return float(quantiles.sum() * np.sqrt(found.variance[0] / len(differences)))


def detectable_sentence(gain: float, span_days: float) -> str:
    """Say what could not have been seen."""
    months = span_days / 30.4375
    span = f"{months:.0f} months" if months >= 2 else f"{span_days:.0f} days"  # noqa: PLR2004 -- shorter spans in days
    return f"With {span} of test data a gain below {gain:.4f} nats could not have been seen."
