"""Dagster's embedded history, held open while a drive writes it.

Dagster opens and closes its SQLite files for every single event; each time the last connection closes, SQLite moves the
write-ahead log into the file, which costs more than the event. One idle connection a file, kept while a drive runs,
spares that; and with it a commit need not wait for the disk. A killed process loses nothing: the next one that opens a
file finds the log. A power cut may lose the last events of the history, never a partition, whose manifest is what
counts.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine


@contextmanager
def held_open() -> Iterator[dict[str, sqlite3.Connection]]:
    """Hold every SQLite file in write-ahead mode open from its first use to the end of the block.

    Yields:
        The idle connections by file.
    """
    held: dict[str, sqlite3.Connection] = {}
    with ExitStack() as stack:

        def hold(connection: Any, _record: Any) -> None:
            if not isinstance(connection, sqlite3.Connection) or not _has_log(connection):
                return
            connection.execute("PRAGMA synchronous = NORMAL")
            file = _file_of(connection)
            if file and file not in held:
                held[file] = stack.enter_context(closing(sqlite3.connect(file, check_same_thread=False)))
                held[file].execute("SELECT count(*) FROM sqlite_master").fetchone()

        event.listen(Engine, "connect", hold)
        stack.callback(event.remove, Engine, "connect", hold)
        yield held


def _has_log(connection: sqlite3.Connection) -> bool:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"


def _file_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2])
