"""Source kind `sql_depth`: tall rows from GreptimeDB, PostgreSQL or Neon, by the PostgreSQL wire protocol.

Statements go through psycopg alone, so that each one sent stands in `wire/statements.py`: an engine on top would send
probes of its own that GreptimeDB does not answer.
"""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.wire.access import ServerAccess
from trademl_assets.sources.wire.day_reading import ChangedError, DayReader, DayRows, slices_of
from trademl_assets.sources.wire.depth_table import DepthTable
from trademl_assets.sources.wire.link import Link
from trademl_assets.sources.wire.loss import RetryParameters
from trademl_assets.sources.wire.statements import Statements

LOGGER = logging.getLogger(__name__)
SECONDS_PER_DAY = 86_400
SYMBOL = re.compile(r"[A-Z0-9_]{2,30}")


class SqlDepthParameters(Parameters):
    """Parameters of `sql_depth`.

    Attributes:
        dialect: `postgresql` (Neon too) reads a day in one read-only snapshot; `greptimedb` has no snapshots, and is
            sent nothing that it lacks.
        server: Where the database is.
        table: What is read in it.
        slice_seconds: Length of the ranges of time that are read one by one; a lost connection resumes at one.
        max_rows: A day with its lead-in of more rows than this is refused before it is read.
        retry: How lost connections are made anew.
        rereads: Times that a day is read again which changed while it was read.
    """

    dialect: Literal["postgresql", "greptimedb"]
    server: ServerAccess
    table: DepthTable
    slice_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)]
    max_rows: Annotated[int, Field(ge=1)]
    retry: RetryParameters
    rereads: Annotated[int, Field(ge=0, le=100)]


def utc_today() -> date:
    """Return the UTC day that has not ended yet."""
    return datetime.now(UTC).date()


@SOURCES.register("sql_depth")
class SqlDepthSource:
    """Raw depth from a table of a database.

    Args:
        parameters: What to read and where.
        instruments: Configured instruments by name.
        today: Tells the UTC day that has not ended yet.

    Raises:
        ConfigError: `equal` names an instrument that is not configured.
    """

    parameters = SqlDepthParameters

    def __init__(
        self,
        parameters: SqlDepthParameters,
        instruments: Mapping[str, InstrumentParameters],
        today: Callable[[], date] = utc_today,
    ) -> None:
        if unknown := sorted(set(parameters.table.equal) - set(instruments)):
            raise ConfigError(
                f"table.equal is given for unknown instruments {', '.join(unknown)} -> configured are "
                f"{', '.join(instruments)}"
            )
        self._settings = parameters
        self._today = today

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Rows of `TALL_SCHEMA` within [start of `day` - `lead_in_seconds`, end of `day`); none is an answer too.

        Raises:
            SourceError: The day is not over, the server cannot be entered, the table is not as configured, its rows
                cannot be trusted, or they changed while they were read; names instrument, day, table and server.
        """
        return self.extract_described(instrument, day, lead_in_seconds)[0]

    def extract_described(
        self, instrument: InstrumentParameters, day: date, lead_in_seconds: int
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Rows as `extract`, with every statement, what the server counted, and how often something went wrong."""
        settings = self._settings
        origin = f"{instrument.name} on {day}, table {settings.table.title}"
        self._require_readable(instrument, day, origin)
        midnight, end = day_bounds(day)
        slices = slices_of(midnight - timedelta(seconds=lead_in_seconds), midnight, end, settings.slice_seconds)
        equal = settings.table.equal.get(instrument.name, {})
        statements = Statements(settings.table, settings.dialect, instrument.symbol, equal)
        with Link(settings.server, settings.retry, statements, origin) as link:
            reader = DayReader(link, statements, settings.table, origin, slices=slices, max_rows=settings.max_rows)
            read, rereads = self._read(reader)
        facts = {
            "server": settings.server.place,
            "table": settings.table.title,
            "path": "select" if reader.refusal else "copy",
            "copy_refused": reader.refusal or None,
            "count_statement": statements.count(*reader.whole).as_string(),
            "slices": read.slices,
            "counted_before": read.before.as_dict(),
            "counted_after": read.after.as_dict(),
            "connections_lost": link.losses,
            "rereads": rereads,
            "slices_with_absent_values": read.irregular_slices,
            "duplicate_rows": read.duplicates,
            "tall_rows": read.tall.height,
        }
        return read.tall, facts

    def _require_readable(self, instrument: InstrumentParameters, day: date, origin: str) -> None:
        if not SYMBOL.fullmatch(instrument.symbol):
            raise SourceError(f"{origin}: {instrument.symbol!r} is no symbol -> write 2 to 30 of A-Z, 0-9 and _")
        today = self._today()
        if day >= today:
            raise SourceError(
                f"{origin}: the day is not over, today is {today} UTC -> extract it from {day + timedelta(days=1)} on"
            )

    def _read(self, reader: DayReader) -> tuple[DayRows, int]:
        """Read the day, again where it changed meanwhile; also returns how often again."""
        for again in range(self._settings.rereads):
            try:
                return reader.read(), again
            except ChangedError as error:
                LOGGER.warning("%s; reading again", error)
        return reader.read(), self._settings.rereads
