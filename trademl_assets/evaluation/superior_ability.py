"""Whether the best of many models beats the reference, the search among them allowed for: Hansen's test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.mean_errors import mean_errors, memory_factors, stationary_variance

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SuperiorAbility:
    """Test of superior predictive ability (Hansen 2005): the null is that no model beats the reference.

    Attributes:
        best: Column of the model with the largest statistic.
        statistic: Its mean gain over its standard error, at least 0.
        p_value: Consistent p: models that are clearly worse do not count against the best.
        p_lower: Lower bound: all models that are worse are left out.
        p_upper: Upper bound: all count in full (White's reality check, studentised).
    """

    best: int
    statistic: float
    p_value: float
    p_lower: float
    p_upper: float


def superior_ability(gains: Floats, mean_block: float, *, replicates: int, seed: int) -> SuperiorAbility:
    """Test loss differences of many models.

    Args:
        gains: (T, m) loss of the reference minus loss of every model, in time order; days, or decisions.
        mean_block: Mean length of a bootstrap block in rows.
        replicates: Of the stationary bootstrap.
        seed: Of its blocks.
    """
    rows = len(gains)
    mean = gains.mean(axis=0)
    spread = np.sqrt(stationary_variance(gains, mean_block) * memory_factors(gains, mean_block))
    errors = mean_errors(gains, mean_block, replicates=replicates, seed=seed)
    scale = np.where(spread > 0, spread, np.inf) / np.sqrt(rows)
    scores = mean / scale
    best = int(scores.argmax())
    statistic = max(float(scores[best]), 0.0)
    doubtful = scores >= -np.sqrt(2 * np.log(np.log(max(rows, 3))))
    left = (np.minimum(mean, 0.0), np.where(doubtful, 0.0, mean), np.zeros_like(mean))
    lower, consistent, upper = (
        float((np.maximum(((errors + rest) / scale).max(axis=1), 0.0) >= statistic).mean()) for rest in left
    )
    return SuperiorAbility(best, statistic, consistent, lower, upper)
