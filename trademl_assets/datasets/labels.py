"""Price classes: the log mid return over the horizon in half-open classes. None on a mid nobody saw."""

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.parameters import FixedBoundaries, QuantileBoundaries
from trademl_assets.datasets.series import GridSeries
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.gaps import OBSERVED

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


def fit_boundaries(training_returns_bps: Floats, boundaries: FixedBoundaries | QuantileBoundaries) -> Floats:
    """(C - 1,) class edges in bps: as given, or equal-probability quantiles of the training returns.

    Raises:
        DataQualityError: quantiles coincide, because too many training returns are equal.
    """
    if isinstance(boundaries, FixedBoundaries):
        return np.asarray(boundaries.edges_bps, dtype=np.float64)
    levels = np.arange(1, boundaries.classes) / boundaries.classes
    if len(training_returns_bps) < boundaries.classes:
        raise DataQualityError(
            f"{len(training_returns_bps)} training labels cannot set {boundaries.classes} quantile classes; "
            "lengthen the train block or give fixed edges"
        )
    edges = np.quantile(training_returns_bps, levels)
    if np.any(np.diff(edges) <= 0):
        raise DataQualityError(
            f"quantile edges coincide ({[round(float(edge), 4) for edge in edges]} bps): too many training returns are "
            "equal; use fewer classes, a longer horizon, or fixed edges"
        )
    return np.asarray(edges)


def classify(returns_bps: Floats, edges_bps: Floats) -> NDArray[np.int8]:
    """(n,) int8 classes: c where edges[c-1] <= return < edges[c], so that an edge belongs to the class above it."""
    return np.searchsorted(edges_bps, returns_bps, side="right").astype(np.int8)
