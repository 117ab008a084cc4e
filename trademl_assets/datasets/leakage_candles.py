"""Rules on series made from candles: a step knows the bar that ended there, and nothing of bars that end later."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from trademl_assets.datasets.candle_inputs import read_bars, series_of_bars
from trademl_assets.datasets.cuts import choose_cuts
from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.leakage_findings import Finding
from trademl_assets.datasets.series import GridFrame, GridSeries
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds
from trademl_assets.grid.gaps import OBSERVED
from trademl_assets.storage.commit import ArtifactStore

KNOWN_AT_END = "candles: an observed step shows the close of the bar that ended there"
UNMOVED = "candles: bars that end after a cut change no step before it"
COMPARED = ("mid", "state", "age_seconds", "usable", "bars")
SHOCK = 0.01
SHOWN = 3

Tables = Mapping[str, pl.DataFrame]
SeriesFunction = Callable[[Tables, Sequence[date], Sequence[str], GridFrame], GridSeries]
"""From bars by instrument to the series of days, as `series_of_bars`."""


def audit_candles(
    store: ArtifactStore, ingredients: Ingredients, make_series: SeriesFunction = series_of_bars
) -> list[Finding]:
    """Compare the series with its bars, and make it anew around cuts with other bars after them; empty for a grid."""
    if ingredients.parameters.series_from != "candles":
        return []
    tables = read_bars(store, ingredients.days, ingredients.parameters.instruments)
    return [_known_at_end(tables, ingredients), _unmoved(tables, ingredients, make_series)]


def _known_at_end(tables: Tables, ingredients: Ingredients) -> Finding:
    series, length_us = ingredients.series, ingredients.frame.cadence_seconds * MICROSECONDS_PER_SECOND
    wrong, seen = [], 0
    for asset, name in enumerate(ingredients.parameters.instruments):
        observed = series.state[:, asset] == OBSERVED
        shown = pl.DataFrame({"end": series.instants_us[observed], "mid": series.mid[observed, asset]})
        ended = tables[name].select(end=pl.col("ts").to_physical() + length_us, close="close")
        joined = shown.join(ended, on="end", how="left", maintain_order="left")
        differing = joined.filter(pl.col("close").is_null() | (pl.col("close") != pl.col("mid")))
        wrong += [f"{name} at {from_microseconds(end).isoformat()}" for end in differing["end"][:SHOWN]]
        seen += shown.height
    return Finding.of(KNOWN_AT_END, holds=not wrong, detail="; ".join(wrong[:SHOWN]) or f"{seen} steps")


def _unmoved(tables: Tables, ingredients: Ingredients, make_series: SeriesFunction) -> Finding:
    """Each cut is looked at on its own day alone, with the bars that end on it."""
    rng, frame = np.random.default_rng(ingredients.parameters.audit.seed), ingredients.frame
    names, length = ingredients.parameters.instruments, timedelta(seconds=frame.cadence_seconds)
    cuts, leaks = choose_cuts(ingredients, rng), []
    for cut in cuts.steps.tolist():
        number, step = divmod(cut, frame.steps_per_day)
        day, instant = ingredients.days[number], from_microseconds(int(ingredients.series.instants_us[cut]))
        end = pl.col("ts") + length
        local = {name: tables[name].filter(end.dt.date() == day) for name in names}
        ended = {name: table.filter(end <= instant) for name, table in local.items()}
        noisy = {name: table.with_columns(_noise(end > instant, rng)) for name, table in local.items()}
        expected = make_series(local, [day], names, frame)
        others = (make_series(some, [day], names, frame) for some in (ended, noisy))
        if any(_differ(expected, other, step + 1) for other in others):
            leaks.append(f"a cut at {instant.isoformat()}")
    return Finding.of(UNMOVED, holds=not leaks, detail="; ".join(leaks[:SHOWN]) or str(cuts))


def _noise(later: pl.Expr, rng: np.random.Generator) -> list[pl.Expr]:
    factors = np.exp(rng.normal(0.0, SHOCK, 5))
    return [
        pl.when(later).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name)
        for name, factor in zip(("open", "high", "low", "close", "volume"), factors, strict=True)
    ]


def _differ(one: GridSeries, other: GridSeries, known: int) -> bool:
    return not all(
        np.array_equal(getattr(one, name)[:known], getattr(other, name)[:known], equal_nan=True) for name in COMPARED
    )
