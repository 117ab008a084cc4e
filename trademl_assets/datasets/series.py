"""What the functions of this package work on: the grid's frame, its joined series, facts of whole days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.grid.alignment import SECONDS_PER_DAY, GridParameters


@dataclass(frozen=True)
class GridFrame:
    """The grid as it was configured: cadence, longest fill, and the instruments in the order of its columns."""

    cadence_seconds: int
    max_gap_seconds: int
    instruments: tuple[str, ...]

    @classmethod
    def of(cls, grid: GridParameters, instruments: Sequence[str]) -> "GridFrame":
        """The frame of a configured grid; `instruments` in the order they were aligned in."""
        return cls(grid.cadence_seconds, grid.max_gap_seconds, tuple(instruments))

    @property
    def steps_per_day(self) -> int:
        """Grid steps of a day."""
        return SECONDS_PER_DAY // self.cadence_seconds

    def positions(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the named instruments on the grid's instrument axis; ConfigError for one it does not have."""
        missing = [name for name in instruments if name not in self.instruments]
        if missing:
            raise ConfigError(f"instruments {missing} are not on the grid, which has {list(self.instruments)}")
        return np.asarray([self.instruments.index(name) for name in instruments], dtype=np.int64)


@dataclass(frozen=True)
class GridSeries:
    """The continuous series of all days, one column an instrument (T steps, A instruments).

    Attributes:
        instants_us: (T,) int64, microseconds UTC of each step.
        mid: (T, A) float64, NaN where missing.
        state: (T, A) uint8, 0 observed, 1 filled, 2 missing.
        age_seconds: (T, A) float32, seconds between the grid instant and the snapshot it shows.
        spread_bps, microprice_bps: (T, A) float32.
        usable: (T,) uint8, 1 where the grid's required instruments, and enough of all, are shown.
        bars: (T, A, 4) float64 open, high, low and volume of the candle that ended at each step, NaN where none did;
            None where the series come from the grid.
    """

    instants_us: NDArray[np.int64]
    mid: NDArray[np.float64]
    state: NDArray[np.uint8]
    age_seconds: NDArray[np.float32]
    spread_bps: NDArray[np.float32]
    microprice_bps: NDArray[np.float32]
    usable: NDArray[np.uint8]
    bars: NDArray[np.float64] | None = None

    @property
    def steps(self) -> int:
        """Number of grid steps T."""
        return len(self.instants_us)


@dataclass(frozen=True)
class DailyContext:
    """Facts of whole days, for a run of days that begins before the dataset.

    Attributes:
        days: (R,) the days, consecutive.
        statistics: statistic name -> (R, A) float64, NaN where a day has no aggregates.
        regimes: (R,) regime names, "unknown" where a day has none.
    """

    days: tuple[date, ...]
    statistics: dict[str, NDArray[np.float64]]
    regimes: tuple[str, ...]
