"""The SQL that is sent: plain statements with quoted names and literals, nothing that GreptimeDB does not know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from psycopg.sql import SQL, Composable, Composed, Identifier
from psycopg.sql import Literal as Quoted

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, to_microseconds
from trademl_assets.sources.wire.depth_table import DepthTable, LevelColumns

Dialect = Literal["postgresql", "greptimedb"]
UNITS_PER_SECOND: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
BID, ASK, NEITHER = 0, 1, -1
"""What stands for the side in place of its text, so that every row is equally long."""

INT4, INT8, FLOAT8, TIMESTAMP, TIMESTAMPTZ = 23, 20, 701, 1114, 1184
"""Types by their numbers in PostgreSQL, `pg_type.dat`. GreptimeDB says 1114 for every instant."""


@dataclass(frozen=True)
class Wanted:
    """A column of the result.

    Attributes:
        name: What it becomes.
        expression: How the server makes it.
        types: Types that it may have.
        is_key: Whether a row without it means nothing.
    """

    name: str
    expression: Composable
    types: tuple[int, ...]
    is_key: bool


class Statements:
    """Statements about one instrument's rows.

    Args:
        table: Where the rows lie.
        dialect: What kind of server it is.
        symbol: The venue's symbol.
        equal: Further columns and the text they must equal.
    """

    def __init__(self, table: DepthTable, dialect: Dialect, symbol: str, equal: Mapping[str, str]) -> None:
        double = SQL("DOUBLE PRECISION") if dialect == "postgresql" else SQL("DOUBLE")
        self.columns = tuple(_columns(table, double))
        self._table = table
        self._dialect = dialect
        self._from = SQL(" FROM {}").format(Identifier(*table.name))
        whose = {table.symbol: symbol, **equal}.items()
        self._whose = SQL(" AND ").join(SQL("{} = {}").format(Identifier(name), Quoted(text)) for name, text in whose)
        by = [table.time, table.level, *([table.batch] if table.batch else [])]
        self._order = SQL(" ORDER BY {}").format(SQL(", ").join(map(Identifier, by)))

    def session(self, timeout_milliseconds: int) -> list[Composed]:
        """What a new connection is set to."""
        read_only = [SQL("SET default_transaction_read_only TO on").format()] if self._has_snapshots else []
        return [
            SQL("SET TIMEZONE TO 'UTC'").format(),
            SQL("SET statement_timeout = {}").format(Quoted(timeout_milliseconds)),
            *read_only,
        ]

    def begin(self) -> list[Composed]:
        """What opens a snapshot that writes of others do not change; nothing where the server has none."""
        return [SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").format()] if self._has_snapshots else []

    def end(self) -> list[Composed]:
        """What closes the snapshot."""
        return [SQL("COMMIT").format()] if self._has_snapshots else []

    def no_rows(self) -> Composed:
        """The wanted columns without a row, which shows whether they exist and of what types they are."""
        return self._select() + self._from + SQL(" LIMIT 0")

    def rows(self, first: datetime, end: datetime) -> Composed:
        """The wanted columns of a half-open range of time, in the order of (ts, level, batch)."""
        return self._select() + self._from + self._within(first, end) + self._order

    def count(self, first: datetime, end: datetime) -> Composed:
        """Rows, distinct batches (0 without such a column), first and last instant of a range."""
        time = Identifier(self._table.time)
        batches = SQL("COUNT(DISTINCT {})").format(Identifier(self._table.batch)) if self._table.batch else SQL("0")
        counts = SQL("SELECT COUNT(*), {}, MIN({}), MAX({})").format(batches, time, time)
        return counts + self._from + self._within(first, end)

    @property
    def _has_snapshots(self) -> bool:
        return self._dialect == "postgresql"

    def _select(self) -> Composed:
        return SQL("SELECT {}").format(SQL(", ").join([column.expression for column in self.columns]))

    def _within(self, first: datetime, end: datetime) -> Composed:
        time, unit = Identifier(self._table.time), self._table.time_unit
        return SQL(" WHERE {} AND {} >= {} AND {} < {}").format(
            self._whose, time, Quoted(_instant(first, unit)), time, Quoted(_instant(end, unit))
        )


def copied(query: Composed) -> Composed:
    """The statement that makes the server send a query's rows in PostgreSQL's binary form."""
    return SQL("COPY ({}) TO STDOUT WITH (FORMAT binary)").format(query)


def _columns(table: DepthTable, double: SQL) -> Iterator[Wanted]:
    layout = table.layout
    instants = (TIMESTAMP, TIMESTAMPTZ) if table.time_unit == "timestamp" else (INT8, INT4)
    yield Wanted("ts", Identifier(table.time), instants, is_key=True)
    if table.batch:
        yield Wanted("batch_id", _cast(table.batch, SQL("BIGINT")), (INT8,), is_key=True)
    yield Wanted("level", _cast(table.level, SQL("INTEGER")), (INT4,), is_key=True)
    if isinstance(layout, LevelColumns):
        for name in ("bid_price", "bid_quantity", "ask_price", "ask_quantity"):
            yield Wanted(name, _cast(getattr(layout, name), double), (FLOAT8,), is_key=False)
        return
    side = SQL("CAST(CASE {} WHEN {} THEN {} WHEN {} THEN {} ELSE {} END AS INTEGER)").format(
        Identifier(layout.side), Quoted(layout.bid), Quoted(BID), Quoted(layout.ask), Quoted(ASK), Quoted(NEITHER)
    )
    yield Wanted("side", side, (INT4,), is_key=True)
    yield Wanted("price", _cast(layout.price, double), (FLOAT8,), is_key=False)
    yield Wanted("quantity", _cast(layout.quantity, double), (FLOAT8,), is_key=False)


def _cast(column: str, kind: SQL) -> Composed:
    return SQL("CAST({} AS {})").format(Identifier(column), kind)


def _instant(instant: datetime, unit: str) -> str | int:
    """An instant on a whole second, with its offset, or as the number that the column counts."""
    if unit == "timestamp":
        return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")
    return to_microseconds(instant) // MICROSECONDS_PER_SECOND * UNITS_PER_SECOND[unit]
