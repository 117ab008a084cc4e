"""Alignment of several instruments' snapshots on one uniform grid a day.

Each step shows the latest snapshot AT OR BEFORE its instant, never a later one. The alignment finds row indices first
and moves data once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Self

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.encoding import PRICE_FIELDS, ShownBook, available_threads, encode_books, encode_masks
from trademl_assets.grid.gaps import MISSING, OBSERVED, classify_steps, returns_between_observed, state_shares
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, InstrumentParameters

SECONDS_PER_DAY = 86_400
_MICROSECONDS_PER_MILLISECOND = 1_000


class GridParameters(Parameters):
    """The uniform grid.

    Attributes:
        cadence_seconds: Seconds between steps; divides the day.
        tolerance_milliseconds: Up to this age a snapshot counts as observed.
        max_gap_seconds: Up to this age a snapshot fills later steps; also the lead-in that a day needs from before
            midnight.
        required_instruments: Instruments without which a day is refused; a step is usable only where all are shown.
        min_assets_required: Instruments that must be shown at a usable step, the required ones among them.
        method: How steps without an observation are filled.
    """

    cadence_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)]
    tolerance_milliseconds: Annotated[int, Field(ge=0)]
    max_gap_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)]
    required_instruments: tuple[str, ...]
    min_assets_required: Annotated[int, Field(ge=1)]
    method: Literal["forward_fill"]

    @field_validator("method", mode="before")
    @classmethod
    def _looks_backward_only(cls, method: object) -> object:
        if method == "linear_interpolate":
            raise ValueError(
                "linear_interpolate draws a line to the NEXT observation, which nobody had seen at the step, so that "
                "models would look ahead; write forward_fill, whose steps carry their age (lines between observations "
                "are for figures only: trademl_assets.grid.diagnostics.interpolate_for_display)"
            )
        return method

    @field_validator("cadence_seconds")
    @classmethod
    def _cadence_divides_the_day(cls, cadence: int) -> int:
        if SECONDS_PER_DAY % cadence:
            raise ValueError(f"{cadence} s do not divide a day of {SECONDS_PER_DAY} s")
        return cadence

    @model_validator(mode="after")
    def _tolerance_within_gap(self) -> Self:
        if self.tolerance_milliseconds > self.max_gap_seconds * 1_000:
            raise ValueError(
                f"tolerance_milliseconds {self.tolerance_milliseconds} exceeds max_gap_seconds {self.max_gap_seconds}"
            )
        return self

    @property
    def steps_per_day(self) -> int:
        """Steps of a day."""
        return SECONDS_PER_DAY // self.cadence_seconds


@dataclass(frozen=True)
class GridDay:
    """One day of all instruments on the grid: T steps, A instruments, S slots.

    Step k is the instant midnight + k * cadence.

    Attributes:
        day: The UTC day.
        instruments: Names in the order of the columns.
        arrays: `book` (T, S, A*4) float16, `price` (T, A*4) float32, `mask` (T, A*4) float16, with the fields of
            `encoding`; `mid` (T, A) float64, NaN where missing; `state` (T, A) uint8, 0 observed, 1 filled, 2
            missing; `usable` (T,) uint8, 1 where all required instruments and at least `min_assets_required` are
            shown, that is observed or filled.
        ages_us: Age of the latest snapshot at each step in microseconds, -1 where there is none, (T, A) int64.
        summary: instrument -> shares of observed, filled and missing steps.
    """

    day: date
    instruments: tuple[str, ...]
    arrays: dict[str, NDArray[Any]]
    ages_us: NDArray[np.int64]
    summary: dict[str, dict[str, float]]


@dataclass(frozen=True)
class _Alignment:
    """Steps of one instrument, those of the lead-in first.

    Attributes:
        rows: Row of the snapshot shown, -1 where missing.
        ages_us: Age of the latest snapshot in microseconds, -1 where there is none.
        state: OBSERVED, FILLED or MISSING.
    """

    rows: NDArray[np.int64]
    ages_us: NDArray[np.int64]
    state: NDArray[np.uint8]


def align_assets(
    snapshots: Mapping[str, pl.DataFrame],
    instruments: Mapping[str, InstrumentParameters],
    day: date,
    parameters: GridParameters,
    threads: int | None = None,
) -> GridDay:
    """Put the snapshots of several instruments on the grid of a day.

    The latest snapshot at or before a step makes it observed up to the tolerance, filled up to the longest gap with
    its age kept, missing beyond. The return of an observed step is measured from the previous observed one and
    carries the seconds between them; through the lead-in that may lie before midnight. Nothing at a step depends on
    snapshots after its instant.

    Args:
        snapshots: instrument -> snapshots of the day with a lead-in of up to `max_gap_seconds`, ascending in `ts`; an
            instrument that is not there, or has no row, is missing at every step.
        instruments: The instruments in the order of the columns.
        day: The UTC day.
        parameters: The grid.
        threads: Threads that encode; all processors of this process where None. The result is the same.

    Returns:
        Arrays and shares; see `GridDay`.

    Raises:
        ConfigError: More instruments are required at a step than there are.
        DataQualityError: Snapshots are out of order, differ in their slots or belong to no instrument of the grid, a
            value cannot be encoded, or a required instrument is never observed.
    """
    slots = _require_consistent(snapshots, instruments, day)
    _require_enough(instruments, parameters)
    cadence_us = parameters.cadence_seconds * MICROSECONDS_PER_SECOND
    lead_in = parameters.max_gap_seconds // parameters.cadence_seconds
    steps, count = parameters.steps_per_day, len(instruments)
    instants = to_microseconds(day_start(day)) + np.arange(-lead_in, steps, dtype=np.int64) * cadence_us
    price = np.zeros((steps, count, len(PRICE_FIELDS)), dtype=np.float32)
    mid = np.full((steps, count), np.nan)
    state = np.full((steps, count), MISSING, dtype=np.uint8)
    ages = np.full((steps, count), -1, dtype=np.int64)
    books: list[ShownBook | None] = [None] * count
    for number, (name, instrument) in enumerate(instruments.items()):
        frame = snapshots.get(name)
        if frame is None or frame.is_empty():
            continue
        where = f"{name} {day.isoformat()}"
        aligned = _align_one(frame, instants, parameters, where)
        rows = aligned.rows[lead_in:]
        state[:, number], ages[:, number] = aligned.state[lead_in:], aligned.ages_us[lead_in:]
        mids = _gather(frame["mid"], aligned.rows, np.nan)
        mid[:, number] = mids[lead_in:]
        returns, spans = returns_between_observed(mids, aligned.state, parameters.cadence_seconds)
        price[:, number, 0], price[:, number, 1] = returns[lead_in:], spans[lead_in:]
        price[:, number, 2] = _gather(frame["spread_bps"], rows, 0.0)
        price[:, number, 3] = _gather(frame["microprice_bps"], rows, 0.0)
        books[number] = ShownBook(frame, rows, instrument.reference_quantity, where)
    _require_observed(state, tuple(instruments), day, parameters)
    arrays: dict[str, NDArray[Any]] = {
        "book": encode_books(books, steps, slots, available_threads() if threads is None else threads),
        "price": price.reshape(steps, -1),
        "mask": encode_masks(state, ages, parameters.max_gap_seconds * MICROSECONDS_PER_SECOND),
        "mid": mid,
        "state": state,
        "usable": _usable_steps(state, tuple(instruments), parameters),
    }
    summary = {name: state_shares(state[:, number]) for number, name in enumerate(instruments)}
    return GridDay(day, tuple(instruments), arrays, ages, summary)


def _align_one(frame: pl.DataFrame, instants: NDArray[np.int64], parameters: GridParameters, where: str) -> _Alignment:
    times = frame["ts"].to_physical().to_numpy().view()
    times.flags.writeable = False  # one type, compiled once
    if (np.diff(times) <= 0).any():
        raise DataQualityError(
            f"{where}: snapshots are not strictly ascending in ts -> materialise book_snapshots again"
        )
    rows: NDArray[np.int64] = _latest(times, instants)
    ages = np.full(len(instants), -1, dtype=np.int64)
    found = rows >= 0
    ages[found] = instants[found] - times[rows[found]]
    state = classify_steps(
        ages,
        parameters.tolerance_milliseconds * _MICROSECONDS_PER_MILLISECOND,
        parameters.max_gap_seconds * MICROSECONDS_PER_SECOND,
    )
    rows[state == MISSING] = -1
    return _Alignment(rows, ages, state)


def _latest_rows(times: NDArray[np.int64], instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the last of the ascending times at or before each of the ascending instants, -1 before the first."""
    rows = np.empty(len(instants), np.int64)
    following = 0
    for step in range(len(instants)):
        while following < len(times) and times[following] <= instants[step]:
            following += 1
        rows[step] = following - 1
    return rows


