"""Distance to the best possible forecast, where a planted market knows it: judged without label noise."""

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from trademl_assets.foundation.errors import EvaluationError

Floats = NDArray[np.float64]


def kl_divergences(p_star: ArrayLike, q: ArrayLike) -> Floats:
    """(N,) Kullback-Leibler divergence KL(p*||q) in nats; infinite where q excludes what p* allows."""
    return np.asarray(
        scipy.special.rel_entr(np.asarray(p_star, dtype=np.float64), np.asarray(q, dtype=np.float64)).sum(axis=1)
    )


def mean_kl(p_star: ArrayLike, q: ArrayLike) -> float:
    """Mean KL(p*||q) in nats of (N, C) probabilities."""
    return float(kl_divergences(p_star, q).mean())


def share_of_best(p_star: ArrayLike, q: ArrayLike, p_volatility: ArrayLike) -> float:
    """Share of the attainable skill that was reached: 1 - mean KL(p*||q) / mean KL(p*||p_volatility).

    1 is the optimum, 0 no better than knowing the volatility alone, negative is worse.

    Raises:
        EvaluationError: The optimum equals the volatility prior, so there is nothing to reach.
    """
    attainable = mean_kl(p_star, p_volatility)
    if attainable <= 0:
        raise EvaluationError("the optimum equals the volatility prior: a market without signal has no share to reach")
    return 1 - mean_kl(p_star, q) / attainable
