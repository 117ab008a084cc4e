"""Source kinds of candles: `binance_klines`, the exchange's archives; `bar_files`, Parquet or CSV of named columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, days_between
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.bar_contract import BAR_SCHEMA, PRICES
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.chosen_files import files_of_days, verified_sha256
from trademl_assets.sources.formats.instants import MICROSECONDS_PER_UNIT, TimeColumn, read_instants
from trademl_assets.sources.formats.tables import Table, TableCaps, TextConventions, open_table

MONTH_PLACEHOLDER = re.compile(r"\{month(?::([^{}]+))?\}")
ISO_MONTH = "%Y-%m"
WHOLE_MINUTES = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}$"
"""Text of an instant without seconds, as trading terminals export bars."""
KLINE_COLUMNS = (
    "open_time",
    *PRICES,
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
"""Columns of Binance's kline archives in their order; spot files have no header, newer futures files these names."""


class BarFiles(Parameters):
    """Which files hold the bars, and how much of them is read.

    Attributes:
        files: Path for each instrument: a file, a folder, or a pattern with `*`; `{month}` in it stands for a month as
            2024-01 and `{month:%Y%m}` for 202401; without it the files hold all months.
        bar_seconds: Length of a bar.
        max_rows: Files that declare more rows are refused.
        max_file_bytes: Files that declare more bytes after decompression are refused.
        max_compression_ratio: Compressed text files that declare more bytes for each of theirs are refused.
    """

    files: dict[str, EnvironmentText]
    bar_seconds: Annotated[int, Field(ge=1)]
    max_rows: Annotated[int, Field(ge=1)]
    max_file_bytes: Annotated[int, Field(ge=1)]
    max_compression_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)]


class BinanceKlinesParameters(BarFiles):
    """Parameters of `binance_klines`; instants in ms or us (since 2025) are told apart by their digits."""


class BarColumns(Parameters):
    """Columns of a bar's values; null where the file has no such column."""

    open: str
    high: str
    low: str
    close: str
    volume: str
    taker_buy_volume: str | None
    trades: str | None

    def by_field(self) -> dict[str, str]:
        """From a field of `BAR_SCHEMA` to the file's column, those that there are."""
        stated: dict[str, str | None] = self.model_dump()
        return {field: column for field, column in stated.items() if column is not None}


class BarFilesParameters(BarFiles):
    """Parameters of `bar_files`.

    Attributes:
        time: Column of the instant.
        stamped: Whether that instant is the bar's opening or its end (when the next one opens).
        columns: Columns of the values.
        headerless_columns: Names of the columns of CSV files without a header; empty refuses such files.
        missing_texts: Texts that stand for a missing value in CSV, besides the empty cell.
    """

    time: TimeColumn
    stamped: Literal["open", "end"]
    columns: BarColumns
    headerless_columns: tuple[str, ...]
    missing_texts: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """How rows become bars."""

    time: TimeColumn
    fields: Mapping[str, str]
    conventions: TextConventions
    shift_us: int


