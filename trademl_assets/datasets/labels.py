"""What kinds of labels are made from: decision steps, mids that may end a label, returns ahead."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.label_kinds import Outcomes
from trademl_assets.datasets.series import GridSeries
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.grid.gaps import MISSING, OBSERVED

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
BPS = 1e4


def decision_steps(
    first_step: int,
    last_step: int,
    steps_per_day: int,
    cadence_seconds: int,
    *,
    every_seconds: int,
    phase_seconds: int,
) -> NDArray[np.int64]:
    """Steps in [first_step, last_step) that lie a multiple of `every_seconds` from `phase_seconds` after midnight."""
    steps = np.arange(first_step, last_step, dtype=np.int64)
    return np.asarray(steps[((steps % steps_per_day) * cadence_seconds - phase_seconds) % every_seconds == 0])


def valid_mids(series: GridSeries, asset: int, max_age_seconds: float) -> NDArray[np.bool_]:
    """(T,) where the mid of an instrument may end a label: observed, and not older than `max_age_seconds`."""
    return np.asarray((series.state[:, asset] == OBSERVED) & (series.age_seconds[:, asset] <= max_age_seconds))


def forward_returns(mid: Floats, valid: NDArray[np.bool_], steps: NDArray[np.int64], horizon_steps: int) -> Floats:
    """Log mid returns in bps from each step to `horizon_steps` later.

    Returns:
        (n,) float64, NaN where either end's mid is not valid or lies beyond the series.
    """
    return returns_between(mid, valid, steps, steps + horizon_steps)


def returns_between(mid: Floats, valid: NDArray[np.bool_], steps: NDArray[np.int64], ends: NDArray[np.int64]) -> Floats:
    """Log mid returns in bps from each step to its end.

    Returns:
        (n,) float64, NaN where either end's mid is not valid or lies beyond the series.
    """
    inside = ends < len(mid)
    reachable = np.where(inside, ends, 0)
    usable = inside & valid[steps] & valid[reachable]
    returns = np.full(len(steps), np.nan)
    returns[usable] = np.log(mid[reachable[usable]] / mid[steps[usable]]) * BPS
    return returns


def without_gap(series: GridSeries, asset: int, steps: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) where an instrument is shown at every step from `steps` to `ends`: observed, or filled for a while."""
    missing_before = np.concatenate([[0], np.cumsum(series.state[:, asset] == MISSING)])
    return np.asarray(missing_before[np.minimum(ends + 1, series.steps)] == missing_before[steps])


def target_mids(ingredients: "Ingredients") -> tuple[Floats, NDArray[np.bool_]]:
    """(T,) mids of the target, and where they may end a label."""
    series, target = ingredients.series, ingredients.target_position
    return series.mid[:, target], valid_mids(series, target, ingredients.parameters.labels.max_mid_age_seconds)


def forward_outcomes(ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
    """What decisions come to over exactly the horizon, by the target's mid at both ends and without a gap between."""
    mid, valid = target_mids(ingredients)
    horizon_steps = horizon_seconds // ingredients.frame.cadence_seconds
    returns = forward_returns(mid, valid, steps, horizon_steps)
    whole = without_gap(ingredients.series, ingredients.target_position, steps, steps + horizon_steps)
    returns[~whole] = np.nan
    t1 = ingredients.series.instants_us[steps] + horizon_seconds * MICROSECONDS_PER_SECOND
    return Outcomes(returns, t1, ~np.isnan(returns))


def horizon_sigma(ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Floats:
    """(n,) float64 trailing short sigma of the target at each step times the root of the horizon's steps, bps."""
    horizon_steps = horizon_seconds // ingredients.frame.cadence_seconds
    return np.asarray(ingredients.sigma.short[steps, ingredients.target_position] * np.sqrt(horizon_steps))
