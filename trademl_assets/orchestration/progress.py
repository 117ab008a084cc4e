"""Progress and expected remaining time of a loop over partitions, written to the log at a bounded rate."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

K = TypeVar("K")

LOGGER = logging.getLogger("trademl_assets.progress")
_SECONDS_BETWEEN_LINES = 5.0


def with_progress(what: str, keys: Sequence[K]) -> Iterator[K]:
    """Yield `keys` and log how far the loop is and how long it will still take.

    Args:
        what: Name shown in the log.
        keys: What is looped over.
    """
    started = time.monotonic()
    last_line = started
    for done, key in enumerate(keys):
        now = time.monotonic()
        if done and now - last_line >= _SECONDS_BETWEEN_LINES:
            remaining = (now - started) / done * (len(keys) - done)
            LOGGER.info(
                "%s: %d of %d done, next %s, about %s left", what, done, len(keys), key, readable_seconds(remaining)
            )
            last_line = now
        yield key
    LOGGER.info("%s: %d of %d done in %s", what, len(keys), len(keys), readable_seconds(time.monotonic() - started))


def readable_seconds(seconds: float) -> str:
    """Return a span as `8 s`, `2 min 5 s` or `1 h 3 min`."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 -- seconds of a minute
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004 -- below ten a decimal is worth reading
    if whole < 3600:  # noqa: PLR2004 -- seconds of an hour
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
