"""The series of a dataset made from candles: at each step, the close of the bar that ended there; nothing later.

A bar that opens at 12:00 and lasts a minute is known at 12:01, so its close stands at the step of 12:01.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.series import GridFrame, GridSeries
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.foundation.errors import MissingPartitionError
from trademl_assets.grid.gaps import MISSING, OBSERVED, classify_steps
from trademl_assets.storage.commit import ArtifactStore

CANDLE_ASSET = "candles"
BAR_VALUES = ("open", "high", "low", "volume")


def candle_partitions(days: Sequence[date], instruments: Sequence[str]) -> tuple[str, ...]:
    """Keys of the months that the days lie in, of all instruments."""
    months = sorted({f"{day:%Y-%m}" for day in days})
    return tuple(f"{month}|{instrument}" for month in months for instrument in instruments)


def read_candles(
    store: ArtifactStore, days: Sequence[date], instruments: Sequence[str], frame: GridFrame
) -> tuple[GridSeries, dict[str, str]]:
    """The series of `instruments` over all `days` (consecutive), and the content hashes of the months read.

    The bar that ends at the first midnight opens the day before, so its step is missing where that is another month.

    Raises:
        MissingPartitionError: listing every month of an instrument that is not there.
    """
    keys = candle_partitions(days, instruments)
    found = {key: store.manifest(CANDLE_ASSET, key) for key in keys}
    if missing := [key for key, manifest in found.items() if manifest is None]:
        raise MissingPartitionError(f"{CANDLE_ASSET} has no partition for {', '.join(missing)}; materialise it first")
    upstream = {f"{CANDLE_ASSET}/{key}": manifest.content_hash for key, manifest in found.items() if manifest}
    return series_of_bars(read_bars(store, days, instruments), days, instruments, frame), upstream


def read_bars(store: ArtifactStore, days: Sequence[date], instruments: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Rows of `BAR_SCHEMA` by instrument, of the months that the days lie in.

    Raises:
        MissingPartitionError: a month of an instrument is not there.
    """
    keys = candle_partitions(days, instruments)
    return {
        name: pl.concat([store.read_table(CANDLE_ASSET, key) for key in keys if key.split("|")[1] == name])
        for name in instruments
    }


def series_of_bars(
    tables: Mapping[str, pl.DataFrame], days: Sequence[date], instruments: Sequence[str], frame: GridFrame
) -> GridSeries:
    """Put bars on the steps at which they end.

    Mid is the close. A step is observed where a bar ends, filled with the last close for at most `max_gap_seconds`,
    missing beyond. The age is that of the last trade known: a bar without volume shows an older close. Spread and
    microprice are unknown and zero. A step is usable where any instrument is shown.

    Args:
        tables: By instrument, rows of `BAR_SCHEMA`, ascending.
        days: Consecutive days.
        instruments: Columns of the series.
        frame: Cadence and longest fill.
    """
    first, cadence_us = to_microseconds(day_start(days[0])), frame.cadence_seconds * MICROSECONDS_PER_SECOND
    steps, width = frame.steps_per_day * len(days), len(instruments)
    instants = first + np.arange(steps, dtype=np.int64) * cadence_us
    mid = np.full((steps, width), np.nan)
    age = np.zeros((steps, width), np.float32)
    state = np.full((steps, width), MISSING, np.uint8)
    bars = np.full((steps, width, len(BAR_VALUES)), np.nan)
    for column, name in enumerate(instruments):
        table = tables[name]
        at = (table["ts"].to_physical().to_numpy() + cadence_us - first) // cadence_us
        inside = (at >= 0) & (at < steps)
        at = at[inside]
        last_bar = _last_before(steps, at)
        state[:, column] = classify_steps(
            np.where(last_bar >= 0, np.arange(steps) - last_bar, -1) * cadence_us,
            0,
            frame.max_gap_seconds * MICROSECONDS_PER_SECOND,
        )
        mid[at, column] = table["close"].to_numpy()[inside]
        shown = np.flatnonzero(state[:, column] != MISSING)
        mid[shown, column] = mid[last_bar[shown], column]
        bars[at, column] = table.select(BAR_VALUES).to_numpy()[inside]
        last_trade = _last_before(steps, at[table["volume"].to_numpy()[inside] > 0])
        age[:, column] = (np.arange(steps) - last_trade) * frame.cadence_seconds
    unknown = np.zeros((steps, width), np.float32)
    usable = (state != MISSING).any(axis=1).astype(np.uint8)
    return GridSeries(instants, mid, state, age, unknown, unknown.copy(), usable, bars)


def observed_closes(series: GridSeries, asset: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps at which a bar of an instrument ended, (n,), and its closes there."""
    seen = np.flatnonzero(series.state[:, asset] == OBSERVED)
    return seen, series.mid[seen, asset]


def _last_before(steps: int, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """At each step the latest of the steps `at` up to it, -1 before the first."""
    last = np.full(steps, -1, np.int64)
    last[at] = at
    return np.maximum.accumulate(last)