@SOURCES.register("binance_klines")
class BinanceKlinesSource:
    """Bars from Binance's kline archives, CSV as it is or zipped, monthly or daily files.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A file is given for an instrument that is not configured.
    """

    parameters = BinanceKlinesParameters

    def __init__(self, parameters: BinanceKlinesParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        _require_known(parameters, instruments)
        self._settings = parameters
        named = {**{name: name for name in (*PRICES, "volume", "taker_buy_volume")}, "trades": "count"}
        time = TimeColumn(column="open_time", unit="sniff", zone=None)
        self._reading = _Reading(time, named, TextConventions(KLINE_COLUMNS, ()), 0)

    def bars(self, instrument: InstrumentParameters, first: date, last: date) -> pl.DataFrame:
        """Rows of `BAR_SCHEMA` that open on the UTC days `first` to `last`.

        Raises:
            SourceError: No file, a file that cannot be trusted, or bars of another length; names instrument, days and
                file.
        """
        frames = []
        for table, origin in _open(self._settings, self._reading, instrument, first, last):
            opened, unit = _instants(table, self._reading, origin)
            ended = table.read({"close_time": pl.Int64()}, None)["close_time"].to_numpy()
            self._require_length(opened, ended, unit, origin)
            frames.append(_rows(table, self._reading, opened))
        return _within(pl.concat(frames), first, last)

    def _require_length(self, opened: NDArray[np.int64], ended: NDArray[np.int64], unit: str, origin: str) -> None:
        """A bar closes one unit of time before the next one opens."""
        step = MICROSECONDS_PER_UNIT[unit]
        lengths = np.unique((ended + 1) * step - opened)
        if len(lengths) and (lengths != self._settings.bar_seconds * MICROSECONDS_PER_SECOND).any():
            found = ", ".join(f"{length / MICROSECONDS_PER_SECOND:g} s" for length in lengths[:3])
            raise SourceError(
                f"{origin}: bars last {found}, bar_seconds is {self._settings.bar_seconds} -> give the files of that "
                "interval, or correct bar_seconds"
            )


@SOURCES.register("bar_files")
class BarFilesSource:
    """Bars from Parquet or CSV files (plain, gzip, zstd, zip) whose columns are named.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A file is given for an instrument that is not configured.
    """

    parameters = BarFilesParameters

    def __init__(self, parameters: BarFilesParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        _require_known(parameters, instruments)
        self._settings = parameters
        shift = parameters.bar_seconds * MICROSECONDS_PER_SECOND if parameters.stamped == "end" else 0
        conventions = TextConventions(parameters.headerless_columns, parameters.missing_texts)
        self._reading = _Reading(parameters.time, parameters.columns.by_field(), conventions, shift)

    def bars(self, instrument: InstrumentParameters, first: date, last: date) -> pl.DataFrame:
        """Rows of `BAR_SCHEMA` that open on the UTC days `first` to `last`.

        Raises:
            SourceError: No file, or a file that cannot be trusted; names instrument, days and file.
        """
        frames = []
        for table, origin in _open(self._settings, self._reading, instrument, first, last):
            instants, _ = _instants(table, self._reading, origin)
            frames.append(_rows(table, self._reading, instants))
        return _within(pl.concat(frames), first, last)


def _require_known(parameters: BarFiles, instruments: Mapping[str, InstrumentParameters]) -> None:
    if unknown := sorted(set(parameters.files) - set(instruments)):
        raise ConfigError(
            f"files are given for unknown instruments {', '.join(unknown)} -> configured are {', '.join(instruments)}"
        )


def _open(
    parameters: BarFiles, reading: _Reading, instrument: InstrumentParameters, first: date, last: date
) -> list[tuple[Table, str]]:
    """Table and origin of every file that may hold bars of the days, in the order of months, then names."""
    title = f"bars of {instrument.name} from {first} to {last}"
    path = parameters.files.get(instrument.name)
    if path is None:
        raise SourceError(f"{title}: no file is configured -> add one under files")
    caps = TableCaps(parameters.max_rows, parameters.max_file_bytes, parameters.max_compression_ratio)
    opened = []
    for file in _files(path, first, last, title):
        origin = f"{title}, file {file}"
        verified_sha256(file, origin)
        table = open_table(file, origin, caps, reading.conventions)
        table.require(dict.fromkeys((reading.time.column, *reading.fields.values())), origin)
        opened.append((table, origin))
    return opened


def _files(text: str, first: date, last: date, title: str) -> list[Path]:
    months = sorted({day.replace(day=1) for day in days_between(first, last)})
    paths = [MONTH_PLACEHOLDER.sub(partial(_named, month), text) for month in months]
    found = [
        file for path in dict.fromkeys(paths) for file, _ in files_of_days(path, first, last, (first, last), title)
    ]
    return list(dict.fromkeys(found))


def _named(month: date, match: re.Match[str]) -> str:
    return month.strftime(match.group(1) or ISO_MONTH)


def _instants(table: Table, reading: _Reading, origin: str) -> tuple[NDArray[np.int64], str]:
    """Openings in microseconds, (rows,), and the unit that was found."""
    values = table.read({reading.time.column: None}, None)[reading.time.column]
    if values.dtype == pl.String and values.str.contains(WHOLE_MINUTES).all():
        values = values + ":00"
    instants, unit = read_instants(values, reading.time, None, origin)
    return instants - reading.shift_us, unit


def _rows(table: Table, reading: _Reading, opened: NDArray[np.int64]) -> pl.DataFrame:
    wanted = {column: BAR_SCHEMA[field] for field, column in reading.fields.items()}
    values = table.read(wanted, None)
    present = {field: values[column] for field, column in reading.fields.items()}
    rows = pl.DataFrame({"ts": pl.Series(opened).cast(BAR_SCHEMA["ts"]), **present})
    absent = [pl.lit(None, kind).alias(name) for name, kind in BAR_SCHEMA.items() if name not in rows.columns]
    return rows.with_columns(absent).select(*BAR_SCHEMA)


def _within(rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    start, end = day_bounds(first)[0], day_bounds(last)[0] + timedelta(days=1)
    return rows.filter(pl.col("ts").is_between(start, end, closed="left"))
