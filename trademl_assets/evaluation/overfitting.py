"""How likely the choice of the best trial was luck: combinatorially symmetric cross-validation."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.errors import EvaluationError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Overfitting:
    """Probability of backtest overfitting (Bailey, Borwein, Lopez de Prado and Zhu 2017).

    Attributes:
        probability: Share of splits in which the trial that was best on one half is below the median on the other.
        logits: (S,) log odds of its relative rank on the other half; above 0 it is in the better half.
        slope: Of the chosen trial's loss on the other half on that of the half it was chosen on.
    """

    probability: float
    logits: Floats
    slope: float


def probability_of_overfitting(losses: Floats, groups: int) -> Overfitting:
    """Choose on every half of the groups and look at the other half.

    Args:
        losses: (days, trials) mean loss of every completed trial on every day, in time order.
        groups: Even number of contiguous groups of days; 16 give 12,870 splits.

    Raises:
        EvaluationError: Too few days or trials, an odd number of groups, or losses that are not finite.
    """
    days, trials = losses.shape
    if groups % 2 or groups < 2 or days < groups or trials < 2 or not np.isfinite(losses).all():  # noqa: PLR2004 -- two sides, two trials
        raise EvaluationError(
            f"overfitting needs finite losses of two trials or more on {groups} days (even), found {days} days "
            f"x {trials} trials -> finish more trials, or set fewer groups"
        )
    bounds = np.linspace(0, days, groups + 1).astype(np.int64)
    sums = np.add.reduceat(losses, bounds[:-1], axis=0)
    sizes = np.diff(bounds).astype(np.float64)
    chosen = np.array(list(combinations(range(groups), groups // 2)))
    inside = np.zeros((len(chosen), groups))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    seen = inside @ sums / (inside @ sizes)[:, None]
    unseen = (1 - inside) @ sums / ((1 - inside) @ sizes)[:, None]
    best = seen.argmin(axis=1)
    row = np.arange(len(chosen))
    worse = (unseen > unseen[row, best][:, None]).sum(axis=1) + (unseen == unseen[row, best][:, None]).sum(axis=1) / 2
    rank = (worse + 0.5) / (trials + 1)
    logits = np.log(rank / (1 - rank))
    spread = float(seen[row, best].var())
    shared = float(((seen[row, best] - seen[row, best].mean()) * unseen[row, best]).mean())
    return Overfitting(float((logits <= 0).mean()), logits, shared / spread if spread > 0 else 0.0)
