"""Memory that a process may still take of its machine, within the bounds of its container."""

import os
from collections.abc import Iterator
from pathlib import Path

_KILOBYTE = 1024


def free_host_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that a process may take without pushing anything but the page cache out of memory.

    That is what Linux calls available, or less where a control group (a container, a unit of systemd) allows less.
    Systems that do not say what is available tell the memory that they have.

    Args:
        root: Where the system's files `proc` and `sys` lie.
    """
    return max(0, min([_available(root), *_headrooms(root)]))


def _available(root: Path) -> int:
    meminfo = root / "proc/meminfo"
    if meminfo.is_file():
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * _KILOBYTE
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _headrooms(root: Path) -> Iterator[int]:
    """Yield what each control group above this process leaves: its bound less its use, the page cache left out."""
    stated = root / "proc/self/cgroup"
    for line in stated.read_text("ascii").splitlines() if stated.is_file() else ():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            names = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        mounted, bound, used, cached = root / names[0], *names[1:]
        own = mounted / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(mounted) and (folder / bound).is_file():
                most = (folder / bound).read_text("ascii").strip()
                if most != "max":
                    yield int(most) - int((folder / used).read_text("ascii")) + _counted(folder / "memory.stat", cached)


def _counted(path: Path, name: str) -> int:
    for line in path.read_text("ascii").splitlines():
        if line.split()[:1] == [name]:
            return int(line.split()[1])
    return 0
