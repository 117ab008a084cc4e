"""Bootstrap errors of means, widened for what few blocks do not know about their own variance."""

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.long_run import long_run_variance, memory_rows
from trademl_assets.evaluation.significance import bootstrap_means

Floats = NDArray[np.float64]
MOST_BIAS = 0.9
"""Share of the variance that may be missing before a sample is too short for its blocks to say anything."""


def bootstrap_weights(rows: int, mean_block: float) -> Floats:
    """(T - 1,) weights of the autocovariances from lag 1 under the stationary bootstrap (Politis and Romano 1994)."""
    keep = 1 - 1 / float(np.clip(mean_block, 1, rows))
    lag = np.arange(1, rows)
    return np.asarray((1 - lag / rows) * keep**lag + lag / rows * keep ** (rows - lag))


def stationary_variance(values: Floats, mean_block: float) -> Floats:
    """(K,) variance of sqrt(T) times the mean under the stationary bootstrap (Politis and Romano 1994, lemma 1).

    Args:
        values: (T, K).
        mean_block: Mean length of a block in rows, held between 1 and T.
    """
    rows = len(values)
    centred = values - values.mean(axis=0)
    size = 1 << int(np.ceil(np.log2(2 * rows)))
    covariances = np.fft.irfft(np.abs(np.fft.rfft(centred, size, axis=0)) ** 2, size, axis=0)[:rows] / rows
    return np.asarray(np.maximum(covariances[0] + 2 * bootstrap_weights(rows, mean_block) @ covariances[1:], 0.0))


def memory_factors(values: Floats, block: float) -> Floats:
    """(K,) by how much the variance of each mean is larger over the memory of its column than over a block; at least 1.

    Args:
        values: (T, K) in time order.
        block: Rows.
    """
    factors = np.ones(values.shape[1])
    for number, column in enumerate(values.T):
        reach = memory_rows(column[:, None], block)
        if reach > block:
            far, near = (float(long_run_variance(column[:, None], width).variance[0]) for width in (reach, block))
            factors[number] = max(far / near, 1.0) if near > 0 else 1.0
    return factors


def mean_errors(values: Floats, mean_block: float, *, replicates: int, seed: int) -> Floats:
    """(R, K) errors of the means of dependent values, as wide as a test of the right size needs.

    Errors of the stationary block bootstrap are too narrow by what taking the mean out removes from the variance, and
    know nothing of the variance being estimated itself. They are divided by the first, and multiplied by draws of
    sqrt(nu / chi2(nu)) for the second, nu being the degrees of freedom of the weighted sum of autocovariances: the
    bootstrap's counterpart of a t distribution in place of a normal one. Where a column remembers longer than a block,
    its errors are widened by that, too.

    Args:
        values: (T, K) in time order.
        mean_block: Mean length of a block in rows.
        replicates: R.
        seed: Of blocks and draws.
    """
    rows = len(values)
    errors = bootstrap_means(values, mean_block, replicates, seed) - values.mean(axis=0)
    missing = min((1 + 2 * bootstrap_weights(rows, mean_block).sum()) / rows, MOST_BIAS)
    keep = 1 - 1 / float(np.clip(mean_block, 1, rows))
    freedom = max(rows * (1 - keep**2) / (1 + keep**2), 1.0)
    draws = np.random.default_rng([seed, 1]).chisquare(freedom, size=errors.shape)
    widened = np.sqrt(memory_factors(values, mean_block) / (1 - missing))
    return np.asarray(errors * widened * np.sqrt(freedom / draws))
