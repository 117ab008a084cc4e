"""The average true range of the target over past bars, known at each step.

Wilder, New Concepts in Technical Trading Systems (1978); here a plain mean over the last bars.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.first_passage import price_ranges
from trademl_assets.datasets.labels import BPS, target_mids
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import ConfigError

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]


def average_true_range(ingredients: "Ingredients", bar_seconds: int, bars: int) -> Floats:
    """(T,) mean true range of the last `bars` bars that have ended, in bps of the last close; NaN before there are any.

    Bars of `bar_seconds` are counted from the epoch, so from each midnight where they divide a day; each holds the
    steps after its start up to its end. Their high, low and close are those of the steps whose mid may end a label, or
    of the candles that ended there. Bars without any such step are left out. Until there are as many, the mean is over
    fewer; the first true range is that of the second bar.

    Raises:
        ConfigError: Bars are no whole number of steps.
    """
    series, cadence = ingredients.series, ingredients.frame.cadence_seconds
    if bar_seconds % cadence:
        raise ConfigError(
            f"labels.parameters.barriers.bar_seconds ({bar_seconds}) is not a whole number of steps of {cadence} s"
        )
    mid, valid = target_mids(ingredients)
    high, low = price_ranges(ingredients)
    bar_us = bar_seconds * MICROSECONDS_PER_SECOND
    seen = np.flatnonzero(valid)
    if not len(seen):
        return np.full(series.steps, np.nan)
    bar_of, starts = np.unique((series.instants_us[seen] - 1) // bar_us, return_index=True)
    highs, lows = np.maximum.reduceat(high[seen], starts), np.minimum.reduceat(low[seen], starts)
    closes = mid[seen[np.append(starts[1:], len(seen)) - 1]]
    before, last = closes[:-1], closes[1:]
    ranges = np.maximum(highs[1:], before) - np.minimum(lows[1:], before)
    mean_bps = _trailing_mean(ranges, bars) / last * BPS
    # The bar that a step lies in has ended where the step is its last instant.
    ended = np.searchsorted(bar_of, series.instants_us // bar_us - 1, side="right") - 1
    return np.where(ended >= 1, np.append(np.nan, mean_bps)[np.maximum(ended, 0)], np.nan)


def _trailing_mean(values: Floats, width: int) -> Floats:
    """Mean of the last `width` values, of all there are before that."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    firsts = np.maximum(ends - width, 0)
    return np.asarray((total[ends] - total[firsts]) / (ends - firsts))
