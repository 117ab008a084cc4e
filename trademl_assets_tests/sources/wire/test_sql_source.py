"""A symbol-day comes out of a database as it went in, whatever the layout, the types and the way over the wire."""

import json
from typing import Any

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from trademl_assets.sources.contract import SOURCES, TALL_SCHEMA, extract_with_facts
from trademl_assets.sources.contracts import require_contract, tall_contract
from trademl_assets.sources.sql import SqlDepthSource
from trademl_assets_tests.postgres import PostgresServer
from trademl_assets_tests.sources.wire.proxy import door_to
from trademl_assets_tests.sources.wire.tables import (
    ABC,
    DAY,
    LEAD_IN,
    LEVELS,
    MIDNIGHT,
    PAIRED,
    PRICES,
    SCHEMA,
    drop,
    fill_paired,
    fill_sides,
    known_rows,
    sides_settings,
    source_of,
)

LAYOUTS: dict[str, dict[str, Any]] = {"level_columns": {}, "side_column": sides_settings()}


def without_copy(block: bytes) -> bytes:
    """Misspell COPY, so that a real server refuses it as one that does not know it."""
    return block.replace(b"COPY (SELECT", b"KOPY (SELECT")


def extracted(source: SqlDepthSource, lead_in: int = LEAD_IN) -> tuple[pl.DataFrame, dict[str, Any]]:
    tall, facts = extract_with_facts(source, ABC, DAY, lead_in)
    require_contract(tall, tall_contract(), "extracted rows")
    assert json.loads(json.dumps(facts)) == facts, "facts are JSON"
    return tall, facts


