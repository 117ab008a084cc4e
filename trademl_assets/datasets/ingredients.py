"""Everything a dataset is computed from, read once: series, daily context, blocks, training steps."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.candle_inputs import read_candles
from trademl_assets.datasets.clock import ClockInputs
from trademl_assets.datasets.inputs import (
    AGGREGATES_ASSET,
    GRID_ASSET,
    REGIME_ASSET,
    days_before,
    read_daily_context,
    read_external,
    read_grid,
)
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.scaling import training_steps
from trademl_assets.datasets.series import DailyContext, GridFrame, GridSeries
from trademl_assets.datasets.splits import Block
from trademl_assets.datasets.streams import SigmaPaths, sigma_paths
from trademl_assets.datasets.weights import MICROSECONDS_PER_DAY
from trademl_assets.foundation.calendar import day_bounds, day_start, days_between, to_microseconds
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore


@dataclass(frozen=True)
class Ingredients:
    """Inputs of a dataset.

    Attributes:
        parameters: what was asked for.
        frame: the grid it lies on.
        days: the dataset's days.
        series: the continuous series of its instruments over all days.
        context: daily vectors and regimes of `lookback_days` days before the first and of all days but the last.
        blocks: the split's blocks in time.
        external: the external series that additional streams and labels read, by name, as rows of `SERIES_SCHEMA`.
        upstream: "asset/partition" -> content hash of everything read.
        labelled: the instrument that labels are made of: the target, or one that is pooled with it.
    """

    parameters: DatasetParameters
    frame: GridFrame
    days: tuple[date, ...]
    series: GridSeries
    context: DailyContext
    blocks: tuple[Block, ...]
    external: dict[str, pl.DataFrame]
    upstream: dict[str, str]
    labelled: str

    @property
    def target_position(self) -> int:
        """Position of the labelled instrument on the dataset's instrument axis."""
        return self.parameters.instruments.index(self.labelled)

    def labelling(self, instrument: str) -> "Ingredients":
        """The same inputs, of which another instrument is labelled."""
        if instrument == self.labelled:
            return self
        other = replace(self, labelled=instrument)
        other.__dict__.update({name: self.__dict__[name] for name in _OF_ALL_INSTRUMENTS if name in self.__dict__})
        return other

    @property
    def start_step(self) -> int:
        """First global step at or after the first block's begin."""
        return int(np.searchsorted(self.series.instants_us, self.blocks[0].first_us))

    @property
    def end_step(self) -> int:
        """First global step at or after the last block's end."""
        return int(np.searchsorted(self.series.instants_us, self.blocks[-1].last_us))

    @cached_property
    def sigma(self) -> SigmaPaths:
        """Trailing sigmas of all instruments."""
        return sigma_paths(self.series, self.frame.cadence_seconds, self.parameters.sigma)

    @cached_property
    def training(self) -> NDArray[np.bool_]:
        """(T,) steps that lie in a training block."""
        return training_steps(self.series.instants_us, self.blocks)

    @property
    def training_span_us(self) -> tuple[int, int]:
        """Begin of the first and end of the last training block."""
        spans = [block for block in self.blocks if block.part == "train"]
        return spans[0].first_us, spans[-1].last_us

    def training_days(self) -> NDArray[np.bool_]:
        """(R,) days of the context that end before training does and overlap no held-out block."""
        _, last = self.training_span_us
        chosen = []
        for day in self.context.days:
            begin, end = (to_microseconds(instant) for instant in day_bounds(day))
            held_out = any(
                block.part != "train" and block.first_us < end and begin < block.last_us for block in self.blocks
            )
            chosen.append(end <= last and not held_out)
        return np.asarray(chosen, dtype=np.bool_)

    def clock_inputs(self) -> ClockInputs:
        """What the clock stream is read from: of the primary target, whichever instrument is labelled."""
        earlier = len(self.context.days) - len(self.days) + 1
        previous = slice(earlier - 1, None)
        volume = self.context.statistics.get("volume")
        primary = self.parameters.instruments.index(self.parameters.target)
        target_volume = np.full(len(self.days), np.nan) if volume is None else volume[previous, primary]
        return ClockInputs(
            instants_us=self.series.instants_us,
            day=(self.series.instants_us - to_microseconds(day_start(self.days[0]))) // MICROSECONDS_PER_DAY,
            sigma_long=self.sigma.long[:, primary],
            previous_volume=target_volume,
            previous_regime=self.context.regimes[previous],
        )


