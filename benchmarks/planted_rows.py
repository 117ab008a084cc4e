"""Tall rows of one symbol-day, drawn from the planted market, beside as many rows drawn without any market."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.market import PlantedDays, planted_days
from benchmarks.measure import OURS, Benchmark
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.planted_market import latent_day

LEVELS = 200


def benchmark(_folder: Path) -> Benchmark:
    """Make the two ways to draw a day."""
    planted = planted_days()
    return Benchmark(
        name="planted_tall_rows",
        contenders={OURS: lambda: draw_planted(planted), "naive_draws": lambda: draw_naively(planted)},
        promises={"naive_draws": 1.5},
        agree=agree,
        rounds=7,
    )


def draw_planted(planted: PlantedDays) -> pl.DataFrame:
    """A day of tall rows, its latent market drawn anew."""
    latent_day.cache_clear()
    return planted.source.extract(planted.configuration.market.instruments[1], planted.day, 0)


def draw_naively(planted: PlantedDays) -> pl.DataFrame:
    """A random walk, exponential gaps between levels, log-normal quantities: no signal, no ticks, no faults."""
    random = np.random.default_rng(0)
    steps = planted.configuration.grid.steps_per_day
    cadence_us = planted.configuration.grid.cadence_seconds * MICROSECONDS_PER_SECOND
    mid = 2500.0 * np.exp(np.cumsum(random.normal(0.0, 2.5e-4, steps)))[:, None]
    away = np.cumsum(random.exponential(0.25, (2, steps, LEVELS)), axis=2)
    quantity = random.lognormal(0.5, 0.8, (2, steps, LEVELS))
    instants = to_microseconds(day_start(planted.day)) + np.arange(steps) * cadence_us
    columns = {
        "ts": np.repeat(instants, LEVELS),
        "batch_id": np.repeat(np.arange(steps), LEVELS),
        "level": np.tile(np.arange(LEVELS, dtype=np.int32), steps),
        "bid_price": (mid - away[0]).ravel(),
        "bid_quantity": quantity[0].ravel(),
        "ask_price": (mid + away[1]).ravel(),
        "ask_quantity": quantity[1].ravel(),
    }
    return pl.DataFrame(columns).cast(dict(TALL_SCHEMA))


def agree(results: Mapping[str, Any]) -> None:
    """Ours draws a like volume: at least nine tenths of the rows, in the same schema."""
    ours, naive = results[OURS], results["naive_draws"]
    if ours.schema != naive.schema or ours.height < 0.9 * naive.height:
        raise AssertionError(f"{ours.height} rows of {ours.schema} against {naive.height} of {naive.schema}")
