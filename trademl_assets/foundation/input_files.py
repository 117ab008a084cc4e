"""Which files outside the platform something was made from, so that it can be told when one of them has changed.

Whoever opens such a file notes it; whoever makes something collects what was noted meanwhile.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

InputFiles = dict[str, list[int]]
"""By absolute path: size in bytes and time of the last change in nanoseconds; nothing where there was no file."""

_NOTED: ContextVar[InputFiles | None] = ContextVar("noted input files", default=None)


@contextmanager
def noting_inputs() -> Iterator[InputFiles]:
    """Collect the files that are noted within the block by its own thread."""
    noted: InputFiles = {}
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note_input(path: Path) -> None:
    """Note a file before it is read, or looked for in vain."""
    noted = _NOTED.get()
    if noted is not None:
        noted.setdefault(str(path.absolute()), _state(path))


def changed_inputs(noted: Mapping[str, list[int]]) -> Iterator[str]:
    """Yield the paths of files that are there with another size or time than noted, or were not there.

    One that is gone has not changed: what was made of it stands, and could not be made again.
    """
    for path, before in noted.items():
        now = _state(Path(path))
        if now and now != before:
            yield path


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
