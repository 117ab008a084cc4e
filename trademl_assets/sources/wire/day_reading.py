"""Reads a symbol-day slice by slice, and trusts it only if it did not change meanwhile."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import polars as pl
import psycopg
from psycopg.sql import Composed

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.progress import ProgressReporter
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.wire.binary_copy import Rows
from trademl_assets.sources.wire.depth_table import DepthTable
from trademl_assets.sources.wire.link import Link, execute_all
from trademl_assets.sources.wire.statements import UNITS_PER_SECOND, Statements, copied
from trademl_assets.sources.wire.tall_rows import tall_slice
from trademl_assets.sources.wire.transfer import copy_rows, select_rows, types_of

LOGGER = logging.getLogger(__name__)

Bounds = tuple[datetime, datetime]


class ChangedError(SourceError):
    """Rows changed while they were read."""


@dataclass(frozen=True)
class Census:
    """What a range of time holds.

    Attributes:
        rows: Number of rows.
        batches: Number of distinct batches, 0 where the table has no such column.
        first_us: First instant in microseconds since 1970, None where there is no row.
        last_us: Last instant.
    """

    rows: int
    batches: int
    first_us: int | None
    last_us: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the census as JSON."""
        instants = [
            None if each is None else from_microseconds(each).isoformat() for each in (self.first_us, self.last_us)
        ]
        return {"rows": self.rows, "batches": self.batches, "first": instants[0], "last": instants[1]}


@dataclass
class DayRows:
    """What a reading brought.

    Attributes:
        tall: Rows of `TALL_SCHEMA`.
        before: What the server counted before the rows were read.
        after: What it counted afterwards.
        slices: Range, rows and statement of each slice.
        irregular_slices: Slices with rows that lack values.
        duplicates: Rows left out because they repeat another in every value.
    """

    before: Census
    after: Census
    tall: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TALL_SCHEMA))
    slices: list[dict[str, Any]] = field(default_factory=list)
    irregular_slices: int = 0
    duplicates: int = 0


