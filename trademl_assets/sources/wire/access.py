"""How a database server is reached: address, credentials, encryption, time limits."""

import ipaddress
from typing import Annotated, Literal, Self

import psycopg
from pydantic import Field, model_validator

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.parameters import Parameters, SecretReference

POOLER_SUFFIX = "-pooler"
MILLISECONDS_PER_SECOND = 1000

Seconds = Annotated[int, Field(ge=1, le=86_400)]


class ServerAccess(Parameters):
    """A server that speaks the PostgreSQL wire protocol.

    Attributes:
        host: Name or address of the server, or the folder of its socket.
        port: GreptimeDB listens for this protocol on 4003, PostgreSQL on 5432.
        database: Database to connect to.
        user: A user who may only read.
        password: Reference to the environment variable that holds the password, null where the server asks for none.
        tls: `verify-full` checks the server's certificate and name, `require` only encrypts, `off` is for this machine.
        ca_file: Certificates that `verify-full` trusts; null trusts those of the operating system.
        connect_timeout_seconds: Longest wait for a connection.
        statement_timeout_seconds: Longest that the server may work on one statement.
        keepalive_idle_seconds: Silence after which the connection is probed.
        keepalive_interval_seconds: Time between two probes.
        keepalive_probes: Unanswered probes after which the connection counts as lost.
    """

    host: EnvironmentText
    port: Annotated[int, Field(ge=1, le=65_535)]
    database: EnvironmentText
    user: EnvironmentText
    password: SecretReference | None
    tls: Literal["verify-full", "require", "off"]
    ca_file: EnvironmentText | None
    connect_timeout_seconds: Seconds
    statement_timeout_seconds: Seconds
    keepalive_idle_seconds: Seconds
    keepalive_interval_seconds: Seconds
    keepalive_probes: Annotated[int, Field(ge=1, le=100)]

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if not self.host or any(letter in self.host for letter in ", \t\n\x00"):
            raise ValueError(f"host {self.host!r} is not one server -> name exactly one")
        if self.tls == "off" and not is_this_machine(self.host):
            raise ValueError(
                f"tls is off, but {self.host} is another machine: password and data would cross the network in clear "
                "-> set tls to verify-full, or to require where the server's certificate cannot be checked"
            )
        if self.ca_file is not None and self.tls != "verify-full":
            raise ValueError(f"ca_file is given, but tls is {self.tls} -> set tls to verify-full, or ca_file to null")
        if self.host.split(".")[0].endswith(POOLER_SUFFIX):
            raise ValueError(
                f"host {self.host} is Neon's connection pooler: it hands every transaction to any session, so the time "
                "zone and the time limits set once would be lost -> use the direct host, without "
                f"{POOLER_SUFFIX} in its name"
            )
        return self

    @property
    def place(self) -> str:
        """Host, port and database, for messages and facts."""
        return f"{self.host}:{self.port}/{self.database}"


def is_this_machine(host: str) -> bool:
    """Whether a host is reached without a network: a loopback address, `localhost`, or the folder of a socket."""
    if host == "localhost" or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secret_of(access: ServerAccess) -> str:
    """The password, empty where there is none.

    Raises:
        ConfigError: The variable that holds it is not set.
    """
    return access.password.resolve().get_secret_value() if access.password else ""


def connect(access: ServerAccess) -> psycopg.Connection:
    """Open a connection that begins no transaction by itself and prepares no statement.

    Args:
        access: Where to and how.

    Raises:
        psycopg.Error: There is no connection.
        ConfigError: The variable that holds the password is not set.
    """
    verified = access.tls == "verify-full"
    return psycopg.connect(
        host=access.host,
        hostaddr="",  # what PGHOSTADDR names would otherwise be connected to, under the name that is checked
        port=access.port,
        dbname=access.database,
        user=access.user,
        password=secret_of(access) or None,
        sslmode="disable" if access.tls == "off" else access.tls,
        sslrootcert=(access.ca_file or "system") if verified else None,
        gssencmode="disable",
        application_name="trademl_assets",
        client_encoding="UTF8",
        connect_timeout=access.connect_timeout_seconds,
        keepalives=1,
        keepalives_idle=access.keepalive_idle_seconds,
        keepalives_interval=access.keepalive_interval_seconds,
        keepalives_count=access.keepalive_probes,
        tcp_user_timeout=MILLISECONDS_PER_SECOND
        * (access.keepalive_idle_seconds + access.keepalive_interval_seconds * access.keepalive_probes),
        autocommit=True,
        prepare_threshold=None,
    )