_latest: Any = njit(cache=True, nogil=True)(_latest_rows)


def _gather(column: pl.Series, rows: NDArray[np.int64], absent: float) -> NDArray[Any]:
    gathered: NDArray[Any] = column.to_numpy()[rows]
    gathered[rows < 0] = absent
    return gathered


def _require_consistent(
    snapshots: Mapping[str, pl.DataFrame], instruments: Mapping[str, InstrumentParameters], day: date
) -> int:
    """Slots of the book, the same for all instruments, those without rows included."""
    unknown = sorted(set(snapshots) - set(instruments))
    if unknown:
        raise DataQualityError(
            f"{day.isoformat()}: snapshots of {unknown}, the grid has {list(instruments)} -> configure or leave out"
        )
    slots = {name: frame[SNAPSHOT_ARRAYS[0]].to_numpy().shape[1] for name, frame in snapshots.items()}
    if len(set(slots.values())) != 1:
        raise DataQualityError(
            f"{day.isoformat()}: the instruments must have the same number of slots, found {slots} -> materialise "
            "their book_snapshots with one configuration"
        )
    return int(next(iter(slots.values())))


def _require_enough(instruments: Mapping[str, InstrumentParameters], parameters: GridParameters) -> None:
    if parameters.min_assets_required > len(instruments):
        raise ConfigError(
            f"min_assets_required {parameters.min_assets_required} exceeds the {len(instruments)} instruments of the "
            f"grid {list(instruments)} -> lower it in grid.yaml or configure more instruments"
        )


def _usable_steps(state: NDArray[np.uint8], names: tuple[str, ...], parameters: GridParameters) -> NDArray[np.uint8]:
    shown = state != MISSING
    required = [names.index(name) for name in parameters.required_instruments]
    enough = shown.sum(axis=1) >= parameters.min_assets_required
    return np.asarray(enough & shown[:, required].all(axis=1), dtype=np.uint8)


def _require_observed(state: NDArray[np.uint8], names: tuple[str, ...], day: date, parameters: GridParameters) -> None:
    silent = [name for number, name in enumerate(names) if not (state[:, number] == OBSERVED).any()]
    refused = sorted(
        set(parameters.required_instruments) & set(silent) | set(parameters.required_instruments) - set(names)
    )
    if refused:
        raise DataQualityError(
            f"{day.isoformat()}: required instruments {refused} are never observed on the grid -> materialise their "
            "book_snapshots, or take the day or the requirement out of the configuration"
        )
