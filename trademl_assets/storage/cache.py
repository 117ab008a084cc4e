"""What can be made again at any time: groups of partitions, of which those unused for the longest time go first.

A group is the first part of its partitions' keys. Who uses one holds it, so that nobody removes it meanwhile; a killed
holder lets go of it with its death.
"""

import contextlib
import fcntl
import os
import shutil
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.durable import write_error

_HELD = ".held"
"""File of a group that its users lock together, and whose time of change says when it was used last."""


class HeldGroup:
    """A group in use, until it is released or its holder ends; as a context manager until the block ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def release(self) -> None:
        """Let others remove the group."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def hold_group(store: ArtifactStore, asset: str, group: str) -> HeldGroup:
    """Hold a group, which is made where there is none, and note that it is used now.

    Raises:
        StorageError: Its folder cannot be written.
    """
    folder = store.layout.partition_folder(asset, group)
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file = (folder / _HELD).open("ab")
            except FileNotFoundError:  # removed in between
                continue
            fcntl.flock(file, fcntl.LOCK_SH)
            if _is_there(file, folder / _HELD):
                os.utime(file.fileno())
                return HeldGroup(file)
            file.close()
    except OSError as error:
        raise write_error(folder, error) from error


def shrink_cache(store: ArtifactStore, asset: str, most_bytes: int) -> list[str]:
    """Remove groups, those unused for the longest time first, until the rest is not larger than asked for.

    Groups that are held stay, whatever their size.

    Returns:
        The groups that were removed.

    Raises:
        StorageError: One cannot be removed.
    """
    found = sorted(store.layout.asset_folder(asset).glob(f"*/{_HELD}"), key=_last_used)
    sizes = {path.parent: _bytes_below(path.parent) for path in found}
    removed = []
    for path in found:
        if sum(sizes.values()) <= most_bytes:
            break
        if _remove(path):
            removed.append(path.parent.name)
            del sizes[path.parent]
    return removed


def _remove(held: Path) -> bool:
    """Remove a group unless it is in use; tell whether it is gone."""
    try:
        with held.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            shutil.rmtree(held.parent)
    except FileNotFoundError:  # another process removed it
        return True
    except OSError as error:
        raise StorageError(f"{held.parent} cannot be removed: {error} -> check the folder") from error
    return True


def _is_there(file: BinaryIO, path: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _last_used(held: Path) -> tuple[int, str]:
    with contextlib.suppress(FileNotFoundError):
        return held.stat().st_mtime_ns, held.parent.name
    return 0, held.parent.name


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            total += state.st_size if stat.S_ISREG(state.st_mode) else 0
    return total
