"""Changes of a dataset's inputs after an instant: whatever is known by then must not notice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import LabelKind, find_outcomes
from trademl_assets.datasets.series import DailyContext, GridSeries
from trademl_assets.datasets.splits import Span
from trademl_assets.foundation.calendar import day_bounds, to_microseconds
from trademl_assets.grid.gaps import MISSING, OBSERVED
from trademl_assets.long_term.regimes import REGIMES

StreamFunction = Callable[[Ingredients], NDArray[np.float32]]
Changed = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Of instants (microseconds UTC): which become noise."""
OBSERVED_SHARE = 0.8
SHOCK = 0.05


@dataclass(frozen=True)
class Futures:
    """The inputs around one cut: as they are, with noise after it, and ending at it.

    Attributes:
        cut: the last step that is known.
        first: the step at which all three begin.
        whole, noisy, ended: the inputs; the first two reach as far beyond the cut as before it.
    """

    cut: int
    first: int
    whole: Ingredients
    noisy: Ingredients
    ended: Ingredients

    @property
    def known(self) -> int:
        """How many of their steps are known."""
        return self.cut - self.first + 1

    def labelling(self, instrument: str) -> "Futures":
        """The same inputs, of which another instrument is labelled."""
        whole, noisy, ended = (each.labelling(instrument) for each in (self.whole, self.noisy, self.ended))
        return replace(self, whole=whole, noisy=noisy, ended=ended)


def make_futures(ingredients: Ingredients, cut: int, reach: int, rng: np.random.Generator) -> Futures:
    """Cut at a step and replace what follows it, on the steps within `reach` of it."""
    first = max(cut - reach, 0)
    whole = cut_steps(ingredients, first, min(cut + reach, ingredients.series.steps))
    noisy = randomise_after(whole, int(ingredients.series.instants_us[cut]), rng)
    return Futures(cut, first, whole, noisy, cut_steps(whole, 0, cut - first + 1))


def first_difference(function: StreamFunction, futures: Futures) -> int | None:
    """The first step up to the cut where a stream changes when what follows does, None when none does.

    All three futures must agree bit by bit up to the cut.
    """
    known = futures.known
    expected = function(futures.whole)[:known]
    for inputs in (futures.noisy, futures.ended):
        differing = np.flatnonzero((_bits(expected) != _bits(function(inputs)[:known])).any(axis=1))
        if len(differing):
            return futures.first + int(differing[0])
    return None


def first_changed_label(
    kind: LabelKind, edges: NDArray[np.float64], horizon_seconds: int, futures: Futures
) -> int | None:
    """The first decision whose label over a horizon, ended up to the cut, changes when what follows does, or None.

    All three futures must agree in validity, return, end and class, and no label may begin to have ended.
    """
    steps, last_us = np.arange(futures.known, dtype=np.int64), int(futures.ended.series.instants_us[-1])
    expected = find_outcomes(kind, futures.whole, steps, horizon_seconds)
    classes = kind.classify(expected, edges)
    for inputs in (futures.noisy, futures.ended):
        other = find_outcomes(kind, inputs, steps, horizon_seconds)
        differing = (expected.valid != other.valid) | (expected.t1_us != other.t1_us)
        unequal = (expected.return_bps != other.return_bps) | (classes != kind.classify(other, edges))
        ended = np.minimum(expected.t1_us, other.t1_us) <= last_us
        changed = np.flatnonzero(ended & (differing | (expected.valid & unequal)))
        if len(changed):
            return futures.first + int(changed[0])
    return None


def randomise_after(ingredients: Ingredients, last_us: int, rng: np.random.Generator) -> Ingredients:
    """The same inputs up to and including `last_us`; later steps, days that end later, later publications are noise."""
    return _randomise(ingredients, lambda instants: instants > last_us, rng)