def same_bits(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert_frame_equal(found, expected, check_exact=True)


def test_the_kind_is_registered() -> None:
    assert SOURCES.get("sql_depth") is SqlDepthSource


@pytest.mark.parametrize("dialect", ["postgresql", "greptimedb"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_day_comes_by_copy_bit_for_bit(server: PostgresServer, layout: str, dialect: str) -> None:
    tall, facts = extracted(source_of(server, dialect=dialect, **LAYOUTS[layout]))

    same_bits(tall, known_rows())
    assert (facts["path"], facts["copy_refused"], facts["slices_with_absent_values"]) == ("copy", None, 0)
    assert (facts["connections_lost"], facts["rereads"], facts["duplicate_rows"]) == (0, 0, 0)


@pytest.mark.parametrize("dialect", ["postgresql", "greptimedb"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_server_without_copy_is_read_by_select_to_the_same_rows(
    server: PostgresServer, layout: str, dialect: str
) -> None:
    with door_to(server.host, server.port, rewrite=without_copy) as door:
        tall, facts = extracted(source_of(server, dialect=dialect, server__port=door.port, **LAYOUTS[layout]))

    same_bits(tall, known_rows())
    assert facts["path"] == "select"
    assert "syntax error" in facts["copy_refused"]
    assert not any("COPY" in each["statement"] for each in facts["slices"])


def test_facts_say_what_was_asked_and_what_was_counted(server: PostgresServer) -> None:
    _, facts = extracted(source_of(server))
    counted = {
        "rows": 721 * LEVELS,
        "batches": 721,
        "first": "2024-03-04T23:59:00.000003+00:00",
        "last": "2024-03-05T23:59:00.000002+00:00",
    }
    first, *_, last = facts["slices"]
    assert facts["counted_before"] == facts["counted_after"] == counted
    assert (first["from"], first["until"]) == ("2024-03-04T23:59:00+00:00", "2024-03-05T00:00:00+00:00")
    assert (last["from"], last["until"]) == ("2024-03-05T20:00:00+00:00", "2024-03-06T00:00:00+00:00")
    assert [each["rows"] for each in facts["slices"]] == [10] + [1200] * 5 + [1200]
    assert last["statement"].endswith(
        'FROM "market data"."paired" WHERE "symbol" = \'ABCUSDT\' AND "ts" >= \'2024-03-05 20:00:00+00:00\' '
        'AND "ts" < \'2024-03-06 00:00:00+00:00\' ORDER BY "ts", "level", "batch_id") TO STDOUT WITH (FORMAT binary)'
    )
    assert facts["table"] == "market data.paired"


@pytest.mark.parametrize("slice_seconds", [1_800, 50_000, 86_400])
@pytest.mark.parametrize("lead_in", [0, 60, 100_000])
def test_slices_of_any_length_make_the_same_day(server: PostgresServer, slice_seconds: int, lead_in: int) -> None:
    tall, _ = extracted(source_of(server, slice_seconds=slice_seconds), lead_in)
    same_bits(tall, known_rows().filter(pl.lit(lead_in > 0) | (pl.col("ts") >= MIDNIGHT)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rewrite", [bytes, without_copy], ids=["copy", "select"])
def test_absent_levels_stay_absent(
    server: PostgresServer, connection: psycopg.Connection, layout: str, rewrite: Any
) -> None:
    bare = pl.col("level") >= LEVELS - 2
    rows = known_rows().with_columns(
        pl.when(bare & (pl.col("ts").dt.hour() == 7)).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("ask_price", "ask_quantity")
    )
    drop(connection, "gaps")
    (fill_paired if layout == "level_columns" else fill_sides)(connection, "gaps", rows)
    with door_to(server.host, server.port, rewrite=rewrite) as door:
        changes = {**LAYOUTS[layout], "table__name": [SCHEMA, "gaps"], "server__port": door.port}
        tall, facts = extracted(source_of(server, **changes))

    same_bits(tall, rows)
    assert facts["slices_with_absent_values"] == int(layout == "level_columns" and facts["path"] == "copy")


def test_a_day_without_rows_is_an_empty_table(server: PostgresServer, connection: psycopg.Connection) -> None:
    drop(connection, "early")
    fill_paired(connection, "early", known_rows().filter(pl.col("ts") < MIDNIGHT))
    source = source_of(server, table__name=[SCHEMA, "early"])

    tall, facts = extracted(source, 0)
    assert (tall.height, dict(tall.schema)) == (0, dict(TALL_SCHEMA))
    assert facts["counted_before"] == {"rows": 0, "batches": 0, "first": None, "last": None}
    assert facts["path"] == "copy", "the empty reply to the first COPY was understood"
    assert extracted(source)[0].height == LEVELS


def test_slices_without_rows_leave_nothing(server: PostgresServer, connection: psycopg.Connection) -> None:
    drop(connection, "sparse")
    rows = known_rows().filter(pl.col("ts").dt.hour().is_in([3, 20]))
    fill_paired(connection, "sparse", rows)
    same_bits(extracted(source_of(server, table__name=[SCHEMA, "sparse"]))[0], rows)


@pytest.mark.parametrize(("unit", "times", "parts"), [("ms", 1, 1_000), ("us", 1, 1), ("ns", 1_000, 1)])
def test_instants_may_be_integers(
    server: PostgresServer, connection: psycopg.Connection, unit: str, times: int, parts: int
) -> None:
    drop(connection, "numbers")
    whole = pl.col("ts").dt.truncate("1ms") if unit == "ms" else pl.col("ts")
    rows = known_rows().with_columns(whole)
    counted = rows.with_columns(pl.col("ts").to_physical() * times // parts)
    fill_paired(connection, "numbers", counted, types={"ts": "bigint"})
    same_bits(extracted(source_of(server, table__name=[SCHEMA, "numbers"], table__time_unit=unit))[0], rows)


def test_seconds_fit_four_bytes(server: PostgresServer, connection: psycopg.Connection) -> None:
    drop(connection, "seconds")
    rows = known_rows().with_columns(pl.col("ts").dt.truncate("1s"))
    fill_paired(
        connection,
        "seconds",
        rows.with_columns((pl.col("ts").to_physical() // 1_000_000).cast(pl.Int64)),
        types={"ts": "integer"},
    )
    same_bits(extracted(source_of(server, table__name=[SCHEMA, "seconds"], table__time_unit="s"))[0], rows)


def test_names_from_the_configuration_are_quoted(server: PostgresServer, connection: psycopg.Connection) -> None:
    odd = {"ts": 'time"; DROP TABLE x; --', "symbol": "order", "level": "select", "bid_price": "%s {} $1"}
    drop(connection, 'a"b.c')
    rows = known_rows()
    fill_paired(connection, 'a"b.c', rows)
    for name, other in odd.items():
        connection.execute(
            psycopg.sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
                psycopg.sql.Identifier(SCHEMA, 'a"b.c'), psycopg.sql.Identifier(name), psycopg.sql.Identifier(other)
            )
        )
    changes = {
        "table__name": [SCHEMA, 'a"b.c'],
        "table__time": odd["ts"],
        "table__symbol": odd["symbol"],
        "table__level": odd["level"],
        "table__layout": {**PAIRED, "bid_price": odd["bid_price"]},
    }
    same_bits(extracted(source_of(server, **changes))[0], rows)


def test_levels_may_begin_with_one_and_batches_be_left_out(
    server: PostgresServer, connection: psycopg.Connection
) -> None:
    drop(connection, "ones")
    fill_paired(connection, "ones", known_rows().with_columns(pl.col("level") + 1))
    tall, facts = extracted(source_of(server, table__name=[SCHEMA, "ones"], table__first_level=1, table__batch=None))
    same_bits(tall, known_rows().with_columns(batch_id=pl.lit(0, dtype=pl.Int64)))
    assert facts["counted_before"]["batches"] == 0


def test_one_symbol_on_two_markets_is_told_apart(server: PostgresServer, connection: psycopg.Connection) -> None:
    drop(connection, "markets")
    fill_paired(connection, "markets", known_rows())
    name = psycopg.sql.Identifier(SCHEMA, "markets")
    connection.execute(psycopg.sql.SQL("ALTER TABLE {} ADD COLUMN market text DEFAULT 'o''ne'").format(name))
    fill_paired(connection, "markets", known_rows().with_columns(pl.col("bid_price") + 1))
    connection.execute(psycopg.sql.SQL("UPDATE {} SET market = 'two' WHERE bid_price > 100.5").format(name))
    changes = {"table__name": [SCHEMA, "markets"], "table__equal": {"ABC": {"market": "o'ne"}}}
    same_bits(extracted(source_of(server, **changes))[0], known_rows())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_feed_sent_twice_counts_once(
    server: PostgresServer, connection: psycopg.Connection, layout: str
) -> None:
    rows = known_rows()
    again = rows.filter(pl.col("ts").dt.hour() == 5)
    drop(connection, "retries")
    fill = fill_paired if layout == "level_columns" else fill_sides
    fill(connection, "retries", rows)
    fill(connection, "retries", again)

    tall, facts = extracted(source_of(server, **{**LAYOUTS[layout], "table__name": [SCHEMA, "retries"]}))

    same_bits(tall, rows)
    assert facts["duplicate_rows"] == again.height * (1 if layout == "level_columns" else 2)


def test_rows_that_contradict_each_other_stay_in_one_order(
    server: PostgresServer, connection: psycopg.Connection
) -> None:
    rows = known_rows()
    other = rows.filter(pl.col("ts").dt.hour() == 5).with_columns(pl.col("bid_quantity") * 2)
    found = []
    for first, second in ((rows, other), (other, rows)):
        drop(connection, "conflicts")
        fill_paired(connection, "conflicts", first)
        fill_paired(connection, "conflicts", second)
        tall, facts = extracted(source_of(server, table__name=[SCHEMA, "conflicts"]))
        assert (tall.height, facts["duplicate_rows"]) == (rows.height + other.height, 0)
        found.append(tall)
    same_bits(*found)


def test_values_at_the_edges_of_their_types_survive(server: PostgresServer, connection: psycopg.Connection) -> None:
    edges = [float("nan"), float("inf"), -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
    rows = known_rows().head(len(edges)).with_columns(pl.Series(PRICES[0], edges), pl.Series(PRICES[3], edges[::-1]))
    drop(connection, "edges")
    fill_paired(connection, "edges", rows)
    tall, _ = extracted(source_of(server, table__name=[SCHEMA, "edges"]))
    for name in PRICES:
        assert tall[name].to_numpy().tobytes() == rows[name].to_numpy().tobytes()
