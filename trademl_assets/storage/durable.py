"""Durable files: a temporary name in the same folder, written, flushed to disk, renamed, the folder flushed."""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from trademl_assets.foundation.errors import StorageError

TEMPORARY_SUFFIX = ".tmp"
LOCK_FILE = ".lock"
_BLOCK = 1 << 22

failpoint: Callable[[str], None] = lambda _name: None  # noqa: E731 -- a seam: tests replace it to die at a named instant


def write_durably(
    folder: Path, write: Callable[[Path], None], final_name: Callable[[str], str]
) -> tuple[str, str, int]:
    """Write one file so that it is either wholly there under its final name or not there at all.

    Args:
        folder: Existing folder of the file.
        write: Writes the whole file at the temporary path it is given.
        final_name: From the sha256 (hex) of the bytes to the file's name.

    Returns:
        File name, sha256 (hex), size in bytes.

    Raises:
        StorageError: The bytes cannot be written, for example on a full disk.
    """
    temporary = folder / f".{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
    try:
        failpoint("before_write")
        write(temporary)
        failpoint("before_fsync")
        digest, size = hash_file(temporary)
        _flush(temporary)
        name = final_name(digest)
        failpoint("before_replace")
        temporary.replace(folder / name)
        failpoint("after_replace")
        _flush(folder)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else str(error)
        raise StorageError(
            f"cannot write in {folder}: {reason} -> free space or check the folder, then run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return name, digest, size


def hash_file(path: Path) -> tuple[str, int]:
    """Return sha256 (hex) and size of a file."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; a second writer, in this process or another, waits.

    The kernel frees the lock with its holder's death.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
