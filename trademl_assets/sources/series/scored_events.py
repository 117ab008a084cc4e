"""Source kind `scored_events_files`: scored events at irregular instants, such as news with a sentiment."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.capped_reading import ReadingCaps, head_capped, lines_capped
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.instants import TimeColumn, read_instants
from trademl_assets.sources.series.series_files import (
    SeriesFiles,
    open_series_table,
    origin_of,
    published_within,
    require_finite,
    series_rows,
    unknown_series,
)

_HEAD_BYTES = 64
_SHOWN_VALUES = 5


class ScoredEvents(Parameters):
    """One series of a file.

    Attributes:
        file: CSV or Parquet file with a header, or JSON lines (an object a line); told apart by its begin. Rows stand
            in the order of publication.
        published: Column of the instant of publication.
        event: Column of the instant that the score is about; null where it is about the publication itself.
        score: Column of the score.
        equal: Columns and the text they must equal, where a file holds several series; else empty.
        identity: Column that names an event, so that one delivered twice counts once; null where there is none.
        reduction: What becomes of several scores published at one instant about one instant: their `mean`, the `last`
            in the file, or their `sum`.
        publication_lag_seconds: Seconds from the instant of publication until anybody could know the score.
        allow_forecasts: Whether a score may be about an instant after its publication; refused otherwise.
    """

    file: EnvironmentText
    published: TimeColumn
    event: TimeColumn | None
    score: Annotated[str, Field(min_length=1)]
    equal: dict[str, str]
    identity: str | None
    reduction: Literal["mean", "last", "sum"]
    publication_lag_seconds: Annotated[int, Field(ge=0)]
    allow_forecasts: bool

    def columns(self) -> dict[str, pl.DataType | None]:
        """Columns that are read, and their types."""
        times = [self.published.column] + ([self.event.column] if self.event else [])
        texts = [*self.equal, *([self.identity] if self.identity else [])]
        return {
            **dict.fromkeys(times),
            **dict.fromkeys(texts, pl.String()),
            self.score: pl.Float64(),
        }


class ScoredEventsFilesParameters(SeriesFiles):
    """Parameters of `scored_events_files`.

    Attributes:
        series: Series by name.
        max_message_bytes: JSON lines that are longer are refused.
    """

    series: Annotated[dict[str, ScoredEvents], Field(min_length=1)]
    max_message_bytes: Annotated[int, Field(ge=1)]


@SOURCES.register("scored_events_files")
class ScoredEventsFilesSource:
    """External series of scored events.

    Args:
        parameters: What to read.
        instruments: Configured instruments; a series belongs to none.
    """

    parameters = ScoredEventsFilesParameters

    def __init__(
        self, parameters: ScoredEventsFilesParameters, instruments: Mapping[str, InstrumentParameters]
    ) -> None:
        del instruments
        self._settings = parameters

    def series(self, name: str, first: date, last: date) -> pl.DataFrame:
        """Rows of `SERIES_SCHEMA` published on the UTC days `first` to `last`, sorted by (published, ts).

        Raises:
            SourceError: The series is not configured, or the file is damaged, an instant has no zone, rows step back
                in publication, one identity says two things, a score is missing or not finite, or is about the
                future where that is not allowed.
        """
        if name not in self._settings.series:
            raise unknown_series(name, list(self._settings.series))
        one = self._settings.series[name]
        origin = origin_of(name, one.file)
        table = self._read(one, origin)
        table = _that_equal(table, one.equal, origin)
        if one.identity:
            table = _once_an_event(table, one.identity, origin)
        if missing := table[one.score].null_count():
            raise SourceError(f"{origin}: column {one.score} lacks {missing} scores -> leave out what has no score")
        require_finite(table[one.score], origin)
        published, _ = read_instants(table[one.published.column], one.published, None, origin)
        about = published if one.event is None else read_instants(table[one.event.column], one.event, None, origin)[0]
        published = published + one.publication_lag_seconds * MICROSECONDS_PER_SECOND
        _require_sound(published, about, origin, allow_forecasts=one.allow_forecasts)
        return published_within(_reduced(series_rows(name, about, published, table[one.score]), one), first, last)

    def _read(self, one: ScoredEvents, origin: str) -> pl.DataFrame:
        settings, wanted = self._settings, one.columns()
        caps = ReadingCaps(settings.max_file_bytes, settings.max_message_bytes, settings.max_compression_ratio)
        if head_capped(Path(one.file), origin, caps, _HEAD_BYTES).lstrip().startswith(b"{"):
            return _read_json_lines(one, wanted, origin, settings, caps)
        return open_series_table(one.file, origin, settings).read(wanted, None)


def _read_json_lines(
    one: ScoredEvents,
    wanted: Mapping[str, pl.DataType | None],
    origin: str,
    settings: ScoredEventsFilesParameters,
    caps: ReadingCaps,
) -> pl.DataFrame:
    cells: dict[str, list[Any]] = {name: [] for name in wanted}
    for number, line in lines_capped(Path(one.file), origin, caps):
        place = f"{origin}, line {number}"
        if len(cells[one.score]) == settings.max_rows:
            raise SourceError(f"{place}: more than {settings.max_rows} lines -> if it is genuine, raise max_rows")
        for name, value in _cells(line, wanted, place).items():
            cells[name].append(value)
    return pl.DataFrame(cells, schema={name: dtype or pl.String() for name, dtype in wanted.items()})


def _cells(line: bytes, wanted: Mapping[str, pl.DataType | None], place: str) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise SourceError(f"{place}: not JSON ({error}) -> fetch the file again") from error
    if not isinstance(event, dict):
        raise SourceError(f"{place}: a {type(event).__name__}, expected an object a line -> check the file")
    found = {}
    for name, dtype in wanted.items():
        value = event.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if dtype == pl.Float64() and not is_number:
            raise SourceError(f"{place}: {name} is {value!r}, expected a number -> leave out what has no score")
        if dtype != pl.Float64() and not (isinstance(value, str) or is_number):
            raise SourceError(f"{place}: {name} is {value!r}, expected a text or a number -> check the keys")
        found[name] = value if dtype == pl.Float64() else str(value)
    return found


def _that_equal(table: pl.DataFrame, equal: Mapping[str, str], origin: str) -> pl.DataFrame:
    chosen = table.filter(
        pl.all_horizontal(pl.lit(value=True), *(pl.col(name) == text for name, text in equal.items()))
    )
    if chosen.is_empty() and not table.is_empty():
        seen = {name: table[name].unique(maintain_order=True).head(_SHOWN_VALUES).to_list() for name in equal}
        raise SourceError(f"{origin}: no row has {dict(equal)}, seen were {seen} -> check equal")
    return chosen


def _once_an_event(table: pl.DataFrame, identity: str, origin: str) -> pl.DataFrame:
    """Each event once; the columns that are read must say the same each time."""
    if table[identity].null_count():
        raise SourceError(f"{origin}: column {identity} lacks {table[identity].null_count()} identities -> mend it")
    single = table.unique(maintain_order=True)
    repeated = single.filter(pl.col(identity).is_duplicated())
    if not repeated.is_empty():
        raise SourceError(
            f"{origin}: {identity} {repeated[identity][0]!r} says different things -> give a correction an identity "
            "and a publication of its own"
        )
    return single


def _require_sound(
    published: NDArray[np.int64], about: NDArray[np.int64], origin: str, *, allow_forecasts: bool
) -> None:
    steps_back = np.flatnonzero(np.diff(published) < 0)
    if len(steps_back):
        instant = from_microseconds(int(published[steps_back[0] + 1])).isoformat()
        raise SourceError(
            f"{origin}: {len(steps_back)} rows step back in publication, the first at {instant} -> sort the rows by "
            "publication"
        )
    early = np.flatnonzero(about > published)
    if len(early) and not allow_forecasts:
        instants = [from_microseconds(int(values[early[0]])).isoformat() for values in (published, about)]
        raise SourceError(
            f"{origin}: {len(early)} scores are about instants after their publication, the first published "
            f"{instants[0]} about {instants[1]} -> mend the clocks, or allow_forecasts"
        )


def _reduced(rows: pl.DataFrame, one: ScoredEvents) -> pl.DataFrame:
    score = {"mean": pl.col("value").mean(), "last": pl.col("value").last(), "sum": pl.col("value").sum()}
    return rows.group_by("published", "ts", "name", maintain_order=True).agg(score[one.reduction]).select(rows.columns)
