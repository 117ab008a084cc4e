"""Brings the rows of one statement over: by binary COPY, or by plain SELECT where the server has no COPY."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from psycopg import errors, pq
from psycopg.sql import Composed

from trademl_assets.foundation.calendar import to_microseconds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.wire.binary_copy import Rows, Values, parse_binary_copy
from trademl_assets.sources.wire.statements import FLOAT8, INT4, INT8, TIMESTAMP, TIMESTAMPTZ, Wanted, copied

MICROSECONDS_TO_2000 = to_microseconds(datetime(2000, 1, 1, tzinfo=UTC))
"""PostgreSQL counts from there."""

_KINDS = {INT4: "i4", INT8: "i8", FLOAT8: "f8", TIMESTAMP: "i8", TIMESTAMPTZ: "i8"}
_INSTANTS = (TIMESTAMP, TIMESTAMPTZ)


def types_of(connection: psycopg.Connection, no_rows: Composed, columns: Sequence[Wanted], origin: str) -> list[int]:
    """Ask of what types the wanted columns are.

    Args:
        connection: To the server.
        no_rows: Statement that yields the columns without a row.
        columns: What is wanted.
        origin: Instrument, day and table, for messages.

    Raises:
        SourceError: One is of a type that it may not have.
    """
    described = connection.execute(no_rows).description or []
    found = [column.type_code for column in described]
    if len(found) != len(columns):
        raise SourceError(f"{origin}: the server describes {len(found)} columns, asked for were {len(columns)}")
    for column, kind in zip(columns, found, strict=True):
        if kind not in column.types:
            names = [_type_name(connection, each) for each in (kind, *column.types)]
            raise SourceError(
                f"{origin}: {column.name} comes as {names[0]}, expected {' or '.join(names[1:])} "
                "-> check the columns under table, and table.time_unit"
            )
    return found


def copy_rows(connection: psycopg.Connection, query: Composed, types: Sequence[int], origin: str) -> Rows:
    """Bring the rows of a query by binary COPY.

    Args:
        connection: To the server.
        query: What is asked.
        types: Types of its columns.
        origin: Instrument, day and table, for messages.

    Returns:
        The rows; instants in microseconds since 1970.
    """
    rows = parse_binary_copy(copy_bytes(connection, copied(query)), [_KINDS[kind] for kind in types], origin)
    columns = [
        Values(column.values + MICROSECONDS_TO_2000, column.absent) if kind in _INSTANTS else column
        for column, kind in zip(rows.columns, types, strict=True)
    ]
    return Rows(tuple(columns), rows.height, rows.is_regular)


def copy_bytes(connection: psycopg.Connection, statement: Composed) -> bytearray:
    """Everything that a COPY sends.

    The server sends a message a row. They are taken from libpq directly while it has some, and through psycopg, which
    waits on the socket, only when it has none: a third of the processor time of iterating over psycopg's `Copy`.
    """
    content = bytearray()
    pgconn = connection.pgconn
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        while True:
            length, message = pgconn.get_copy_data(1)  # 1: do not wait
            if length > 0:
                content += message
            elif length == 0:
                if not (block := copy.read()):
                    return content
                content += block
            else:
                _end_copy(pgconn)
                return content


def _end_copy(pgconn: pq.abc.PGconn) -> None:
    """Fetch the result that follows the last row, which tells whether it was the last."""
    while (result := pgconn.get_result()) is not None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result)


def select_rows(connection: psycopg.Connection, query: Composed, types: Sequence[int], origin: str) -> Rows:
    """Bring the rows of a query as text, the plain way.

    Args:
        connection: To the server.
        query: What is asked, in plain text: parameters are not sent.
        types: Types of its columns.
        origin: Instrument, day and table, for messages.

    Returns:
        The same rows as `copy_rows`.
    """
    with connection.cursor() as cursor:
        found = cursor.execute(query).fetchall()
    for row in found:
        if len(row) != len(types):
            raise SourceError(f"{origin}: a row has {len(row)} fields, expected {len(types)} -> check the table")
    columns = []
    for number, kind in enumerate(types):
        column = [row[number] for row in found]
        absent = np.array([value is None for value in column], dtype=np.bool_)
        whole = [0 if value is None else _number(value) for value in column]
        columns.append(Values(np.array(whole, dtype=f"={_KINDS[kind]}"), absent if absent.any() else None))
    return Rows(tuple(columns), len(found), is_regular=False)


def _number(value: Any) -> Any:
    """A value of a row; instants in microseconds since 1970, those without a zone are UTC."""
    if isinstance(value, datetime):
        return to_microseconds(value if value.tzinfo else value.replace(tzinfo=UTC))
    return value


def _type_name(connection: psycopg.Connection, kind: int) -> str:
    known = connection.adapters.types.get(kind)
    return known.name if known else f"type {kind}"
