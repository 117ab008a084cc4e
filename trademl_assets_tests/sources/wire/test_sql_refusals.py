"""What cannot be trusted is refused in words that say what was found, where, and what to do."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import psycopg
import pytest
from pydantic import ValidationError

from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.sources.sql import SqlDepthParameters, SqlDepthSource, utc_today
from trademl_assets_tests.postgres import PostgresServer
from trademl_assets_tests.sources.wire.proxy import door_to
from trademl_assets_tests.sources.wire.tables import (
    ABC,
    DAY,
    LEAD_IN,
    PAIRED,
    SCHEMA,
    SIDES,
    drop,
    fill_paired,
    known_rows,
    settings,
    sides_settings,
    source_of,
)


def refusal_of(source: SqlDepthSource, day: date = DAY) -> str:
    with pytest.raises(SourceError) as refusal:
        source.extract(ABC, day, LEAD_IN)
    said = str(refusal.value)
    assert said.startswith(f"ABC on {day}, table ")
    assert " -> " in said
    return said


@pytest.mark.parametrize("dialect", ["postgresql", "greptimedb"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table__name": [SCHEMA, "nowhere"]}, 'relation "market data.nowhere" does not exist'),
        ({"table__name": ["nowhere", "paired"]}, 'relation "nowhere.paired" does not exist'),
        ({"table__level": "depth"}, 'column "depth" does not exist'),
        ({"table__symbol": "pair"}, 'column "pair" does not exist'),
        ({"table__layout": {**PAIRED, "ask_price": "asked"}}, 'column "asked" does not exist'),
        ({"table__time": "batch_id"}, "ts comes as int8, expected timestamp or timestamptz"),
        ({"table__time_unit": "ms"}, "ts comes as timestamptz, expected int8 or int4"),
        ({"table__time": "symbol", "table__time_unit": "ns"}, "ts comes as text"),
        ({"table__batch": "ts"}, "cannot cast type timestamp with time zone to bigint"),
        ({"table__first_level": 1}, "level 0, the best should be 1"),
        ({**sides_settings(), "table__layout": {**SIDES, "bid": "buy"}}, " rows are on neither side"),
        ({"server__database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"max_rows": 7_209}, "7210 rows, allowed are 7209"),
    ],
)
def test_a_table_that_is_not_as_configured(
    server: PostgresServer, dialect: str, changes: dict[str, Any], said: str
) -> None:
    assert said in refusal_of(source_of(server, dialect=dialect, **changes))


def test_too_many_rows_are_refused_before_one_is_read(server: PostgresServer) -> None:
    with door_to(server.host, server.port) as door:
        refusal_of(source_of(server, server__port=door.port, max_rows=10))
    assert not [query for query in door.queries() if "ORDER BY" in query]


@pytest.mark.parametrize(("column", "named"), [("ts", "ts"), ("batch_id", "batch_id"), ("level", "level")])
def test_rows_without_what_identifies_them(
    server: PostgresServer, connection: psycopg.Connection, column: str, named: str
) -> None:
    drop(connection, "keyless")
    bare = (pl.col("ts").dt.hour() == 9) & (pl.col("level") == 4)
    rows = known_rows().with_columns(pl.when(bare).then(None).otherwise(pl.col(column)).alias(column))
    fill_paired(connection, "keyless", rows)
    source = source_of(server, table__name=[SCHEMA, "keyless"])
    if column == "ts":  # rows of no time belong to no day
        assert source.extract(ABC, DAY, LEAD_IN).height == known_rows().height - 30
    else:
        assert f"30 rows without {named}" in refusal_of(source)


@pytest.mark.parametrize("day", [date(2024, 3, 6), date(2024, 3, 7)])
def test_a_day_that_is_not_over(server: PostgresServer, day: date) -> None:
    with door_to(server.host, server.port) as door:
        said = refusal_of(source_of(server, server__port=door.port), day)
    assert "the day is not over, today is 2024-03-06 UTC" in said
    assert not door.sent, "nothing is asked"


def test_today_is_told_by_the_clock_unless_said_otherwise(server: PostgresServer) -> None:
    parameters = SqlDepthParameters.model_validate_json(json.dumps(settings(server)))
    assert "is not over" in refusal_of(SqlDepthSource(parameters, {}), utc_today())


def changing(
    server: PostgresServer, statement: str, times: int, marker: str
) -> tuple[Callable[[bytes], bytes], list[int]]:
    """Makes a change on the server each time that a client sends `marker`, at most so many times."""
    done: list[int] = []

    def rewrite(block: bytes) -> bytes:
        if marker.encode() in block and len(done) < times:
            done.append(1)
            with server.connect() as other:
                other.execute(statement.encode())
        return block

    return rewrite, done


@pytest.fixture
def growing(connection: psycopg.Connection) -> str:
    """A table, and a statement that adds a row to its day."""
    drop(connection, "growing")
    fill_paired(connection, "growing", known_rows())
    name = f'"{SCHEMA}"."growing"'
    columns = "ts, symbol, level, bid_price, bid_quantity, ask_price, ask_quantity"
    return (
        f"INSERT INTO {name} (batch_id, {columns}) SELECT batch_id, {columns} FROM {name} "  # noqa: S608 -- constants of this file
        "WHERE level = 3 AND ts > '2024-03-05 12:00:00+00' LIMIT 1"
    )


@pytest.mark.parametrize("dialect", ["postgresql", "greptimedb"])
@pytest.mark.parametrize("marker", ["COPY (SELECT", "12:00:00+00:00' ORDER BY"], ids=["before", "between slices"])
def test_a_day_that_changes_once_is_read_again(server: PostgresServer, growing: str, dialect: str, marker: str) -> None:
    rewrite, done = changing(server, growing, 1, marker)
    with door_to(server.host, server.port, rewrite=rewrite) as door:
        source = source_of(server, dialect=dialect, table__name=[SCHEMA, "growing"], server__port=door.port)
        tall, facts = source.extract_described(ABC, DAY, LEAD_IN)

    assert len(done) == 1
    assert tall.equals(known_rows())
    assert facts["rereads"] == (0 if marker.startswith("COPY") else 1)
    assert facts["duplicate_rows"] == 1
    assert facts["counted_before"] == facts["counted_after"]


@pytest.mark.parametrize("dialect", ["postgresql", "greptimedb"])
def test_a_day_that_goes_on_changing(server: PostgresServer, growing: str, dialect: str) -> None:
    rewrite, done = changing(server, growing, 9, "12:00:00+00:00' ORDER BY")
    with door_to(server.host, server.port, rewrite=rewrite) as door:
        source = source_of(server, dialect=dialect, table__name=[SCHEMA, "growing"], server__port=door.port, rereads=2)
        said = refusal_of(source)

    assert len(done) == 3
    assert "rows changed while they were read" in said
    assert f"'rows': {len(known_rows()) + 2}" in said
    assert f"'rows': {len(known_rows()) + 3}" in said


def test_a_value_that_changes_but_not_the_count_does_not_mix_into_a_snapshot(
    server: PostgresServer, connection: psycopg.Connection
) -> None:
    drop(connection, "mixed")
    fill_paired(connection, "mixed", known_rows())
    update = f'UPDATE "{SCHEMA}"."mixed" SET bid_price = 1'  # noqa: S608 -- constants of this file
    rewrite, done = changing(server, update, 1, "12:00:00+00:00' ORDER BY")
    with door_to(server.host, server.port, rewrite=rewrite) as door:
        tall = source_of(server, table__name=[SCHEMA, "mixed"], server__port=door.port).extract(ABC, DAY, LEAD_IN)
    assert done
    assert tall.equals(known_rows())


def test_a_statement_that_takes_too_long_is_not_tried_again(
    server: PostgresServer, connection: psycopg.Connection
) -> None:
    slow = f'SELECT *, pg_sleep(9) IS NULL AS slept FROM "{SCHEMA}"."paired"'  # noqa: S608 -- constants of this file
    connection.execute(f'CREATE OR REPLACE VIEW "{SCHEMA}"."slow view" AS {slow}'.encode())
    changes = {"table__name": [SCHEMA, "slow view"], "table__equal": {"ABC": {"slept": "false"}}}
    with door_to(server.host, server.port) as door:
        said = refusal_of(source_of(server, server__port=door.port, server__statement_timeout_seconds=1, **changes))
    assert "canceling statement due to statement timeout" in said
    assert "shorten slice_seconds" in said
    assert len(door.sent) == 1


def test_instruments_that_are_not_configured(server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="unknown instruments XYZ"):
        source_of(server, table__equal={"XYZ": {"market": "spot"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"table__symbol": "a\x00b"},
        {"table__name": []},
        {"table__layout": {**SIDES, "bid": "b\\id"}},
        {"slice_seconds": 0},
        {"dialect": "mysql"},
        {"retry": {"attempts": 3, "first_wait_seconds": 2, "longest_wait_seconds": 1}},
    ],
)
def test_settings_that_make_no_sense(server: PostgresServer, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        source_of(server, **changes)


def test_every_setting_is_written_out(server: PostgresServer) -> None:
    whole = settings(server)
    for section in ("", "server", "table", "retry"):
        for name in whole[section] if section else whole:
            part = json.loads(json.dumps(whole))
            del (part[section] if section else part)[name]
            with pytest.raises(ValidationError, match="Field required"):
                SqlDepthParameters.model_validate_json(json.dumps(part))


def test_symbols_are_checked_once_more(server: PostgresServer) -> None:
    odd = ABC.model_copy(update={"symbol": "ABC' OR 1=1 --"})
    with pytest.raises(SourceError, match="is no symbol"):
        source_of(server).extract(odd, DAY, LEAD_IN)
