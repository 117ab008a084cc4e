"""What can be made again at any time: groups of partitions, of which those unused for the longest time go first.

A group is the first part of its partitions' keys. Who uses one holds it, so that nobody removes it meanwhile; a killed
holder lets go of it with its death.
"""

import contextlib
import stat
from pathlib import Path

from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.holding import HELD_FILE, HeldFolder, hold_folder, remove_unheld

HeldGroup = HeldFolder


def hold_group(store: ArtifactStore, asset: str, group: str) -> HeldGroup:
    """Hold a group, which is made where there is none, and note that it is used now.

    Raises:
        StorageError: Its folder cannot be written.
    """
    return hold_folder(store.layout.partition_folder(asset, group))


def shrink_cache(store: ArtifactStore, asset: str, most_bytes: int) -> list[str]:
    """Remove groups, those unused for the longest time first, until the rest is not larger than asked for.

    Groups that are held stay, whatever their size.

    Returns:
        The groups that were removed.

    Raises:
        StorageError: One cannot be removed.
    """
    found = sorted(store.layout.asset_folder(asset).glob(f"*/{HELD_FILE}"), key=_last_used)
    sizes = {path.parent: _bytes_below(path.parent) for path in found}
    removed = []
    for path in found:
        if sum(sizes.values()) <= most_bytes:
            break
        if remove_unheld(path.parent):
            removed.append(path.parent.name)
            del sizes[path.parent]
    return removed


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
