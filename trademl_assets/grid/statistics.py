"""What a grid day hides: gaps between observed steps, ages of what is shown, steps that no model may use."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.grid.alignment import SECONDS_PER_DAY, GridDay
from trademl_assets.grid.gaps import MISSING, OBSERVED, state_shares

QUANTILES = (0.5, 0.9, 0.99)
_MICROSECONDS_PER_MILLISECOND = 1_000


@dataclass(frozen=True)
class Distribution:
    """How many values there are, their quantiles at `QUANTILES` and the greatest; None where there is no value."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    greatest: float | None

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Distribution":
        """Describe values of any order."""
        if len(values) == 0:
            return cls(0, None, None, None, None)
        p50, p90, p99 = np.quantile(values, QUANTILES).tolist()
        return cls(len(values), p50, p90, p99, float(values.max()))


@dataclass(frozen=True)
class InstrumentStatistics:
    """One instrument of a grid day.

    Attributes:
        observed_share, filled_share, missing_share: Shares of the day's steps.
        gap_seconds: Lengths of the runs of steps without an observation, each in steps times the cadence; a run that
            crosses midnight is cut there.
        age_milliseconds: Alignment error: age of the snapshot at each step that shows one.
    """

    observed_share: float
    filled_share: float
    missing_share: float
    gap_seconds: Distribution
    age_milliseconds: Distribution


@dataclass(frozen=True)
class GridStatistics:
    """A grid day.

    Attributes:
        instruments: Statistics by instrument, in the order of the columns.
        discarded_share: Share of the steps that are not usable.
    """

    instruments: dict[str, InstrumentStatistics]
    discarded_share: float

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)

    def numbers(self) -> dict[str, float]:
        """Return flat names and values for metadata and tracking.

        `discarded_share`, and of every instrument `<instrument>_<what>`; what does not exist, such as the age of an
        instrument that is never shown, is left out.
        """
        flat: dict[str, float | None] = {"discarded_share": self.discarded_share}
        for name, found in self.instruments.items():
            flat |= {
                f"{name}_observed_share": found.observed_share,
                f"{name}_filled_share": found.filled_share,
                f"{name}_missing_share": found.missing_share,
                f"{name}_gaps": float(found.gap_seconds.count),
                f"{name}_gap_p50_seconds": found.gap_seconds.p50,
                f"{name}_gap_p99_seconds": found.gap_seconds.p99,
                f"{name}_longest_gap_seconds": found.gap_seconds.greatest,
                f"{name}_age_p50_ms": found.age_milliseconds.p50,
                f"{name}_age_p99_ms": found.age_milliseconds.p99,
                f"{name}_greatest_age_ms": found.age_milliseconds.greatest,
            }
        return {name: value for name, value in flat.items() if value is not None}


def describe_grid(grid: GridDay) -> GridStatistics:
    """Describe gaps, ages and shares of a day.

    Args:
        grid: The day.

    Returns:
        Statistics of every instrument and of the day.
    """
    state, usable = grid.arrays["state"], grid.arrays["usable"]
    cadence = SECONDS_PER_DAY // len(state)
    described = {}
    for number, name in enumerate(grid.instruments):
        shares = state_shares(state[:, number])
        ages = shown_ages_milliseconds(grid, number)
        described[name] = InstrumentStatistics(
            observed_share=shares["observed"],
            filled_share=shares["filled"],
            missing_share=shares["missing"],
            gap_seconds=Distribution.of(gap_lengths(state[:, number]) * cadence),
            age_milliseconds=Distribution.of(ages),
        )
    return GridStatistics(described, float((usable == 0).mean()))


def gap_lengths(state: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Lengths in steps of the runs that are not observed, in the order of time.

    Args:
        state: State of every step of one instrument, shape (steps,).
    """
    edges = np.diff((state != OBSERVED).astype(np.int8), prepend=0, append=0)
    return np.asarray(np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0), dtype=np.int64)


def shown_ages_milliseconds(grid: GridDay, number: int) -> NDArray[np.float64]:
    """Ages of the snapshots of instrument `number` at the steps that show one, in the order of time."""
    shown = grid.arrays["state"][:, number] != MISSING
    return np.asarray(grid.ages_us[shown, number] / _MICROSECONDS_PER_MILLISECOND)
