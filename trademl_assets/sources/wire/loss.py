"""Which errors mean that the connection was lost, and how often and how patiently it is made anew."""

from collections.abc import Callable
from typing import Annotated, Self, TypeVar

import psycopg
from pydantic import Field, model_validator
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters

T = TypeVar("T")

ENDED_BY_SERVER = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
"""Shutdown by an administrator, crash, not yet started, ended when idle, ended when idle in a transaction."""
CONNECTION_CLASS = "08"

_PASSING = (
    "connection refused",
    "connection reset",
    "connection timed out",
    "timeout expired",
    "server closed the connection",
    "could not receive data",
    "could not send data",
    "no route to host",
    "network is unreachable",
    "temporary failure in name resolution",
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
    "too many clients already",
)
"""What libpq or the server says where connecting may succeed later. All else, a wrong password above all, is final:
repeating it could lock the account."""


class ConnectionLostError(SourceError):
    """The connection broke, or none could be made for now."""


class RetryParameters(Parameters):
    """How connections are made anew.

    Attributes:
        attempts: Tries in a row that bring nothing before giving up; a slice that arrives begins a new row.
        first_wait_seconds: Longest wait before the second try; it doubles from try to try, and a random share of it is
            waited.
        longest_wait_seconds: Limit of that doubling.
    """

    attempts: Annotated[int, Field(ge=1, le=100)]
    first_wait_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    longest_wait_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _waits_ascend(self) -> Self:
        if self.longest_wait_seconds < self.first_wait_seconds:
            raise ValueError(f"longest_wait_seconds is below first_wait_seconds {self.first_wait_seconds} -> raise it")
        return self


def is_passing(error: psycopg.Error) -> bool:
    """Whether connecting failed for a reason that passes.

    A name may stand for several addresses: what a server answered on one of them counts, not that another refused.
    """
    pgconn = error.pgconn
    if pgconn is not None and (pgconn.used_password or pgconn.needs_password):
        return False
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return True
    lines = str(error).lower().splitlines()
    answered = [line for line in lines if "fatal:" in line]
    return isinstance(error, psycopg.OperationalError) and (
        all(_says_passing(line) for line in answered) if answered else any(_says_passing(line) for line in lines)
    )


def is_loss(error: psycopg.Error, connection: psycopg.Connection) -> bool:
    """Whether a statement failed because its connection broke, not because of what it says."""
    if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)):
        return False
    return connection.broken or connection.closed or _ended_by_server(error)


def retry_losses(
    work: Callable[[], T], parameters: RetryParameters, on_loss: Callable[[SourceError, float], None]
) -> T:
    """Do `work`, again where the connection was lost.

    Args:
        work: What is done; raises ConnectionLostError where trying again may help.
        parameters: How often and how patiently.
        on_loss: Told of each loss that is followed by another try, and of the seconds until then.

    Raises:
        ConnectionLostError: The last of all tries.
    """

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, SourceError):
            on_loss(error, state.upcoming_sleep)

    retrying = Retrying(
        retry=retry_if_exception_type(ConnectionLostError),
        stop=stop_after_attempt(parameters.attempts),
        wait=wait_random_exponential(multiplier=parameters.first_wait_seconds, max=parameters.longest_wait_seconds),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(work)


def _ended_by_server(error: psycopg.Error) -> bool:
    state = error.sqlstate or ""
    return state in ENDED_BY_SERVER or state.startswith(CONNECTION_CLASS)


def _says_passing(line: str) -> bool:
    return any(phrase in line for phrase in _PASSING)
