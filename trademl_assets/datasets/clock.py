"""The clock stream: what calendar, trailing volatility, yesterday's volume and yesterday's regime say at each step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.parameters import SECONDS_PER_DAY, ClockColumn, ClockEncoding
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.long_term.regimes import REGIMES, UNKNOWN

Floats = NDArray[np.float64]
DAYS_A_WEEK = 7
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
NEUTRAL_RANK = 0.5
CALENDAR_PARTS: dict[ClockColumn, int] = {"hour": 24, "weekday": DAYS_A_WEEK}
"""Column groups that say where in the calendar a step lies, and in how many parts."""


@dataclass(frozen=True)
class ClockInputs:
    """What the clock is read from; `day` numbers count from the dataset's first day.

    Attributes:
        instants_us: (T,) int64 microseconds UTC.
        day: (T,) int64 day number of each step.
        sigma_long: (T,) float64 trailing long sigma of the target.
        previous_volume: (D,) float64 target's volume of the day BEFORE each dataset day, NaN where unknown.
        previous_regime: (D,) regime of the day BEFORE each dataset day.
    """

    instants_us: NDArray[np.int64]
    day: NDArray[np.int64]
    sigma_long: Floats
    previous_volume: Floats
    previous_regime: Sequence[str]


@dataclass(frozen=True)
class ClockFits:
    """What training rows set: the largest long sigma, the volumes ranked against, begin and end of training."""

    largest_sigma: float
    volumes: tuple[float, ...]
    first_us: int
    last_us: int


def fit_clock(inputs: ClockInputs, training: NDArray[np.bool_], first_us: int, last_us: int) -> ClockFits:
    """Fit on the steps where `training` (T,) is true: maximum sigma, and the volumes their days know."""
    days = np.unique(inputs.day[training])
    volumes = inputs.previous_volume[days]
    volumes = np.sort(volumes[~np.isnan(volumes)])
    return ClockFits(float(inputs.sigma_long[training].max()), tuple(float(v) for v in volumes), first_us, last_us)


def clock_columns(groups: Sequence[ClockColumn], encoding: ClockEncoding) -> tuple[str, ...]:
    """Column names of the chosen groups, in their order."""
    return tuple(name for group in groups for name in _names(group, encoding))


def clock_stream(
    inputs: ClockInputs, fits: ClockFits, groups: Sequence[ClockColumn], encoding: ClockEncoding
) -> NDArray[np.float32]:
    """The chosen column groups, (T, k) float32.

    `hour`, `weekday`: time of day and of the week in the chosen encoding (see `ClockStream`). `rolling_volatility`:
    trailing long sigma over the largest of training. `volume_percentile`: share of the training days' volumes that are
    at most the previous day's (0.5 where unknown). `market_regime`: one-hot of the previous day's. `days_since_start`:
    0 at the start of training, 1 at its end.
    """
    columns = [
        _encoded(_phase(inputs, group), CALENDAR_PARTS[group], encoding)
        if group in CALENDAR_PARTS
        else _COLUMNS[group](inputs, fits)
        for group in groups
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _encoded(phase: Floats, parts: int, encoding: ClockEncoding) -> Floats:
    if encoding == "cyclical":
        return np.stack([np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)], axis=1)
    if encoding == "linear":
        return phase[:, None]
    number = np.minimum(np.floor(phase * parts), parts - 1)
    return number[:, None] if encoding == "integer" else np.asarray(np.arange(parts) == number[:, None], np.float64)


def _names(group: ClockColumn, encoding: ClockEncoding) -> tuple[str, ...]:
    if group not in CALENDAR_PARTS:
        return _NAMES[group]
    if encoding == "cyclical":
        return (f"{group}_sin", f"{group}_cos")
    return tuple(f"{group}_{part}" for part in range(CALENDAR_PARTS[group])) if encoding == "embedding" else (group,)


def _phase(inputs: ClockInputs, group: ClockColumn) -> Floats:
    """Share of the day or of the week (from Monday) that is over, in [0, 1)."""
    seconds = inputs.instants_us / MICROSECONDS_PER_SECOND
    if group == "hour":
        return np.asarray(seconds % SECONDS_PER_DAY / SECONDS_PER_DAY)
    week = DAYS_A_WEEK * SECONDS_PER_DAY
    return np.asarray((seconds + EPOCH_WEEKDAY * SECONDS_PER_DAY) % week / week)


def _rolling_volatility(inputs: ClockInputs, fits: ClockFits) -> Floats:
    return np.asarray(inputs.sigma_long[:, None] / fits.largest_sigma)


def _volume_percentile(inputs: ClockInputs, fits: ClockFits) -> Floats:
    reference = np.asarray(fits.volumes)
    if not len(reference):
        return np.full((len(inputs.day), 1), NEUTRAL_RANK)
    rank = np.searchsorted(reference, inputs.previous_volume, side="right") / len(reference)
    by_day = np.where(np.isnan(inputs.previous_volume), NEUTRAL_RANK, rank)
    return np.asarray(by_day[inputs.day, None])


def _market_regime(inputs: ClockInputs, _fits: ClockFits) -> Floats:
    known = [REGIMES.index(name) if name in REGIMES else REGIMES.index(UNKNOWN) for name in inputs.previous_regime]
    return np.asarray(np.eye(len(REGIMES))[np.asarray(known)][inputs.day])


def _days_since_start(inputs: ClockInputs, fits: ClockFits) -> Floats:
    return np.asarray((inputs.instants_us[:, None] - fits.first_us) / (fits.last_us - fits.first_us))


_NAMES: dict[ClockColumn, tuple[str, ...]] = {
    "rolling_volatility": ("rolling_volatility",),
    "volume_percentile": ("volume_percentile",),
    "market_regime": tuple(f"regime_{name}" for name in REGIMES),
    "days_since_start": ("days_since_start",),
}
_COLUMNS: dict[ClockColumn, Callable[[ClockInputs, ClockFits], Floats]] = {
    "rolling_volatility": _rolling_volatility,
    "volume_percentile": _volume_percentile,
    "market_regime": _market_regime,
    "days_since_start": _days_since_start,
}
