"""What kinds of labels are made from: decision steps, mids that may end a label, returns ahead."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.label_kinds import Outcomes
from trademl_assets.datasets.series import GridSeries
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.grid.gaps import OBSERVED

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
BPS = 1e4


def decision_steps(
    first_step: int, last_step: int, steps_per_day: int, cadence_seconds: int, every_seconds: int
) -> NDArray[np.int64]:
    """Steps in [first_step, last_step) whose seconds since their midnight are a multiple of `every_seconds`."""
    steps = np.arange(first_step, last_step, dtype=np.int64)
    return np.asarray(steps[(steps % steps_per_day) * cadence_seconds % every_seconds == 0])


def valid_mids(series: GridSeries, asset: int, max_age_seconds: float) -> NDArray[np.bool_]:
    """(T,) where the mid of an instrument may end a label: observed, and not older than `max_age_seconds`."""
    return np.asarray((series.state[:, asset] == OBSERVED) & (series.age_seconds[:, asset] <= max_age_seconds))


def forward_returns(mid: Floats, valid: NDArray[np.bool_], steps: NDArray[np.int64], horizon_steps: int) -> Floats:
    """Log mid returns in bps from each step to `horizon_steps` later.

    Returns:
        (n,) float64, NaN where either end's mid is not valid or lies beyond the series.
    """
    ends = steps + horizon_steps
    inside = ends < len(mid)
    reachable = np.where(inside, ends, 0)
    usable = inside & valid[steps] & valid[reachable]
    returns = np.full(len(steps), np.nan)
    returns[usable] = np.log(mid[reachable[usable]] / mid[steps[usable]]) * BPS
    return returns


def forward_outcomes(ingredients: "Ingredients", steps: NDArray[np.int64]) -> Outcomes:
    """What decisions come to over exactly `labels.horizon_seconds`, by the target's mid at both ends."""
    series, target, labels = ingredients.series, ingredients.target_position, ingredients.parameters.labels
    valid = valid_mids(series, target, labels.max_mid_age_seconds)
    horizon_steps = labels.horizon_seconds // ingredients.frame.cadence_seconds
    returns = forward_returns(series.mid[:, target], valid, steps, horizon_steps)
    t1 = series.instants_us[steps] + labels.horizon_seconds * MICROSECONDS_PER_SECOND
    return Outcomes(returns, t1, ~np.isnan(returns))
