"""The first step after each decision at which the target's price leaves a band, along a path without gaps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trademl_assets.datasets.candle_inputs import BAR_VALUES
from trademl_assets.datasets.labels import returns_between, target_mids
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import ConfigError

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
UNKNOWN, INSIDE, BELOW, ABOVE, BOTH = -1, 0, 1, 2, 3
HIGH, LOW = BAR_VALUES.index("high"), BAR_VALUES.index("low")


@dataclass(frozen=True)
class Passages:
    """How n paths went.

    Attributes:
        went: (n,) int8: UNKNOWN (a gap, or an end that nobody saw), INSIDE the band up to the horizon, BELOW, ABOVE, or
            BOTH within one step.
        t1_us: (n,) int64, the step at which the band was left, otherwise the horizon's end.
        return_bps: (n,) float64 log mid return up to t1, NaN where unknown.
    """

    went: NDArray[np.int8]
    t1_us: NDArray[np.int64]
    return_bps: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) where the path was observed."""
        return np.asarray(self.went != UNKNOWN)


def first_passages(
    ingredients: "Ingredients",
    steps: NDArray[np.int64],
    *,
    above: Floats,
    below: Floats,
    horizon_seconds: int,
    max_path_gap_seconds: int,
    by_mid: bool,
) -> Passages:
    """Follow each path from the step after its decision until it leaves its band or the horizon ends.

    A step is read where its mid may end a label. Successive steps that are read lie at most `max_path_gap_seconds`
    apart, or else the path is unknown from there.

    Args:
        ingredients: Series of the target.
        steps: (n,) decisions, ascending.
        above: (n,) prices: reaching one leaves the band.
        below: (n,) prices likewise.
        horizon_seconds: How long a path is followed.
        max_path_gap_seconds: Longest time between steps that are read, at least the cadence.
        by_mid: Whether the mid alone is read, or, of candles, the high and the low of the bars.

    Raises:
        ConfigError: No path could be seen, because the longest gap is less than a step.
    """
    series, cadence = ingredients.series, ingredients.frame.cadence_seconds
    if max_path_gap_seconds < cadence:
        raise ConfigError(
            f"labels.parameters.max_path_gap_seconds ({max_path_gap_seconds}) is less than a step of {cadence} s -> "
            "no path could ever be observed; raise it"
        )
    mid, valid = target_mids(ingredients)
    high, low = (mid, mid) if by_mid else price_ranges(ingredients)
    horizon_steps = horizon_seconds // cadence
    went, ends = _follow(high, low, valid, steps, above, below, horizon_steps, max_path_gap_seconds // cadence)
    returns = returns_between(mid, valid, steps, ends)
    returns[went == UNKNOWN] = np.nan
    # By cadence rather than by the series' instants: the horizon of an unknown path may end beyond the series.
    t1 = series.instants_us[steps] + (ends - steps) * (cadence * MICROSECONDS_PER_SECOND)
    return Passages(went, t1, returns)


def price_ranges(ingredients: "Ingredients") -> tuple[Floats, Floats]:
    """(T,) highest and lowest price of the target at each step: of the bar that ended there, otherwise its mid."""
    mid, _ = target_mids(ingredients)
    if ingredients.series.bars is None:
        return mid, mid
    bars = ingredients.series.bars[:, ingredients.target_position]
    high, low = (np.where(np.isnan(bars[:, field]), mid, bars[:, field]) for field in (HIGH, LOW))
    return high, low


def _follow_paths(  # noqa: PLR0917 - compiled code takes no keywords
    high: Floats,
    low: Floats,
    valid: NDArray[np.bool_],
    steps: NDArray[np.int64],
    above: Floats,
    below: Floats,
    horizon_steps: int,
    longest_gap: int,
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """(n,) how each path went and (n,) the step at which it was decided."""
    went = np.full(len(steps), UNKNOWN, np.int8)
    ends = steps + horizon_steps
    for number in range(len(steps)):
        step = steps[number]
        if not valid[step]:
            continue
        last, end = step, step + horizon_steps
        for at in range(step + 1, min(end + 1, len(valid))):
            if at - last > longest_gap:
                break
            if not valid[at]:
                continue
            last = at
            over, under = high[at] >= above[number], low[at] <= below[number]
            if over or under:
                went[number] = BOTH if over and under else (ABOVE if over else BELOW)
                ends[number] = at
                break
            if at == end:
                went[number] = INSIDE
    return went, ends


_follow: Any = njit(cache=True, nogil=True)(_follow_paths)
