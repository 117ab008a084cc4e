"""Progress and expected remaining time of a loop over partitions, in the log of the run."""

import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

from trademl_assets.foundation.progress import ProgressReporter

K = TypeVar("K")

LOGGER = logging.getLogger("trademl_assets.progress")


def with_progress(what: str, keys: Sequence[K]) -> Iterator[K]:
    """Yield `keys` and log how far the loop is, how fast it goes and how long it will still take.

    Args:
        what: Name shown in the log.
        keys: What is looped over.
    """
    with ProgressReporter(len(keys), what, LOGGER.info) as reporter:
        for key in keys:
            yield key
            reporter.advance()
