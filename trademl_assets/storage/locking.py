"""One writer a folder: a lock that the kernel frees with its holder's death."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.durable import make_folder, write_error

LOCK_FILE = ".lock"
_held = threading.local()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; a second writer, in this process or another, waits.

    Raises:
        StorageError: The folder cannot be made or locked, or this thread holds its lock already and would wait for
            itself.
    """
    held: set[Path] = _held.__dict__.setdefault("folders", set())
    if folder in held:
        raise StorageError(f"{folder} is already open for writing here -> finish that version first")
    descriptor = _acquire(folder, fcntl.LOCK_EX)
    held.add(folder)
    try:
        yield
    finally:
        held.discard(folder)
        _release(descriptor)


@contextlib.contextmanager
def locked_if_free(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock unless a writer has it; yield whether it is held."""
    try:
        descriptor = _acquire(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        _release(descriptor)


def _acquire(folder: Path, operation: int) -> int:
    try:
        make_folder(folder)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _release(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it to processes that were forked meanwhile
    os.close(descriptor)
