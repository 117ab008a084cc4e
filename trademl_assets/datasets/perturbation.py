"""Changes of a dataset's inputs after an instant: whatever is known by then must not notice."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.series import DailyContext, GridSeries
from trademl_assets.foundation.calendar import day_bounds, to_microseconds
from trademl_assets.grid.gaps import MISSING, OBSERVED
from trademl_assets.long_term.regimes import REGIMES

StreamFunction = Callable[[Ingredients], NDArray[np.float32]]
OBSERVED_SHARE = 0.8
SHOCK = 0.05


def randomise_after(ingredients: Ingredients, last_us: int, rng: np.random.Generator) -> Ingredients:
    """The same inputs up to and including `last_us`; later steps, and days that end later, hold noise."""
    return replace(
        ingredients,
        series=_randomise_series(ingredients.series, last_us, rng),
        context=_randomise_context(ingredients.context, last_us, rng),
    )


def cut_steps(ingredients: Ingredients, first_step: int, last_step: int) -> Ingredients:
    """The same inputs with the series of steps [first_step, last_step) only."""
    series, rows = ingredients.series, slice(first_step, last_step)
    return replace(
        ingredients,
        series=GridSeries(
            series.instants_us[rows],
            series.mid[rows],
            series.state[rows],
            series.age_seconds[rows],
            series.spread_bps[rows],
            series.microprice_bps[rows],
        ),
    )


def choose_cuts(ingredients: Ingredients, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` random steps within the blocks, and at most as many at the edges of gaps, sorted."""
    series = ingredients.series
    first, last = ingredients.start_step, max(ingredients.end_step - 1, ingredients.start_step + 1)
    states = series.state[first:last].astype(np.int8)
    edges = first + np.flatnonzero((np.diff(states, axis=0) != 0).any(axis=1))
    chosen = rng.choice(edges, size=min(count, len(edges)), replace=False)
    return np.unique(np.concatenate([rng.integers(first, last, size=count), chosen]))


def first_difference(
    function: StreamFunction, ingredients: Ingredients, cut: int, reach: int, rng: np.random.Generator
) -> int | None:
    """The first step at or before `cut` where a stream changes when what follows `cut` does, None when none does.

    The stream is recomputed on the steps within `reach` of the cut: as they are, with noise after the cut, and ending
    at the cut. All three must agree bit by bit up to it.
    """
    first = max(cut - reach, 0)
    local = cut_steps(ingredients, first, min(cut + reach, ingredients.series.steps))
    known = cut - first + 1
    noisy = randomise_after(local, int(ingredients.series.instants_us[cut]), rng)
    expected = function(local)[:known]
    for other in (function(noisy)[:known], function(cut_steps(local, 0, known))):
        differing = np.flatnonzero((_bits(expected) != _bits(other)).any(axis=1))
        if len(differing):
            return first + int(differing[0])
    return None


def _bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


def _randomise_series(series: GridSeries, last_us: int, rng: np.random.Generator) -> GridSeries:
    later = series.instants_us > last_us
    shape = (int(later.sum()), series.mid.shape[1])
    columns = {
        name: getattr(series, name).copy() for name in ("mid", "state", "age_seconds", "spread_bps", "microprice_bps")
    }
    seen = ~np.isnan(series.mid)
    level = np.where(seen, series.mid, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    level[level == 0] = 1.0
    columns["mid"][later] = level * np.exp(rng.normal(0.0, SHOCK, shape))
    columns["state"][later] = np.where(rng.random(shape) < OBSERVED_SHARE, OBSERVED, MISSING)
    columns["age_seconds"][later] = 0.0
    columns["spread_bps"][later] = rng.exponential(1.0, shape)
    columns["microprice_bps"][later] = rng.normal(0.0, 1.0, shape)
    return GridSeries(series.instants_us, **columns)


def _randomise_context(context: DailyContext, last_us: int, rng: np.random.Generator) -> DailyContext:
    later = np.asarray([to_microseconds(day_bounds(day)[1]) > last_us for day in context.days])
    statistics = {}
    for name, values in context.statistics.items():
        noise = values.copy()
        noise[later] = rng.exponential(1.0, (int(later.sum()), values.shape[1]))
        statistics[name] = noise
    drawn = rng.integers(0, len(REGIMES), len(context.days))
    regimes = tuple(REGIMES[drawn[row]] if later[row] else name for row, name in enumerate(context.regimes))
    return DailyContext(context.days, statistics, regimes)