class DayReader:
    """Reads the rows of an instrument and range.

    Args:
        link: To the server.
        statements: About the instrument.
        table: What the columns mean.
        origin: Instrument, day and table, for messages.
        slices: Adjacent half-open ranges.
        max_rows: More rows than this are refused before they are read.

    Attributes:
        refusal: What the server said against COPY; empty where it knows it, None before it was asked.
    """

    def __init__(
        self,
        link: Link,
        statements: Statements,
        table: DepthTable,
        origin: str,
        *,
        slices: Sequence[Bounds],
        max_rows: int,
    ) -> None:
        self._link = link
        self._statements = statements
        self._table = table
        self._slices = slices
        self._max_rows = max_rows
        self._origin = origin
        self._types: list[int] = []
        self._counted: Census | None = None
        self._snapshot = 0
        self.refusal: str | None = None

    @property
    def whole(self) -> Bounds:
        """The range of all slices."""
        return self._slices[0][0], self._slices[-1][1]

    def read(self) -> DayRows:
        """Read all slices once.

        Raises:
            ChangedError: What came is not what the server counted before or afterwards.
            SourceError: There are too many rows, or the table cannot be read as configured.
        """
        self._ask_for_types()
        self._counted = None
        before = self._link.run(self._in_snapshot)
        if before.rows > self._max_rows:
            raise SourceError(
                f"{self._origin}: {before.rows} rows, allowed are {self._max_rows} "
                "-> if they are genuine, raise max_rows"
            )
        read = DayRows(before, before)
        came = self._read_slices(read) if before.rows else before
        read.after = self._link.run(self._after_snapshot)
        if not before == came == read.after:
            raise ChangedError(
                f"{self._origin}: rows changed while they were read: before {before.as_dict()}, came {came.as_dict()}, "
                f"after {read.after.as_dict()} -> extract the day when nothing writes to it any more"
            )
        return read

    def _ask_for_types(self) -> None:
        if self.refusal is not None:
            return
        no_rows = self._statements.no_rows()
        columns, origin = self._statements.columns, self._origin
        self._types = self._link.run(lambda connection: types_of(connection, no_rows, columns, origin))
        self.refusal = self._link.refuses(lambda connection: copy_rows(connection, no_rows, self._types, origin))
        if self.refusal:
            LOGGER.warning("%s: no COPY (%s), reading by SELECT", origin, self.refusal)

    def _read_slices(self, read: DayRows) -> Census:
        """Read the slices, and count what came."""
        batches: set[int] = set()
        frames = []
        height = 0
        with ProgressReporter(len(self._slices), self._origin, LOGGER.info) as progress:
            for bounds in self._slices:
                query = self._statements.rows(*bounds)
                rows = self._link.run(partial(self._fetch, query=query))
                found = tall_slice(rows, self._statements.columns, self._table, bounds, self._origin)
                frames.append(found.tall)
                batches |= found.batches
                height += rows.height
                read.duplicates += found.duplicates
                read.irregular_slices += not (rows.is_regular or self.refusal)
                read.slices.append(
                    {
                        "from": bounds[0].isoformat(),
                        "until": bounds[1].isoformat(),
                        "rows": rows.height,
                        "statement": (query if self.refusal else copied(query)).as_string(),
                    }
                )
                progress.advance()
        read.tall = pl.concat(frames)
        instants = [to_microseconds(frame["ts"][end]) for frame in frames if frame.height for end in (0, -1)]
        return Census(height, len(batches), min(instants, default=None), max(instants, default=None))

    def _fetch(self, connection: psycopg.Connection, query: Composed) -> Rows:
        self._in_snapshot(connection)
        move = select_rows if self.refusal else copy_rows
        return move(connection, query, self._types, self._origin)

    def _in_snapshot(self, connection: psycopg.Connection) -> Census:
        """Open a snapshot where this connection has none yet; it must show what the one before it showed."""
        if self._counted is None or self._snapshot != self._link.connections:
            execute_all(connection, self._statements.begin())
            found = self._count(connection)
            self._snapshot = self._link.connections
            if self._counted is not None and found != self._counted:
                self._link.close()
                raise ChangedError(
                    f"{self._origin}: rows changed while the connection was lost: before {self._counted.as_dict()}, "
                    f"after {found.as_dict()} -> extract the day when nothing writes to it any more"
                )
            self._counted = found
        return self._counted

    def _after_snapshot(self, connection: psycopg.Connection) -> Census:
        if self._snapshot == self._link.connections:
            execute_all(connection, self._statements.end())
            self._snapshot = 0
        return self._count(connection)

    def _count(self, connection: psycopg.Connection) -> Census:
        row = connection.execute(self._statements.count(*self.whole)).fetchone()
        if row is None:
            raise SourceError(f"{self._origin}: the server counts nothing -> check that it answers COUNT(*)")
        rows, batches, first, last = row
        return Census(int(rows), int(batches), self._microseconds(first), self._microseconds(last))

    def _microseconds(self, instant: Any) -> int | None:
        """An instant of the table as microseconds since 1970."""
        if isinstance(instant, datetime):
            return to_microseconds(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
        unit = self._table.time_unit
        return None if instant is None else int(instant) * MICROSECONDS_PER_SECOND // UNITS_PER_SECOND[unit]


def slices_of(first: datetime, midnight: datetime, end: datetime, seconds: int) -> list[Bounds]:
    """Adjacent half-open ranges of at most `seconds` that cover [first, end) and meet at midnight."""
    step = timedelta(seconds=seconds)
    before = [midnight]
    while before[-1] > first:
        before.append(max(first, before[-1] - step))
    edges = before[::-1]
    while edges[-1] < end:
        edges.append(min(end, edges[-1] + step))
    return list(pairwise(edges))
