"""Instants of foreign files: numbers of seconds to nanoseconds, ISO text or typed columns become microseconds UTC.

An instant finer than a microsecond is rounded up, so that nothing is known before its time.
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters

UNITS_BY_DIGITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
"""Unit of an epoch time by its digits; holds from September 2001 to November 2286."""

MICROSECONDS_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
NANOSECONDS_PER_MICROSECOND = 1_000
SECONDS_PER_DAY = 86_400
LATEST_US = to_microseconds(datetime.fromisoformat("2100-01-01T00:00:00+00:00"))
"""Beyond this no time of a market is meant."""

_NUMBER = r"^-?\d+(\.\d+)?$"
_ISO = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,9})?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?$"
_OFFSET = r":\d{2}(\.\d{1,9})? ?(Z|UTC|[+-]\d{2}(:?\d{2})?)$"


def known_zone(name: str | None) -> str | None:
    """The name of a time zone that there is, or null; ValueError otherwise."""
    if name is not None:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {name!r} -> write one as UTC or America/New_York") from error
    return name


Zone = Annotated[str | None, AfterValidator(known_zone)]


class TimeColumn(Parameters):
    """Which column tells a row's instant, and how.

    Attributes:
        column: Its name.
        unit: `sniff` recognises typed columns, ISO text and the digits of epoch times; `s`, `ms`, `us`, `ns` are epoch
            times; `iso` is text; `seconds_of_day` counts from midnight in `zone` of the day in the file's name.
        zone: Time zone of times that do not say theirs, for example UTC; null refuses them.
    """

    column: Annotated[str, Field(min_length=1)]
    unit: Literal["sniff", "s", "ms", "us", "ns", "iso", "seconds_of_day"]
    zone: Zone

    @model_validator(mode="after")
    def _zone_of_midnight(self) -> Self:
        if self.unit == "seconds_of_day" and self.zone is None:
            raise ValueError("unit seconds_of_day needs a zone -> write the zone whose midnight is meant")
        return self


def read_instants(
    values: pl.Series, time: TimeColumn, file_day: date | None, origin: str
) -> tuple[NDArray[np.int64], str]:
    """Microseconds since the epoch, UTC, and the unit that was found.

    Args:
        values: The column as it was read.
        time: How to read it.
        file_day: Day in the file's name, for times that count from midnight.
        origin: Instrument, day and file, for messages.

    Returns:
        Array of shape (rows,), and the unit.

    Raises:
        SourceError: A row without an instant, mixed or unknown units, a time without a zone, no time at all.
    """
    if values.null_count():
        raise SourceError(
            f"{origin}: column {time.column} lacks {values.null_count()} instants -> fetch the file again"
        )
    if values.is_empty():
        return np.empty(0, dtype=np.int64), time.unit
    try:
        instants, unit = _converted(values, time, file_day, origin)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unreadable(values, time, origin) from error
    if instants.min() < 0 or instants.max() >= LATEST_US:
        raise SourceError(
            f"{origin}: column {time.column} read in {unit} holds {_shown(values)}, which is no time between 1970 and "
            "2100 -> check time.unit"
        )
    return instants, unit


def _converted(
    values: pl.Series, time: TimeColumn, file_day: date | None, origin: str
) -> tuple[NDArray[np.int64], str]:
    if values.dtype == pl.String:
        if not values.str.contains(_NUMBER).all():
            if time.unit not in {"sniff", "iso"}:
                raise _unreadable(values, time, origin)
            return _from_text(values, time, origin), "iso"
        values = values.cast(pl.Float64 if values.str.contains(".", literal=True).any() else pl.Int64)
    if isinstance(values.dtype, pl.Datetime):
        return _from_typed(values, time, origin), str(values.dtype)
    if not values.dtype.is_numeric() or time.unit == "iso":
        raise _unreadable(values, time, origin)
    if time.unit == "seconds_of_day":
        return _from_midnight(values, time, file_day, origin), time.unit
    unit = _sniffed_unit(values, time, origin) if time.unit == "sniff" else time.unit
    return _from_epoch(values, unit), unit


def _sniffed_unit(values: pl.Series, time: TimeColumn, origin: str) -> str:
    bounds = pl.Series([values.min(), values.max()]).cast(pl.Float64).to_list()
    least, most = (UNITS_BY_DIGITS.get(len(str(int(bound)))) if np.isfinite(bound) else None for bound in bounds)
    if least is None or least != most:
        found = "mixed units of time" if least or most else "no epoch time"
        raise SourceError(
            f"{origin}: column {time.column} holds {_shown(values)}: {found}, expected 10, 13, 16 or 19 digits "
            "throughout -> split the file where the unit changes, or write time.unit"
        )
    return least


def _from_epoch(values: pl.Series, unit: str) -> NDArray[np.int64]:
    if values.dtype.is_float():
        if not values.is_finite().all():
            raise pl.exceptions.ComputeError("an instant is no finite number")
        seconds = values.to_numpy()
        factor = MICROSECONDS_PER_UNIT.get(unit)
        return np.rint(seconds * factor if factor else np.ceil(seconds / NANOSECONDS_PER_MICROSECOND)).astype(np.int64)
    numbers = values.cast(pl.Int64).to_numpy()
    return _rounded_up(numbers) if unit == "ns" else numbers * MICROSECONDS_PER_UNIT[unit]


def _from_typed(values: pl.Series, time: TimeColumn, origin: str) -> NDArray[np.int64]:
    if time.unit not in {"sniff", "iso"}:
        raise SourceError(f"{origin}: column {time.column} is typed {values.dtype} -> write time.unit: sniff")
    values = _with_zone(values, time, origin)
    numbers = values.to_physical().to_numpy()
    unit = values.dtype.time_unit if isinstance(values.dtype, pl.Datetime) else "us"
    return _rounded_up(numbers) if unit == "ns" else numbers * MICROSECONDS_PER_UNIT[unit]


def _from_text(values: pl.Series, time: TimeColumn, origin: str) -> NDArray[np.int64]:
    text = values.str.strip_chars()
    if not text.str.contains(_ISO).all():
        raise _unreadable(values, time, origin)
    with_offset = text.str.contains(_OFFSET)
    text = text.str.replace(r"^(.{10})T", "$1 ")
    if with_offset.any() and not with_offset.all():
        raise SourceError(f"{origin}: column {time.column}: only some times say their zone -> write all alike")
    if with_offset.all():
        text = text.str.replace(r" ?(Z|UTC)$", "+00:00").str.replace(r" ?([+-]\d{2})$", "$1:00")
        typed = text.str.replace(r" ([+-])", "$1").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="ns")
    else:
        typed = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns")
    return _rounded_up(_with_zone(typed, time, origin).to_physical().to_numpy())


def _with_zone(values: pl.Series, time: TimeColumn, origin: str) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        return values
    if time.zone is None:
        raise SourceError(f"{origin}: times in column {time.column} have no zone -> write time.zone, for example UTC")
    return values.dt.replace_time_zone(time.zone)


def _from_midnight(values: pl.Series, time: TimeColumn, file_day: date | None, origin: str) -> NDArray[np.int64]:
    if file_day is None:
        raise SourceError(f"{origin}: seconds of a day need the day in the file's name -> write {{day}} in the path")
    seconds = values.cast(pl.Float64).to_numpy()
    if not ((seconds >= 0) & (seconds < SECONDS_PER_DAY)).all():
        raise SourceError(f"{origin}: column {time.column} holds {_shown(values)}, not seconds of a day -> check time")
    nanoseconds = np.rint(seconds * (MICROSECONDS_PER_SECOND * NANOSECONDS_PER_MICROSECOND)).astype(np.int64)
    midnight = pl.Series([datetime(file_day.year, file_day.month, file_day.day)])  # noqa: DTZ001 -- the zone follows
    wall = (midnight.dt.timestamp("us")[0] + pl.Series(_rounded_up(nanoseconds))).cast(pl.Datetime("us"))
    return _with_zone(wall, time, origin).to_physical().to_numpy()


def local_days(first_us: int, end_us: int, zone: str | None) -> tuple[date, date]:
    """First and last day, in a zone (null: UTC), that an interval [first, end) of instants touches."""
    info = ZoneInfo(zone or "UTC")
    first, last = from_microseconds(first_us), from_microseconds(end_us) - timedelta(microseconds=1)
    return first.astimezone(info).date(), last.astimezone(info).date()


def _rounded_up(nanoseconds: NDArray[np.int64]) -> NDArray[np.int64]:
    return -(-nanoseconds // NANOSECONDS_PER_MICROSECOND)


def _shown(values: pl.Series) -> str:
    written = values.to_physical()  # a damaged column holds times that no calendar has
    return f"{written.min()!s} to {written.max()!s}"


def _unreadable(values: pl.Series, time: TimeColumn, origin: str) -> SourceError:
    return SourceError(
        f"{origin}: column {time.column} is {values.dtype} and holds {_shown(values)}, which cannot be read as a time "
        f"in {time.unit} -> check time.column and time.unit"
    )
