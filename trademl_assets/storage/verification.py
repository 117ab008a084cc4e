"""Are the bytes on disk those that were committed? Hashed once per process and version of a file."""

import time
from pathlib import Path

from trademl_assets.storage.durable import hash_file
from trademl_assets.storage.manifest import FileEntry

_SETTLED_NANOSECONDS = 1_000_000_000  # a younger file could still change without a change of its times
_verified: dict[Path, tuple[str, int, int, int, int, int]] = {}


def damage(path: Path, entry: FileEntry) -> str | None:
    """Return what is wrong with a committed file, or None where its bytes are those committed.

    Args:
        path: Where the file lies.
        entry: What the manifest says of it.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        return "is gone"
    identity = (entry.sha256, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if _verified.get(path) == identity:
        return None
    if state.st_size != entry.bytes:
        return f"has {state.st_size} bytes instead of the {entry.bytes} committed"
    digest, _ = hash_file(path)
    if digest != entry.sha256:
        return f"has another hash ({digest[:12]}) than the one committed ({entry.sha256[:12]})"
    if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NANOSECONDS:
        _verified[path] = identity
    return None
