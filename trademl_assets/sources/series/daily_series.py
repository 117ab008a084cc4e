"""Source kind `daily_series_files`: a value a day, known from a time of that day in its market's zone on."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, field_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.instants import known_zone
from trademl_assets.sources.series.series_files import (
    SeriesFiles,
    open_series_table,
    origin_of,
    published_within,
    require_finite,
    series_rows,
    unknown_series,
)

DATE_FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d"),
    *(f"{days}{mark}{year}" for mark in "-/." for year in ("%y", "%Y") for days in (f"%d{mark}%m", f"%m{mark}%d")),
)
"""Formats of a date that are recognised by themselves."""

EARLIEST, LATEST = date(1900, 1, 1), date(2099, 12, 31)
"""Beyond these no date of a market is meant, but a format with four digits of the year has read two."""


class DailySeries(Parameters):
    """One series of a file.

    Attributes:
        file: Parquet or CSV file (plain, gzip, zstd or zip) with a header and a row a day, dates ascending.
        date_column: Column of the date.
        date_format: Format of dates written as text, for example `%d-%m-%y`; null recognises the usual ones, where
            only one of them fits.
        value_column: Column of the value.
        publication_time: Time of the day at which the value is settled, in `zone`, for example the close of a market;
            it is also the instant that the value is about.
        zone: Time zone of the market, for example America/New_York.
        publication_lag_seconds: Seconds from then until anybody could know the value.
    """

    file: EnvironmentText
    date_column: Annotated[str, Field(min_length=1)]
    date_format: str | None
    value_column: Annotated[str, Field(min_length=1)]
    publication_time: time
    zone: Annotated[str, AfterValidator(known_zone)]
    publication_lag_seconds: Annotated[int, Field(ge=0)]

    @field_validator("publication_time")
    @classmethod
    def _is_local(cls, settled: time) -> time:
        if settled.tzinfo is not None:
            raise ValueError(f"{settled} names a zone of its own -> write the local time, the zone stands in zone")
        return settled


class DailySeriesFilesParameters(SeriesFiles):
    """Parameters of `daily_series_files`.

    Attributes:
        series: Series by name.
    """

    series: Annotated[dict[str, DailySeries], Field(min_length=1)]


@SOURCES.register("daily_series_files")
class DailySeriesFilesSource:
    """External series with a value a day.

    Args:
        parameters: What to read.
        instruments: Configured instruments; a series belongs to none.
    """

    parameters = DailySeriesFilesParameters

    def __init__(self, parameters: DailySeriesFilesParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        del instruments
        self._settings = parameters

    def series(self, name: str, first: date, last: date) -> pl.DataFrame:
        """Rows of `SERIES_SCHEMA` published on the UTC days `first` to `last`, sorted by (published, ts).

        A day without a value (an empty cell or one of `missing_texts`) is left out; a row that is repeated as it is
        counts once.

        Raises:
            SourceError: The series is not configured, or the file is damaged, dates cannot be read, step back or repeat
                with other values, a value is not finite, or the time of publication does not exist on a day.
        """
        if name not in self._settings.series:
            raise unknown_series(name, list(self._settings.series))
        one = self._settings.series[name]
        origin = origin_of(name, one.file)
        table = open_series_table(one.file, origin, self._settings)
        columns = table.read({one.date_column: None, one.value_column: pl.Float64()}, None)
        days = read_dates(columns[one.date_column], one.date_format, origin)
        rows = pl.DataFrame({"day": days, "value": columns[one.value_column]}).drop_nulls("value")
        require_finite(rows["value"].alias(one.value_column), origin)
        rows = _once_a_day(rows, origin)
        about = _instants(rows["day"], one, origin)
        published = about + one.publication_lag_seconds * MICROSECONDS_PER_SECOND
        return published_within(series_rows(name, about, published, rows["value"]), first, last)


def read_dates(values: pl.Series, date_format: str | None, origin: str) -> pl.Series:
    """Dates of a column that is typed or text.

    Args:
        values: The column as it was read.
        date_format: Format of text; None tries `DATE_FORMATS` and takes the only one in which every row is a date
            and no row steps back.
        origin: Series and file, for messages.

    Raises:
        SourceError: A row without a date, or a column in which no format or more than one fits.
    """
    if values.null_count():
        raise SourceError(f"{origin}: column {values.name} lacks {values.null_count()} dates -> mend the file")
    if values.dtype == pl.Date:
        return values
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is None:
        days = values.dt.date()
        if (days.cast(values.dtype) == values).all():
            return days
    if values.dtype.is_integer():
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        raise SourceError(f"{origin}: column {values.name} is {values.dtype}, expected dates -> check date_column")
    text = values.str.strip_chars()
    if date_format is not None:
        found = _dates_in(text, date_format)
        if found is None:
            raise SourceError(
                f"{origin}: column {values.name} holds {text[0]!r}, not all dates in {date_format} -> check"
            )
        return found
    return _sniffed_dates(text, origin)


def _sniffed_dates(text: pl.Series, origin: str) -> pl.Series:
    read = {form: days for form in DATE_FORMATS if (days := _dates_in(text, form)) is not None}
    fitting = {form: days for form, days in read.items() if days.is_sorted()}
    if not fitting:
        reason = f"dates in {' or '.join(read)} that step back" if read else "no dates in a format that is recognised"
        raise SourceError(
            f"{origin}: column {text.name} holds {reason}, for example {text[0]!r} -> sort the rows, "
            "or write date_format"
        )
    different = list(dict.fromkeys(tuple(days) for days in fitting.values()))
    if len(different) > 1:
        raise SourceError(
            f"{origin}: column {text.name} can be read as {' or as '.join(fitting)}, for example {text[0]!r} -> "
            "write date_format"
        )
    return next(iter(fitting.values()))


def _dates_in(text: pl.Series, form: str) -> pl.Series | None:
    """Dates where all rows are ones in a format, else None."""
    days = text.str.to_date(form, strict=False)
    return days if days.is_between(EARLIEST, LATEST).fill_null(value=False).all() else None


def _once_a_day(rows: pl.DataFrame, origin: str) -> pl.DataFrame:
    steps_back = rows.filter(pl.col("day").diff().dt.total_days() < 0)
    if not steps_back.is_empty():
        raise SourceError(f"{origin}: {steps_back['day'][0]} comes after a later day -> sort the rows by date")
    single = rows.unique(maintain_order=True)
    repeated = single.filter(pl.col("day").is_duplicated())
    if not repeated.is_empty():
        raise SourceError(
            f"{origin}: {repeated['day'][0]} has the values {repeated['value'][0]} and {repeated['value'][1]} -> "
            "keep the one that was published first"
        )
    return single


def _instants(days: pl.Series, one: DailySeries, origin: str) -> NDArray[np.int64]:
    """Microseconds since the epoch at which each day's value is settled; the later one where a clock hour repeats."""
    of_day = datetime.combine(date.min, one.publication_time) - datetime.combine(date.min, time.min)
    wall = days.cast(pl.Datetime("us")) + of_day
    instants = wall.dt.replace_time_zone(one.zone, ambiguous="latest", non_existent="null")
    if instants.null_count():
        raise SourceError(
            f"{origin}: {days.filter(instants.is_null())[0]} has no {one.publication_time} in {one.zone}, clocks are "
            "put forward -> write another publication_time"
        )
    return instants.dt.convert_time_zone("UTC").to_physical().to_numpy()
