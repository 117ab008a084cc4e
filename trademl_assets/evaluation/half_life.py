"""How fast skill decays: an exponential fitted to daily gains, with what decays the data do not exclude."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.significance import bootstrap_means

Floats = NDArray[np.float64]
DecayVerdict = Literal["decays", "no decay seen", "cannot be told"]
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class HalfLife:
    """Decay of a frozen model's gain: gain(age) = initial gain * 2^(-age / half-life).

    Attributes:
        verdict: `decays`: the interval of the half-life ends; `no decay seen`: it does not end, but begins above the
            shortest that was looked for; `cannot be told`: it spans everything, or there is no skill that could decay.
        sentence: The verdict with its figures.
        days: Half-life that fits best; None where no decay fits best or nothing can be told.
        low_days: Lower end of its interval; None where even the shortest is not excluded.
        high_days: Upper end of it; None where no decay is not excluded.
        initial_gain: Gain at the end of training that fits best, nats a decision.
        retrain_by: UTC day on which the fitted gain has fallen to the stated share; None where none follows.
        holds_until: UTC day until which more than that share is left even at the lower end of the interval.
    """

    verdict: DecayVerdict
    sentence: str
    days: float | None
    low_days: float | None
    high_days: float | None
    initial_gain: float
    retrain_by: str | None
    holds_until: str | None


@dataclass(frozen=True)
class DailyGains:
    """Gains of a frozen model by day, in time order.

    Attributes:
        age_days: (D,) days since the end of training.
        total: (D,) summed gain of the day's decisions, nats.
        count: (D,) decisions.
        trained_until_us: End of training, microseconds UTC.
    """

    age_days: Floats
    total: Floats
    count: Floats
    trained_until_us: int


def fit_half_life(
    gains: DailyGains,
    *,
    shortest_days: float,
    longest_days: float,
    steps: int,
    retrain_at_share: float,
    block_days: float,
    minimum_blocks: float,
    replicates: int,
    confidence: float,
    seed: int,
) -> HalfLife:
    """Fit by least squares over a logarithmic grid of half-lives and no decay at all; resample blocks of days.

    A replicate in which no half-life leaves a gain above 0 has no half-life: it counts as the shortest at the lower end
    of the interval and as none at the upper. So does every replicate where the interval of the mean gain reaches 0.

    Args:
        gains: At least one day.
        shortest_days: Least half-life looked for; what is shorter loses everything at once.
        longest_days: Greatest one; what is longer does not decay.
        steps: Points of the grid between them.
        retrain_at_share: Share of the initial gain at which a model should be trained again.
        block_days: Mean length of a block.
        minimum_blocks: Blocks that the days must make up for anything to be told.
        replicates: Resamples.
        confidence: Of the interval, two-sided.
        seed: Of the draws.
    """
    grid = np.append(np.geomspace(shortest_days, longest_days, steps), np.inf)
    columns = _columns(gains, grid)
    best, initial = _best(columns.mean(axis=0)[None])
    drawn = bootstrap_means(columns, max(block_days, 1.0), replicates, seed)
    chosen, _ = _best(drawn)
    last = len(grid) - 1
    tail = (1 - confidence) / 2
    enough = len(gains.age_days) >= minimum_blocks * max(block_days, 1.0)
    if (
        not enough or np.quantile(drawn[:, last], tail) <= 0
    ):  # of the mean gain: a search over decays finds one in any noise
        chosen = np.full_like(chosen, -1)
    low = int(np.quantile(np.where(chosen < 0, 0, chosen), tail, method="lower"))
    high = int(np.quantile(np.where(chosen < 0, last, chosen), 1 - tail, method="higher"))
    days = None
    if 0 <= best[0] < last and (chosen >= 0).any():
        around = np.geomspace(grid[max(best[0] - 1, 0)], grid[min(best[0] + 1, last - 1)], steps)
        best, initial = _best(_columns(gains, around).mean(axis=0)[None])
        days = float(around[best[0]])
    low = min(low, last - 1)  # longer than the longest is as far as it is known
    low_days, high_days = None if low == 0 else float(grid[low]), None if high == last else float(grid[high])
    if low_days is None and high_days is None:
        verdict: DecayVerdict = "cannot be told"
    else:
        verdict = "no decay seen" if high_days is None else "decays"
    told = verdict != "cannot be told"
    retrain_by = _day(gains, days, retrain_at_share) if verdict == "decays" else None
    holds_until = _day(gains, low_days, retrain_at_share) if told else None
    span = f"ages of {gains.age_days[0]:.1f} to {gains.age_days[-1]:.1f} days"
    level = f"{confidence:.0%}"
    reason = "anything from no decay to all at once fits"
    if not enough:
        reason = f"{len(gains.age_days)} day(s) are too few"
    elif (chosen < 0).all():
        reason = "the mean gain is not above 0 by more than chance, so there is nothing that could decay"
    sentence = {
        "cannot be told": f"The decay cannot be told from {span}: {reason}",
        "no decay seen": f"No decay seen over {span}: the half-life is at least {_shown(low_days)} ({level})",
        "decays": f"The gain halves every {_shown(days)} ({level} interval {_shown(low_days, shortest_days)} to "
        f"{_shown(high_days)}), fitted over {span}"
        + (f"; {retrain_at_share:.0%} of it is left on {retrain_by}: train again by then" if retrain_by else ""),
    }[verdict]
    return HalfLife(verdict, sentence, days, low_days, high_days, float(initial[0]), retrain_by, holds_until)


def _columns(gains: DailyGains, half_lives: Floats) -> Floats:
    """(D, 2 K): summed gain times what is left of it, and decisions times its square, for each half-life (K,)."""
    left = np.exp2(-gains.age_days[:, None] / half_lives)
    return np.concatenate([gains.total[:, None] * left, gains.count[:, None] * left**2], axis=1)


def _best(means: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Grid point with the least squared error in each row, -1 where no gain above 0 fits, and its initial gain."""
    crossed, squared = np.split(means, 2, axis=1)
    explained = np.where(crossed > 0, crossed**2 / np.maximum(squared, np.finfo(np.float64).tiny), 0.0)
    # ties, as between long half-lives over short ages, go to the slower decay
    place = explained.shape[1] - 1 - explained[:, ::-1].argmax(axis=1)
    rows = np.arange(len(means))
    found = explained[rows, place] > 0
    initial = np.where(found, crossed[rows, place] / np.maximum(squared[rows, place], np.finfo(np.float64).tiny), 0.0)
    return np.where(found, place, -1), initial


def _day(gains: DailyGains, days: float | None, share: float) -> str | None:
    if days is None:
        return None
    after = timedelta(days=days * float(np.log2(1 / share)))
    trained_until = datetime.fromtimestamp(gains.trained_until_us / 1e6, UTC)
    try:
        return (trained_until + after).date().isoformat()
    except OverflowError:
        return None


def _shown(days: float | None, shortest: float | None = None) -> str:
    if days is None:
        return "no decay" if shortest is None else f"less than {shortest:.3g} days"
    return f"{days:.3g} days"
