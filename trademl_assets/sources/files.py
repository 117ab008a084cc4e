"""Source kind `snapshot_files`: history that is already compressed, from Parquet files."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from trademl_assets.foundation.calendar import day_bounds, days_between
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.input_files import note_input
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.capped_parquet import ParquetCaps, read_parquet_capped
from trademl_assets.sources.capped_reading import ReadingCaps
from trademl_assets.sources.contract import SOURCES, InstrumentParameters, snapshot_schema
from trademl_assets.sources.formats.recognise import require_format

DAY_PLACEHOLDER = "{day}"


class ParquetFiles(Parameters):
    """Which files are read and how much of them.

    Attributes:
        files: Path for each instrument; `{day}` in it stands for a day as 2024-01-31, else one file holds all days.
        max_rows: Files that declare more rows are refused.
        max_file_bytes: Files that declare more bytes after decompression are refused.
    """

    files: dict[str, EnvironmentText]
    max_rows: Annotated[int, Field(ge=1)]
    max_file_bytes: Annotated[int, Field(ge=1)]


class SnapshotFilesParameters(ParquetFiles):
    """Parameters of `snapshot_files`.

    Attributes:
        slots: Width of the array columns; that of the compression the deployment configures.
    """

    slots: Annotated[int, Field(ge=1)]


@SOURCES.register("snapshot_files")
class SnapshotFilesSource:
    """Compressed snapshots from Parquet files in the layout of `snapshot_schema`.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A file is given for an instrument that is not configured.
    """

    parameters = SnapshotFilesParameters

    def __init__(self, parameters: SnapshotFilesParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        _require_known(parameters, instruments)
        self._settings = parameters

    def snapshots(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Rows of `snapshot_schema` within [start of `day` - `lead_in_seconds`, end of `day`).

        Raises:
            SourceError: No file, no row on the day itself, or a file that is damaged, of another layout, or not in the
                order of time; names instrument, day and file.
        """
        schema = snapshot_schema(self._settings.slots)
        frames = []
        for origin, frame in _rows_of_window(self._settings, instrument, day, lead_in_seconds, list(schema)):
            for name, expected in schema.items():
                if frame.schema[name] != expected:
                    raise SourceError(
                        f"{origin}: column {name} is {frame.schema[name]}, expected {expected} -> "
                        "write the file in the layout of compressed snapshots, check slots"
                    )
            if absent := [name for name in schema if frame[name].null_count()]:
                raise SourceError(f"{origin}: nulls in {', '.join(absent)} -> absent levels are NaN, rows are whole")
            frames.append(frame)
        return _in_time_order(pl.concat(frames), self._settings, instrument, day)


def _require_known(parameters: ParquetFiles, instruments: Mapping[str, InstrumentParameters]) -> None:
    if unknown := sorted(set(parameters.files) - set(instruments)):
        raise ConfigError(
            f"files are given for unknown instruments {', '.join(unknown)} -> configured are {', '.join(instruments)}"
        )


def _rows_of_window(
    parameters: ParquetFiles,
    instrument: InstrumentParameters,
    day: date,
    lead_in_seconds: int,
    columns: list[str],
) -> list[tuple[str, pl.DataFrame]]:
    """Origin and wanted rows of each file that the window touches; a missing file of an earlier day is passed over."""
    path = parameters.files.get(instrument.name)
    if path is None:
        raise SourceError(f"{instrument.name} on {day}: no file is configured -> add one under files")
    start, end = day_bounds(day)
    first = start - timedelta(seconds=lead_in_seconds)
    caps = ParquetCaps(parameters.max_rows, parameters.max_file_bytes)
    reading = ReadingCaps(parameters.max_file_bytes, parameters.max_file_bytes)
    frames = []
    for file_day in days_between(first.date(), day) if DAY_PLACEHOLDER in path else (day,):
        file = Path(path.replace(DAY_PLACEHOLDER, file_day.isoformat()))
        note_input(file)
        if file_day != day and not file.exists():
            continue
        origin = f"{instrument.name} on {day}, file {file}"
        require_format(file, origin, reading, frozenset({"snapshot_files"}))
        frames.append((origin, read_parquet_capped(file, origin, caps, _within(first, end), columns)))
    return frames


def _within(first: datetime, end: datetime) -> pl.Expr:
    return pl.col("ts").is_between(first, end, closed="left")


def _in_time_order(
    rows: pl.DataFrame, parameters: ParquetFiles, instrument: InstrumentParameters, day: date
) -> pl.DataFrame:
    file = parameters.files[instrument.name].replace(DAY_PLACEHOLDER, day.isoformat())
    title = f"{instrument.name} on {day}, file {file}"
    if rows.filter(pl.col("ts") >= day_bounds(day)[0]).is_empty():
        raise SourceError(f"{title}: no row of the day -> check the path, or leave the day out")
    if not (rows["ts"].diff(null_behavior="drop") > timedelta(0)).all():
        raise SourceError(f"{title}: instants repeat or step back -> sort the files and drop repetitions")
    return rows
