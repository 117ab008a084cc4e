"""Fixtures of the SQL source: a real server with tables of known rows."""

from collections.abc import Iterator

import psycopg
import pytest

from trademl_assets_tests.postgres import PostgresServer, postgres  # noqa: F401 -- a fixture
from trademl_assets_tests.sources.wire.tables import create_tables


@pytest.fixture(scope="session")
def server(postgres: PostgresServer) -> PostgresServer:  # noqa: F811 -- asks for the fixture
    """The server, with the known tables in it."""
    with postgres.connect() as connection:
        create_tables(connection)
    return postgres


@pytest.fixture
def connection(server: PostgresServer) -> Iterator[psycopg.Connection]:
    """A superuser's connection to change tables by."""
    with server.connect() as opened:
        yield opened
