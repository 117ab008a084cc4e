"""The models that may be the best: those that the data cannot tell from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.mean_errors import mean_errors

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ConfidenceSet:
    """Model Confidence Set (Hansen, Lunde and Nason 2011).

    Attributes:
        members: Columns of the models that remain, sorted.
        p_values: (m,) smallest level at which a model is left out; 1 for the last one.
        order: Columns in the order in which they leave; the last is the one that stays longest.
    """

    members: tuple[int, ...]
    p_values: tuple[float, ...]
    order: tuple[int, ...]


def confidence_set(losses: Floats, mean_block: float, *, level: float, replicates: int, seed: int) -> ConfidenceSet:
    """Leave models out, the worst first, until their losses cannot be told apart.

    Args:
        losses: (T, m) of every model, in time order; days, or decisions.
        mean_block: Mean length of a bootstrap block in rows.
        level: Chance that the best model is left out.
        replicates: Of the stationary bootstrap.
        seed: Of its blocks.
    """
    apart = losses - losses.mean(axis=1, keepdims=True)  # what all models share tells none from the others
    errors = mean_errors(apart, mean_block, replicates=replicates, seed=seed)
    order, p_values = eliminate(losses.mean(axis=0), errors)
    members = tuple(number for number, p_value in enumerate(p_values) if p_value > level)
    return ConfidenceSet(members, tuple(p_values.tolist()), tuple(order))


def eliminate(means: Floats, errors: Floats) -> tuple[list[int], Floats]:
    """Order of leaving and (m,) p values with the statistic T_max.

    Args:
        means: (m,) mean losses.
        errors: (R, m) bootstrap errors of the mean losses.
    """
    kept = np.arange(len(means))
    order, p_values, greatest = [], np.ones(len(means)), 0.0
    while len(kept) > 1:
        away = means[kept] - means[kept].mean()
        error = errors[:, kept] - errors[:, kept].mean(axis=1, keepdims=True)
        spread = np.sqrt((error**2).mean(axis=0))
        spread = np.where(spread > 0, spread, np.inf)
        scores = away / spread
        worst = int(scores.argmax())
        p_value = float(((error / spread).max(axis=1) > scores[worst]).mean()) if scores[worst] > 0 else 1.0
        greatest = max(greatest, p_value)
        p_values[kept[worst]] = greatest
        order.append(int(kept[worst]))
        kept = np.delete(kept, worst)
    return [*order, *kept.tolist()], p_values
