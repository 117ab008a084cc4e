"""Known rows of depth, the tables that hold them, and the source that reads them."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import psycopg
from psycopg import sql

from trademl_assets.sources.contract import TALL_SCHEMA, InstrumentParameters
from trademl_assets.sources.sql import SqlDepthParameters, SqlDepthSource
from trademl_assets_tests.postgres import PostgresServer

SCHEMA = "market data"
DAY = date(2024, 3, 5)
MIDNIGHT = datetime(2024, 3, 5, tzinfo=UTC)
TODAY = date(2024, 3, 6)
LEAD_IN = 60
LEVELS = 10
SECRET_VARIABLE = "DEPTH_PASSWORD"  # noqa: S105 -- the name of a variable
PRICES = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
ABC = InstrumentParameters(
    name="ABC", venue="binance", market="spot", symbol="ABCUSDT", tick_size=0.01, reference_quantity=1.0
)
PAIRED = {"by": "level_columns", **{name: name for name in PRICES}}
SIDES = {"by": "side_column", "side": "side", "bid": "b'id", "ask": "ask", "price": "price", "quantity": "size"}
DOUBLE_DOMAIN = 'CREATE DOMAIN "double" AS double precision'
"""GreptimeDB's name of the type."""


def known_rows() -> pl.DataFrame:
    """Rows of `TALL_SCHEMA`: a book every 120 s from a minute before midnight on, values with all their bits."""
    seconds = np.arange(-60, 86_400, 120)
    random = np.random.default_rng(7)
    count = len(seconds) * LEVELS
    instants = [MIDNIGHT + timedelta(seconds=int(second), microseconds=int(second) % 7) for second in seconds]
    level = np.tile(np.arange(LEVELS, dtype=np.int32), len(seconds))
    return pl.DataFrame(
        {
            "ts": [instant for instant in instants for _ in range(LEVELS)],
            "batch_id": np.repeat(seconds + 2**40, LEVELS),
            "level": level,
            "bid_price": 100.0 - level * 0.01 - random.random(count) * 0.01,
            "bid_quantity": random.exponential(1.0, count),
            "ask_price": 100.0 + level * 0.01 + random.random(count) * 0.01,
            "ask_quantity": random.exponential(1.0, count) * 1e-9,
        },
        schema=dict(TALL_SCHEMA),
    )


def create_tables(connection: psycopg.Connection) -> None:
    """Make the tables `paired` and `sides`, with the known rows and those of another symbol."""
    rows = known_rows()
    connection.execute("DROP DOMAIN IF EXISTS double")
    connection.execute(DOUBLE_DOMAIN)
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    for symbol in ("ABCUSDT", "XYZUSDT"):
        fill_paired(connection, "paired", rows, symbol=symbol)
        fill_sides(connection, "sides", rows, symbol=symbol)


def fill_paired(
    connection: psycopg.Connection,
    table: str,
    rows: pl.DataFrame,
    *,
    symbol: str = "ABCUSDT",
    types: Mapping[str, str] | None = None,
) -> None:
    """Add rows to a table with bid and ask beside each other; make it where there is none."""
    kinds = {
        "ts": "timestamptz",
        "symbol": "text",
        "batch_id": "bigint",
        "level": "integer",
        **dict.fromkeys(PRICES, "double precision"),
        **(types or {}),
    }
    _create(connection, table, kinds)
    _insert(connection, table, kinds, ((symbol if n == "symbol" else row[n] for n in kinds) for row in rows.to_dicts()))


def fill_sides(
    connection: psycopg.Connection, table: str, rows: pl.DataFrame, *, symbol: str = "ABCUSDT", reverse: bool = True
) -> None:
    """Add rows to a table with one row a side; make it where there is none."""
    kinds = {
        "ts": "timestamp",
        "symbol": "text",
        "batch_id": "bigint",
        "level": "smallint",
        "side": "text",
        "price": "numeric",
        "size": "double precision",
    }
    _create(connection, table, kinds)
    lines = [
        (
            row["ts"].replace(tzinfo=None),
            symbol,
            row["batch_id"],
            row["level"],
            text,
            repr(row[f"{side}_price"]),
            row[f"{side}_quantity"],
        )
        for row in rows.to_dicts()
        for side, text in (("bid", "b'id"), ("ask", "ask"))
        if row[f"{side}_price"] is not None
    ]
    _insert(connection, table, kinds, lines[::-1] if reverse else lines)


def drop(connection: psycopg.Connection, *tables: str) -> None:
    for table in tables:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table)))


def _create(connection: psycopg.Connection, table: str, kinds: Mapping[str, str]) -> None:
    columns = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(k)) for n, k in kinds.items())
    connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(sql.Identifier(SCHEMA, table), columns))


def _insert(
    connection: psycopg.Connection, table: str, kinds: Mapping[str, str], lines: Iterable[Iterable[Any]]
) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, kinds))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(SCHEMA, table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for line in lines:
            copy.write_row(tuple(line))


def settings(server: PostgresServer, **changes: Any) -> dict[str, Any]:
    """Parameters of a source of the table `paired`; `table__x` changes x of the table, `server__x` of the server."""
    found: dict[str, Any] = {
        "dialect": "postgresql",
        "server": {
            "host": server.host,
            "port": server.port,
            "database": server.database,
            "user": server.user,
            "password": f"${{{SECRET_VARIABLE}}}",
            "tls": "off",
            "ca_file": None,
            "connect_timeout_seconds": 5,
            "statement_timeout_seconds": 30,
            "keepalive_idle_seconds": 30,
            "keepalive_interval_seconds": 10,
            "keepalive_probes": 3,
        },
        "table": {
            "name": [SCHEMA, "paired"],
            "symbol": "symbol",
            "equal": {},
            "time": "ts",
            "time_unit": "timestamp",
            "batch": "batch_id",
            "level": "level",
            "first_level": 0,
            "layout": PAIRED,
        },
        "slice_seconds": 14_400,
        "max_rows": 1_000_000,
        "retry": {"attempts": 3, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.02},
        "rereads": 1,
    }
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (found[section] if section else found)[name] = value
    return found


def source_of(server: PostgresServer, password: str | None = None, **changes: Any) -> SqlDepthSource:
    """A source of one of the tables, on the day after `DAY`."""
    secret = server.password if password is None else password
    parameters = SqlDepthParameters.model_validate_json(
        json.dumps(settings(server, **changes)), context={"environment": {SECRET_VARIABLE: secret}}
    )
    return SqlDepthSource(parameters, {"ABC": ABC}, today=lambda: TODAY)


def sides_settings() -> dict[str, Any]:
    """What differs for the table `sides`."""
    return {"table__name": [SCHEMA, "sides"], "table__layout": SIDES}
