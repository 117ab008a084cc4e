"""Opens the files of an instrument's day and finds the rows that lie in the wanted window."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import (
    MICROSECONDS_PER_SECOND,
    day_bounds,
    from_microseconds,
    to_microseconds,
)
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.sources.capped_reading import ReadingCaps
from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.sources.formats.chosen_files import BookFiles, files_of_days, verified_sha256
from trademl_assets.sources.formats.instants import TimeColumn, local_days, read_instants
from trademl_assets.sources.formats.recognise import require_format
from trademl_assets.sources.formats.tables import Table, TableCaps, TextConventions, open_table

SHOWN_VALUES = 5


@dataclass(frozen=True)
class Window:
    """The wanted instants, microseconds.

    Attributes:
        read_from: First instant of rows that may be of use.
        first: First instant handed out.
        day: Midnight at which the day begins.
        end: Next midnight.
    """

    read_from: int
    first: int
    day: int
    end: int


@dataclass(frozen=True)
class FileFormat:
    """What a kind says about its files.

    Attributes:
        kinds: Recognised kinds whose files are welcome.
        time: Where the instant stands.
        equal: Columns and the text they must equal.
        headerless_columns: Names of the columns of CSV files without a header.
    """

    kinds: frozenset[str]
    time: TimeColumn
    equal: Mapping[str, str]
    headerless_columns: tuple[str, ...]


@dataclass(frozen=True)
class OpenedFile:
    """A file and its rows within the window.

    Attributes:
        table: Reads its columns.
        origin: Instrument, day and file, for messages.
        rows: Numbers of the rows in the window, ascending, shape (N,).
        instants: Their instants, microseconds, in the same order.
        facts: What the file was, as JSON.
    """

    table: Table
    origin: str
    rows: NDArray[np.int64]
    instants: NDArray[np.int64]
    facts: dict[str, Any]


def require_known(parameters: BookFiles, instruments: Mapping[str, InstrumentParameters]) -> None:
    """Check that files are given for configured instruments only.

    Raises:
        ConfigError: An instrument is unknown.
    """
    if unknown := sorted({*parameters.files, *parameters.equal} - set(instruments)):
        raise ConfigError(
            f"files are given for unknown instruments {', '.join(unknown)} -> configured are {', '.join(instruments)}"
        )


def window_of(day: date, lead_in_seconds: int, parameters: BookFiles) -> Window:
    """The window of a day; books that an instant may look back to count as of use."""
    start, end = (to_microseconds(bound) for bound in day_bounds(day))
    first = start - lead_in_seconds * MICROSECONDS_PER_SECOND
    look_back = (parameters.max_silence_seconds or 0) * MICROSECONDS_PER_SECOND
    return Window(first - look_back, first, start, end)


def open_files(
    parameters: BookFiles, form: FileFormat, instrument: InstrumentParameters, day: date, window: Window
) -> list[OpenedFile]:
    """Open the files that the window touches.

    Returns:
        Files in the order of days, then names. Where they cover the day but hold no row of it, there are no rows on
        the day; that is no error.

    Raises:
        SourceError: No file, a file that cannot be trusted or is of another format, or files that do not cover the
            day; names instrument, day and file.
    """
    title = f"{instrument.name} on {day}"
    path = parameters.files.get(instrument.name)
    if path is None:
        raise SourceError(f"{title}: no file is configured -> add one under files")
    required = local_days(window.day, window.end, form.time.zone)
    first, last = local_days(window.read_from, window.end, form.time.zone)
    opened, spans = [], []
    for file, file_day in files_of_days(path, first, last, required, title):
        origin = f"{title}, file {file}"
        one, span = _open(file, file_day, origin, parameters, form=form, window=window)
        opened.append(one)
        spans.append(span)
    _require_covered(opened, [span for span in spans if span], window, f"{title}, file {path}")
    return opened


def _open(
    file: Path, file_day: date | None, origin: str, parameters: BookFiles, *, form: FileFormat, window: Window
) -> tuple[OpenedFile, tuple[int, int] | None]:
    """The file and the first and last instant of the instrument in it, in the window or not."""
    caps = TableCaps(parameters.max_rows, parameters.max_file_bytes, parameters.max_compression_ratio)
    sha256 = verified_sha256(file, origin)
    require_format(file, origin, ReadingCaps(caps.file_bytes, caps.file_bytes, caps.compression_ratio), form.kinds)
    table = open_table(file, origin, caps, TextConventions(form.headerless_columns, parameters.missing_texts))
    table.require(dict.fromkeys((form.time.column, *form.equal)), origin)
    of_instrument = _rows_that_equal(table, form.equal, origin)
    values = table.read({form.time.column: None}, of_instrument)[form.time.column]
    instants, unit = read_instants(values, form.time, file_day, origin)
    inside = (instants >= window.read_from) & (instants < window.end)
    rows = np.flatnonzero(inside) if of_instrument is None else of_instrument[inside]
    facts = {
        "file": file.name,
        "sha256": sha256,
        "bytes": file.stat().st_size,
        "layout": table.layout,
        "time_unit": unit,
        "rows": table.height,
        "rows_of_others": table.height - len(instants),
        "rows_outside_window": int(len(inside) - inside.sum()),
    }
    span = (int(instants.min()), int(instants.max())) if len(instants) else None
    return OpenedFile(table, origin, rows.astype(np.int64), instants[inside], facts), span


def _rows_that_equal(table: Table, equal: Mapping[str, str], origin: str) -> NDArray[np.int64] | None:
    if not equal or not table.height:
        return None
    texts = table.read(dict.fromkeys(equal, pl.String()), None)
    found = texts.select(pl.all_horizontal(pl.col(name) == text for name, text in equal.items())).to_series()
    rows = np.flatnonzero(found.fill_null(value=False).to_numpy())
    if not len(rows):
        seen = {name: texts[name].unique(maintain_order=True).head(SHOWN_VALUES).to_list() for name in equal}
        raise SourceError(f"{origin}: no row has {dict(equal)}, seen were {seen} -> check equal and the symbol")
    return rows.astype(np.int64)


def _require_covered(files: list[OpenedFile], spans: list[tuple[int, int]], window: Window, title: str) -> None:
    on_the_day = any(((file.instants >= window.day) & (file.instants < window.end)).any() for file in files)
    if on_the_day or not spans:
        return
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    if not (first < window.day and last >= window.end):
        raise SourceError(
            f"{title}: no row of the day, the files hold {from_microseconds(first)} to {from_microseconds(last)} "
            "-> check the path and the unit of time, or leave the day out"
        )