def randomise_within(ingredients: Ingredients, spans: Sequence[Span], rng: np.random.Generator) -> Ingredients:
    """The same inputs outside of `spans`; steps, ends of days and publications within them are noise."""

    def within(instants: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = np.zeros(len(instants), dtype=np.bool_)
        for span in spans:
            inside |= (instants >= span.first_us) & (instants < span.last_us)
        return inside

    return _randomise(ingredients, within, rng)


def randomise_publications_after(ingredients: Ingredients, last_us: int, rng: np.random.Generator) -> Ingredients:
    """The same inputs but for values of external series published after `last_us`, which are noise."""
    return replace(ingredients, external=_randomise_externals(ingredients, lambda instants: instants > last_us, rng))


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
            series.usable[rows],
            None if series.bars is None else series.bars[rows],
        ),
    )


def _bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


def _randomise(ingredients: Ingredients, changed: Changed, rng: np.random.Generator) -> Ingredients:
    return replace(
        ingredients,
        series=_randomise_series(ingredients.series, changed, rng),
        context=_randomise_context(ingredients.context, changed, rng),
        external=_randomise_externals(ingredients, changed, rng),
    )


def _randomise_series(series: GridSeries, changed: Changed, rng: np.random.Generator) -> GridSeries:
    later = changed(series.instants_us)
    shape = (int(later.sum()), series.mid.shape[1])
    columns = {
        name: getattr(series, name).copy()
        for name in ("mid", "state", "age_seconds", "spread_bps", "microprice_bps", "usable")
    }
    seen = ~np.isnan(series.mid)
    level = np.where(seen, series.mid, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    level[level == 0] = 1.0
    state = np.where(rng.random(shape) < OBSERVED_SHARE, OBSERVED, MISSING)
    columns["state"][later] = state
    columns["mid"][later] = np.where(state == MISSING, np.nan, level * np.exp(rng.normal(0.0, SHOCK, shape)))
    columns["age_seconds"][later] = 0.0
    columns["usable"][later] = rng.random(shape[0]) < OBSERVED_SHARE
    columns["spread_bps"][later] = rng.exponential(1.0, shape)
    columns["microprice_bps"][later] = rng.normal(0.0, 1.0, shape)
    return GridSeries(series.instants_us, **columns, bars=_randomise_bars(series, later, level, rng))


def _randomise_bars(
    series: GridSeries, later: NDArray[np.bool_], level: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    if series.bars is None:
        return None
    bars, shape = series.bars.copy(), (int(later.sum()), *series.bars.shape[1:])
    bars[later] = level[:, None] * np.exp(rng.normal(0.0, SHOCK, shape))
    return bars


def _randomise_context(context: DailyContext, changed: Changed, rng: np.random.Generator) -> DailyContext:
    lasts = np.asarray([to_microseconds(day_bounds(day)[1]) - 1 for day in context.days], dtype=np.int64)
    later = changed(lasts)
    statistics = {}
    for name, values in context.statistics.items():
        noise = values.copy()
        noise[later] = rng.exponential(1.0, (int(later.sum()), values.shape[1]))
        statistics[name] = noise
    drawn = rng.integers(0, len(REGIMES), len(context.days))
    regimes = tuple(REGIMES[drawn[row]] if later[row] else name for row, name in enumerate(context.regimes))
    return DailyContext(context.days, statistics, regimes)


def _randomise_externals(
    ingredients: Ingredients, changed: Changed, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    return {name: _randomise_external(table, changed, rng) for name, table in ingredients.external.items()}


def _randomise_external(table: pl.DataFrame, changed: Changed, rng: np.random.Generator) -> pl.DataFrame:
    values = table["value"].to_numpy().copy()
    later = changed(table["published"].to_physical().to_numpy())
    spread = float(np.nanstd(values)) if len(values) else 0.0
    values[later] += rng.normal(0.0, spread if spread > 0 else 1.0, int(later.sum()))
    return table.with_columns(value=pl.Series(values))
