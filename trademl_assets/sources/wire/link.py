"""A connection to the server that is made anew where it was lost."""

import logging
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from psycopg import errors
from psycopg.sql import Composed

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.progress import readable_seconds
from trademl_assets.sources.wire.access import MILLISECONDS_PER_SECOND, ServerAccess, connect, secret_of
from trademl_assets.sources.wire.loss import ConnectionLostError, RetryParameters, is_loss, is_passing, retry_losses
from trademl_assets.sources.wire.statements import Statements

LOGGER = logging.getLogger(__name__)
T = TypeVar("T")

_REMEDIES: Sequence[tuple[type[psycopg.Error], str]] = (
    (errors.UndefinedTable, "check table.name and the user's rights"),
    (errors.UndefinedColumn, "check the columns under table"),
    (errors.InsufficientPrivilege, "let the user read the table"),
    (errors.QueryCanceled, "shorten slice_seconds, or raise statement_timeout_seconds"),
)
_HIDDEN = "***"


class Link:
    """At most one connection at a time, opened when it is first needed.

    Args:
        access: The server.
        retry: How connections are made anew.
        statements: What a new connection is set to.
        origin: Instrument, day and table, for messages.

    Attributes:
        connections: Connections made so far; a change tells that whatever the last one held is gone.
        losses: Times that something was tried again.
    """

    def __init__(self, access: ServerAccess, retry: RetryParameters, statements: Statements, origin: str) -> None:
        self._access = access
        self._retry = retry
        self._statements = statements
        self._origin = origin
        self._connection: psycopg.Connection | None = None
        self.connections = 0
        self.losses = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the next piece of work gets a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Do a piece of work on the connection, from its beginning on a new one where the connection was lost.

        Raises:
            ConnectionLostError: The connection was lost as often as configured.
            SourceError: The server cannot be entered, or refuses a statement.
        """
        return retry_losses(lambda: self._once(work), self._retry, self._tell)

    def refuses(self, work: Callable[[psycopg.Connection], Any]) -> str:
        """Do a piece of work that the server may not know.

        Returns:
            What the server said against it, or what is wrong with its answer; empty where it did the work.

        Raises:
            SourceError: As `run`; what is wrong is not the kind of the statement.
        """

        def attempt(connection: psycopg.Connection) -> str:
            try:
                work(connection)
            except SourceError as error:
                return str(error)
            except psycopg.Error as error:
                if is_loss(error, connection) or isinstance(error, psycopg.OperationalError):
                    raise
                return _first_line(self._without_secret(str(error)))
            return ""

        return self.run(attempt)

    def _once(self, work: Callable[[psycopg.Connection], T]) -> T:
        connection = self._connection or self._open()
        try:
            return work(connection)
        except psycopg.Error as error:
            lost = is_loss(error, connection)  # asked before closing makes every connection look lost
            self.close()
            raise self._explained(error, lost=lost) from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> psycopg.Connection:
        try:
            connection = connect(self._access)
        except psycopg.Error as error:
            raise self._explained(error, lost=is_passing(error), connecting=True) from None
        self._connection = connection
        self.connections += 1
        try:
            execute_all(
                connection, self._statements.session(self._access.statement_timeout_seconds * MILLISECONDS_PER_SECOND)
            )
        except psycopg.Error as error:
            lost = is_loss(error, connection)
            self.close()
            raise self._explained(error, lost=lost) from None
        return connection

    def _explained(self, error: psycopg.Error, *, lost: bool, connecting: bool = False) -> SourceError:
        """The error in our words, without the chain of the driver's, which might repeat what was sent."""
        said = _first_line(self._without_secret(str(error)))
        where = f"{self._origin}, server {self._access.place}"
        if lost:
            return ConnectionLostError(f"{where}: connection lost ({said}) -> check the server and the network")
        if connecting:
            return SourceError(f"{where}: no connection ({said}) -> check host, port, database, user, password and tls")
        remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), "check the section table")
        return SourceError(f"{where}: {said} -> {remedy}")

    def _without_secret(self, text: str) -> str:
        secret = secret_of(self._access)
        return text.replace(secret, _HIDDEN) if secret else text

    def _tell(self, error: SourceError, seconds: float) -> None:
        self.losses += 1
        LOGGER.warning("%s; trying again in %s", error, readable_seconds(seconds))


def execute_all(connection: psycopg.Connection, statements: Iterable[Composed]) -> None:
    """Execute statements whose results do not matter."""
    for statement in statements:
        connection.execute(statement)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
