"""Durable files: a temporary name in the same folder, written, flushed to disk, renamed, the folder flushed."""

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from trademl_assets.foundation.errors import StorageError

TEMPORARY_SUFFIX = ".tmp"
_BLOCK = 1 << 22

# A panic of polars derives from BaseException alone.
WRITE_FAILURES = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException)

failpoint: Callable[[str], None] = lambda _name: None  # noqa: E731 -- a seam: tests replace it to die at a named instant


class HashingFile(io.RawIOBase):
    """A new file that hashes what it is given while writing it.

    The hash is that of the bytes meant, not of those that a failing disk gives back.

    Args:
        path: File to make.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("xb", buffering=0)
        self._digest = hashlib.sha256()
        self._size = 0
        self.failure: OSError | None = None

    def writable(self) -> bool:
        """Tell that it takes bytes."""
        return True

    def write(self, data: Any) -> int:
        """Write all of `data`, a buffer; return its size in bytes.

        Raises:
            OSError: The disk takes no more; kept in `failure`, because libraries that write here may change it.
        """
        view = memoryview(data).cast("B")
        try:
            for start in range(0, len(view), _BLOCK):
                block = view[start : start + _BLOCK]
                failpoint("mid_write")
                self._digest.update(block)
                written = 0
                while written < len(block):
                    written += self._file.write(block[written:])
        except OSError as error:
            self.failure = error
            raise
        self._size += len(view)
        return len(view)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._size

    def finish(self) -> tuple[str, int]:
        """Flush to disk and close; return sha256 (hex) and size in bytes."""
        failpoint("before_fsync")
        os.fsync(self._file.fileno())
        self.close()
        return self._digest.hexdigest(), self._size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def stream_durably(
    folder: Path, write: Callable[[HashingFile], None], final_name: Callable[[str], str]
) -> tuple[str, str, int]:
    """Write one file, hashed on its way, so that it is either wholly there under its final name or not at all.

    Args:
        folder: Existing folder of the file.
        write: Writes the whole file into what it is given.
        final_name: From the sha256 (hex) of the bytes to the file's name.

    Returns:
        File name, sha256 (hex), size in bytes.

    Raises:
        StorageError: The bytes cannot be written, for example on a full disk.
    """
    with _temporary(folder) as temporary:
        failpoint("before_write")
        with HashingFile(temporary) as file:
            try:
                write(file)
            except WRITE_FAILURES:
                if file.failure is not None:
                    raise file.failure from None
                raise
            digest, size = file.finish()
        name = final_name(digest)
        _publish(temporary, folder / name)
    return name, digest, size


def write_durably(
    folder: Path, write: Callable[[Path], None], final_name: Callable[[str], str]
) -> tuple[str, str, int]:
    """Do as `stream_durably` for libraries that write to a path only; the file is read once more for its hash.

    Args:
        folder: Existing folder of the file.
        write: Writes the whole file at the temporary path it is given.
        final_name: From the sha256 (hex) of the bytes to the file's name.

    Returns:
        File name, sha256 (hex), size in bytes.

    Raises:
        StorageError: The bytes cannot be written, for example on a full disk.
    """
    with _temporary(folder) as temporary:
        failpoint("before_write")
        write(temporary)
        failpoint("before_fsync")
        digest, size = hash_file(temporary)
        flush(temporary)
        name = final_name(digest)
        _publish(temporary, folder / name)
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


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, so that they too outlive a loss of power."""
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        flush(path.parent)


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(folder: Path, error: BaseException) -> StorageError:
    """Return the typed error for a failure to write in `folder`."""
    reason = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else str(error)
    return StorageError(f"cannot write in {folder}: {reason} -> free space or check the folder, then run again")


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    path = folder / f".{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
    try:
        yield path
    except WRITE_FAILURES as error:
        raise write_error(folder, error) from error
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _publish(temporary: Path, target: Path) -> None:
    failpoint("before_replace")
    temporary.replace(target)
    failpoint("after_replace")
    flush(target.parent)