_OF_ALL_INSTRUMENTS = ("sigma", "training")
"""What is computed once, whichever instrument is labelled."""


def whole_steps(duration: timedelta, cadence_seconds: int, name: str) -> int:
    """A duration in grid steps; ConfigError when it is not a whole number of them."""
    steps, rest = divmod(duration, timedelta(seconds=cadence_seconds))
    if rest:
        raise ConfigError(f"{name} ({duration}) is not a whole number of grid steps of {cadence_seconds} s")
    return steps


def read_ingredients(store: ArtifactStore, parameters: DatasetParameters, frame: GridFrame) -> Ingredients:
    """Read the dataset's days and daily context through the store.

    Grid days, or months of candles, are required; so are the aggregates and regimes of dataset days where a stream
    shows them. Of the day before the first, and of the long-term look-back with `missing_days: mark`, whatever exists
    is taken.

    Raises:
        MissingPartitionError: listing what is not there.
        ConfigError: durations that do not fit the grid, instruments it does not have.
    """
    labels = parameters.labels
    for name, seconds in (
        *(("labels.horizons_seconds", horizon) for horizon in labels.horizons_seconds),
        ("labels.decision_phase_seconds", labels.decision_phase_seconds),
        ("labels.training_phase_seconds", labels.training_phase_seconds),
    ):
        whole_steps(timedelta(seconds=seconds), frame.cadence_seconds, name)
    days = days_between(parameters.first_day, parameters.last_day)
    series, upstream = _read_series(store, parameters, frame, days)
    context, read = _read_context(store, parameters, days)
    blocks = parameters.layout.blocks
    external, published = read_external(store, parameters.external_series)
    known = upstream | read | published
    return Ingredients(parameters, frame, days, series, context, blocks, external, known, parameters.target)


def _read_series(
    store: ArtifactStore, parameters: DatasetParameters, frame: GridFrame, days: tuple[date, ...]
) -> tuple[GridSeries, dict[str, str]]:
    if parameters.series_from == "candles":
        return read_candles(store, days, parameters.instruments, frame)
    series = read_grid(store, days, parameters.instruments, frame)
    hashes = {
        f"{GRID_ASSET}/{day.isoformat()}": store.require(GRID_ASSET, day.isoformat()).content_hash for day in days
    }
    return series, hashes


def _read_context(
    store: ArtifactStore, parameters: DatasetParameters, days: tuple[date, ...]
) -> tuple[DailyContext, dict[str, str]]:
    long_term, clock = parameters.streams.long_term, parameters.streams.clock
    groups = () if clock is None else clock.columns
    statistics: list[str] = [] if long_term is None else list(long_term.statistics)
    if "volume_percentile" in groups and "volume" not in statistics:
        statistics.append("volume")
    before = days_before(days[0], 1 if long_term is None else long_term.lookback_days)
    required: set[tuple[str, date]] = set()
    if statistics:
        required |= {(AGGREGATES_ASSET, day) for day in days[:-1]}
    if "market_regime" in groups:
        required |= {(REGIME_ASSET, day) for day in days[:-1]}
    if long_term is not None and long_term.missing_days == "refuse":
        required |= {(AGGREGATES_ASSET, day) for day in before}
    return read_daily_context(
        store, (*before, *days[:-1]), parameters.instruments, statistics, required=frozenset(required)
    )
