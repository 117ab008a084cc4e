"""Changes of a dataset's inputs after an instant: whatever is known by then must not notice."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import LabelKind, find_outcomes
from trademl_assets.datasets.series import DailyContext, GridSeries
from trademl_assets.foundation.calendar import day_bounds, to_microseconds
from trademl_assets.grid.gaps import MISSING, OBSERVED
from trademl_assets.long_term.regimes import REGIMES

StreamFunction = Callable[[Ingredients], NDArray[np.float32]]
OBSERVED_SHARE = 0.8
SHOCK = 0.05


def randomise_after(ingredients: Ingredients, last_us: int, rng: np.random.Generator) -> Ingredients:
    """The same inputs up to and including `last_us`; later steps, days that end later, later publications are noise."""
    return replace(
        ingredients,
        series=_randomise_series(ingredients.series, last_us, rng),
        context=_randomise_context(ingredients.context, last_us, rng),
        external={name: _randomise_external(table, last_us, rng) for name, table in ingredients.external.items()},
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
            series.usable[rows],
            None if series.bars is None else series.bars[rows],
        ),
    )


def choose_cuts(ingredients: Ingredients, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` random steps within the blocks, at most as many at the edges of gaps, sorted.

    For each external series, as many at most are the last steps before its publications.
    """
    series = ingredients.series
    first, last = ingredients.start_step, max(ingredients.end_step - 1, ingredients.start_step + 1)
    states = series.state[first:last].astype(np.int8)
    edges = first + np.flatnonzero((np.diff(states, axis=0) != 0).any(axis=1))
    chosen = rng.choice(edges, size=min(count, len(edges)), replace=False)
    found = [rng.integers(first, last, size=count), chosen]
    for table in ingredients.external.values():
        before = np.searchsorted(series.instants_us, table["published"].to_physical().to_numpy(), side="left") - 1
        before = np.unique(before[(before >= first) & (before < last)])
        found.append(rng.choice(before, size=min(count, len(before)), replace=False))
    return np.unique(np.concatenate(found))


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


def first_changed_label(
    kind: LabelKind,
    edges_bps: NDArray[np.float64],
    ingredients: Ingredients,
    *,
    horizon_seconds: int,
    cut: int,
    reach: int,
    rng: np.random.Generator,
) -> int | None:
    """The first decision whose label, ended at or before `cut`, changes when what follows `cut` does; None for none.

    Labels are made again on the steps within `reach` of the cut: as they are, with noise after the cut, and ending at
    the cut. All three must agree in validity, return, end and class, and no label may begin to have ended.
    """
    first, last_us = max(cut - reach, 0), int(ingredients.series.instants_us[cut])
    local = cut_steps(ingredients, first, min(cut + reach, ingredients.series.steps))
    known = cut - first + 1
    steps = np.arange(known, dtype=np.int64)
    expected = find_outcomes(kind, local, steps, horizon_seconds)
    classes = kind.classify(expected, edges_bps)
    for inputs in (randomise_after(local, last_us, rng), cut_steps(local, 0, known)):
        other = find_outcomes(kind, inputs, steps, horizon_seconds)
        differing = (expected.valid != other.valid) | (expected.t1_us != other.t1_us)
        unequal = (expected.return_bps != other.return_bps) | (classes != kind.classify(other, edges_bps))
        ended = np.minimum(expected.t1_us, other.t1_us) <= last_us
        changed = np.flatnonzero(ended & (differing | (expected.valid & unequal)))
        if len(changed):
            return first + int(changed[0])
    return None


def _bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


def _randomise_series(series: GridSeries, last_us: int, rng: np.random.Generator) -> GridSeries:
    later = series.instants_us > last_us
    shape = (int(later.sum()), series.mid.shape[1])
    columns = {
        name: getattr(series, name).copy()
        for name in ("mid", "state", "age_seconds", "spread_bps", "microprice_bps", "usable")
    }
    seen = ~np.isnan(series.mid)
    level = np.where(seen, series.mid, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    level[level == 0] = 1.0
    columns["mid"][later] = level * np.exp(rng.normal(0.0, SHOCK, shape))
    columns["state"][later] = np.where(rng.random(shape) < OBSERVED_SHARE, OBSERVED, MISSING)
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


def _randomise_external(table: pl.DataFrame, last_us: int, rng: np.random.Generator) -> pl.DataFrame:
    values = table["value"].to_numpy().copy()
    later = table["published"].to_physical().to_numpy() > last_us
    spread = float(np.nanstd(values)) if len(values) else 0.0
    values[later] += rng.normal(0.0, spread if spread > 0 else 1.0, int(later.sum()))
    return table.with_columns(value=pl.Series(values))
