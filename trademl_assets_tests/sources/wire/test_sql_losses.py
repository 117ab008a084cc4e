"""A connection that is lost is made anew and the day goes on; nothing else is tried twice."""

import socket
from typing import Any

import polars as pl
import psycopg
import pytest

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.wire.loss import ConnectionLostError, is_passing
from trademl_assets_tests.postgres import PostgresServer
from trademl_assets_tests.sources.wire.proxy import Door, door_to
from trademl_assets_tests.sources.wire.tables import ABC, DAY, LEAD_IN, known_rows, sides_settings, source_of

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trademl_assets'"
OFFSETS = range(10)


def killer(server: PostgresServer, killed: list[int]) -> Any:
    def kill() -> None:
        with server.connect() as other:
            killed.append(len(other.execute(KILL).fetchall()))

    return kill


def through(server: PostgresServer, door: Door, **changes: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    return source_of(server, server__port=door.port, slice_seconds=3_600, **changes).extract_described(
        ABC, DAY, LEAD_IN
    )


@pytest.fixture(scope="module")
def undisturbed(server: PostgresServer) -> tuple[int, dict[str, Any]]:
    """Bytes that the server sends for a day, and the facts."""
    with door_to(server.host, server.port) as door:
        _, facts = through(server, door)
    return door.received, facts


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_backend_killed_at_any_offset_costs_one_more_try(
    server: PostgresServer, undisturbed: tuple[int, dict[str, Any]], offset: int
) -> None:
    total, facts = undisturbed
    killed: list[int] = []
    at = int(total * (offset + 0.5) / len(OFFSETS))
    with door_to(server.host, server.port, at_bytes=at, act=killer(server, killed)) as door:
        tall, resumed = through(server, door)

    assert killed == [1]
    assert tall.equals(known_rows())
    assert len(door.sent) == 2, "one new connection"
    assert resumed == {**facts, "server": resumed["server"], "connections_lost": 1}


@pytest.mark.parametrize("changes", [{"dialect": "greptimedb"}, sides_settings()], ids=["greptimedb", "sides"])
def test_kills_of_other_dialects_and_layouts(server: PostgresServer, changes: dict[str, Any]) -> None:
    killed: list[int] = []
    with door_to(server.host, server.port, at_bytes=300_000, act=killer(server, killed)) as door:
        tall, facts = through(server, door, **changes)
    assert (killed, facts["connections_lost"]) == ([1], 1)
    assert tall.equals(known_rows())


def test_slices_that_arrived_are_not_read_again(
    server: PostgresServer, undisturbed: tuple[int, dict[str, Any]]
) -> None:
    with door_to(server.host, server.port, at_bytes=undisturbed[0] // 2, act=killer(server, [])) as door:
        through(server, door)
    asked = [query for query in door.queries() if "ORDER BY" in query]
    assert len(set(asked)) == 25
    assert len(asked) in {25, 26}, "at most the one that was under way is asked again"


def test_a_connection_lost_in_every_slice_is_still_a_whole_day(server: PostgresServer) -> None:
    """Tries are counted in a row: a slice that arrives starts again from one."""
    killed: list[int] = []

    def rewrite(block: bytes) -> bytes:
        if b"ORDER BY" in block and block not in seen:
            seen.append(block)
            killer(server, killed)()
        return block

    seen: list[bytes] = []
    with door_to(server.host, server.port, rewrite=rewrite) as door:
        tall, facts = through(
            server, door, retry={"attempts": 2, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.02}
        )
    assert tall.equals(known_rows())
    assert facts["connections_lost"] == len(killed) == 25


def test_a_server_that_always_hangs_up_is_given_up(server: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    def rewrite(block: bytes) -> bytes:
        if b"ORDER BY" in block:
            killer(server, [])()
        return block

    with door_to(server.host, server.port, rewrite=rewrite) as door, pytest.raises(ConnectionLostError) as lost:
        through(server, door)
    assert len(door.sent) == 3
    assert "connection lost" in str(lost.value)
    assert len([record for record in caplog.records if "trying again in" in record.message]) == 2


def test_nobody_listening_is_a_passing_reason(server: PostgresServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        source = source_of(server, server__port=unused.getsockname()[1])
        with pytest.raises(ConnectionLostError, match="refused"):
            source.extract(ABC, DAY, LEAD_IN)


@pytest.mark.parametrize(
    "changes",
    [
        {"server__user": "nobody"},
        {"server__database": "nowhere"},
        {"password": "wrong"},
        {"table__level": "nothing"},
        {"table__name": ["nothing"]},
    ],
)
def test_what_stays_wrong_is_tried_once(server: PostgresServer, changes: dict[str, Any]) -> None:
    with door_to(server.host, server.port) as door:
        source = source_of(server, server__port=door.port, **changes)
        with pytest.raises(SourceError) as refusal:
            source.extract(ABC, DAY, LEAD_IN)
    assert not isinstance(refusal.value, ConnectionLostError)
    assert len(door.sent) == 1


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs the server running?', True),
        ("connection timeout expired", True),
        ("server closed the connection unexpectedly", True),
        ('connection to server at "h" failed: FATAL:  the database system is starting up', True),
        ('connection to server at "h" failed: FATAL:  sorry, too many clients already', True),
        ('connection to server at "h" failed: FATAL:  password authentication failed for user "x"', False),
        ('failed: Connection refused\nconnection to "h" failed: FATAL:  password authentication failed', False),
        ('FATAL:  role "x" does not exist', False),
        ("server does not support SSL, but SSL was required", False),
        ("SSL error: certificate verify failed", False),
        ('invalid port number: "x"', False),
    ],
)
def test_only_what_may_pass_is_waited_for(said: str, *, passes: bool) -> None:
    assert is_passing(psycopg.OperationalError(said)) is passes
    assert not is_passing(psycopg.ProgrammingError(said))
