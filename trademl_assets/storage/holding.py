"""Folders that anybody may remove while nobody uses them: who uses one holds it, and lets go of it with its death."""

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.durable import write_error

HELD_FILE = ".held"
"""File of a folder that its users lock together, and whose time of change says when it was used last."""


class HeldFolder:
    """A folder in use, until it is released or its holder ends; as a context manager until the block ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def release(self) -> None:
        """Let others remove the folder."""
        _let_go(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def hold_folder(folder: Path) -> HeldFolder:
    """Hold a folder, which is made where there is none, and note that it is used now; others may hold it as well.

    Waits while somebody removes it, and makes it anew then.

    Raises:
        StorageError: It cannot be written.
    """
    try:
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                file = (folder / HELD_FILE).open("ab")
            except FileNotFoundError:  # removed in between
                continue
            except FileExistsError:  # so it was, between two looks of pathlib, unless something else is in the way
                if _is_in_the_way(folder):
                    raise
                continue
            fcntl.flock(file, fcntl.LOCK_SH)
            if _is_there(file, folder / HELD_FILE):
                os.utime(file.fileno())
                return HeldFolder(file)
            _let_go(file)
    except OSError as error:
        raise write_error(folder, error) from error


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Hold an existing folder alone; yield whether it is so, or somebody else uses it or it is gone."""
    try:
        file = (folder / HELD_FILE).open("ab")
    except FileNotFoundError:
        yield False
        return
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield _is_there(file, folder / HELD_FILE)  # else it was removed, and perhaps made anew, in between
    finally:
        _let_go(file)


def remove_unheld(folder: Path, *, unless: str | None = None) -> bool:
    """Remove a folder that nobody uses; tell whether it is gone.

    Its content goes before the file that is locked, so that whoever wants the folder meanwhile waits, and finds
    nothing of what was. After a kill in between the rest can be removed in the same way.

    Args:
        folder: The folder; nothing happens where there is none.
        unless: File that keeps it from being removed, as long as it lies in it.

    Raises:
        StorageError: It cannot be removed.
    """
    try:
        with claimed(folder) as alone:
            if not alone or (unless is not None and (folder / unless).exists()):
                return not folder.exists()
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != HELD_FILE:
                    path.unlink(missing_ok=True)
            (folder / HELD_FILE).unlink()
            with contextlib.suppress(OSError):  # of somebody who holds it anew already
                folder.rmdir()
            return not folder.exists()
    except OSError as error:
        raise StorageError(f"{folder} cannot be removed: {error} -> check the folder") from error


def _is_in_the_way(folder: Path) -> bool:
    """Tell whether there is something of that name that is no folder."""
    with contextlib.suppress(FileNotFoundError):
        return not stat.S_ISDIR(folder.lstat().st_mode)
    return False


def _let_go(file: BinaryIO) -> None:
    if not file.closed:
        fcntl.flock(file, fcntl.LOCK_UN)  # closing alone would leave it to processes that were forked meanwhile
        file.close()


def _is_there(file: BinaryIO, path: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
