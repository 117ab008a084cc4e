"""A real PostgreSQL: the one that TEST_PG_DSN names, else one started here from the system's programs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

DSN_VARIABLE = "TEST_PG_DSN"
PROGRAMS = Path("/usr/lib/postgresql")
SUPERUSER = "trademl_test"
SPECIAL_CHARACTERS = 'it\'s \\ a %40 "päss" word@/:?#&= {}$HOME'
START_SECONDS = 30.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "max_connections": "20",
    "timezone": "Asia/Kathmandu",
}
"""Not durable, and in an odd time zone, which no extraction may notice."""


class NoServerError(Exception):
    """There is no PostgreSQL here; the message says what is missing."""


@dataclass(frozen=True)
class PostgresServer:
    """A server and a superuser of it.

    Attributes:
        host: Address.
        port: Port.
        database: Database.
        user: Name of the superuser.
        password: Password of the superuser.
        certificate: The server's own certificate where it offers TLS.
    """

    host: str
    port: int
    database: str
    user: str
    password: str
    certificate: Path | None

    def connect(self) -> psycopg.Connection:
        """Open a connection that commits every statement."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=self.user,
            password=self.password,
            autocommit=True,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL, shared by all tests of a process."""
    try:
        with running_server() as server:
            yield server
    except NoServerError as reason:
        pytest.skip(str(reason))


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """The server that TEST_PG_DSN names, else one that runs until the context ends.

    Raises:
        NoServerError: Neither is to be had.
    """
    if dsn := os.environ.get(DSN_VARIABLE, ""):
        yield _named(dsn)
        return
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise NoServerError(f"no PostgreSQL server under {PROGRAMS}; install one, or name one in {DSN_VARIABLE}")
    account = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="trademl_postgres_"))
    try:
        (folder / "password").write_text(SPECIAL_CHARACTERS, encoding="utf-8")
        if account:
            for path in (folder, folder / "password"):
                shutil.chown(path, account)
        with _started(found[-1].parent, folder, account) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(programs: Path, folder: Path, account: str | None) -> Iterator[PostgresServer]:
    made = [programs / "initdb", "-D", folder / "data", "-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8"]
    command = [*made, "--locale=C", "--no-sync", f"--pwfile={folder / 'password'}"]
    subprocess.run(command, user=account, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    certificate = _certificate(folder / "data", account)
    port = _free_port()
    settings = {**SETTINGS, "port": str(port), "ssl": "on" if certificate else "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *options], user=account, cwd=folder, stdout=log, stderr=log
        )
    server = PostgresServer("127.0.0.1", port, "postgres", SUPERUSER, SPECIAL_CHARACTERS, certificate)
    try:
        _wait_for(server, process, folder / "log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_SECONDS)


def _certificate(folder: Path, account: str | None) -> Path | None:
    """A certificate of the server's own, in its folder; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", folder / "server.key", "-out", folder / "server.crt"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", *kind, *names, *files], user=account, check=True, capture_output=True)
    return folder / "server.crt"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise NoServerError(f"PostgreSQL does not start: {log.read_text()[-500:]}") from None
            time.sleep(0.05)
        else:
            return


def _named(dsn: str) -> PostgresServer:
    known = conninfo_to_dict(dsn)
    return PostgresServer(
        host=str(known.get("host", "127.0.0.1")),
        port=int(known.get("port") or 5432),
        database=str(known.get("dbname", "postgres")),
        user=str(known.get("user", "postgres")),
        password=str(known.get("password", "")),
        certificate=None,
    )
