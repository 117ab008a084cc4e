"""Progress at a bounded rate, written to whatever takes a line, so that a run's own log can show it."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

SECONDS_BETWEEN_LINES = 5.0
_MINUTE, _HOUR = 60, 3600


def readable_seconds(seconds: float) -> str:
    """Return a span as `8.2 s`, `45 s`, `2 min 5 s` or `1 h 3 min`."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s" if whole < 10 else f"{whole} s"  # noqa: PLR2004 -- below ten a decimal is worth reading
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


class ProgressReporter:
    """Says how far a piece of work is, how fast it goes and how long it will still take.

    Lines come at most every `every_seconds`, and one when the work is complete. As a context manager it also says where
    work broke off.

    Args:
        total: Number of units of work, not negative.
        label: What is worked on.
        log: Takes a line.
        every_seconds: Least time between two lines.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        total: int,
        label: str,
        log: Callable[[str], None],
        *,
        every_seconds: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.done = 0
        self._label = label
        self._log = log
        self._every = every_seconds
        self._clock = clock
        self._started = self._last_line = clock()

    def advance(self, units: int = 1) -> None:
        """Count `units` as done; write a line if it is time, or if all is done."""
        was_complete = self.done >= self.total
        self.done += units
        now = self._clock()
        if self.done >= self.total and not was_complete:
            self._log(f"{self._state()} in {readable_seconds(now - self._started)}{self._rate(now)}")
        elif now - self._last_line >= self._every:
            self._log(f"{self._state()}{self._rate(now)}{self._remaining(now)}")
        else:
            return
        self._last_line = now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            now = self._clock()
            self._log(f"{self._state()}, broken off after {readable_seconds(now - self._started)}: {kind.__name__}")

    def _state(self) -> str:
        return f"{self._label}: {self.done} of {self.total}"

    def _rate(self, now: float) -> str:
        elapsed = now - self._started
        if elapsed <= 0 or not self.done:
            return ""
        rate = self.done / elapsed
        return f", {rate:,.1f}/s" if rate >= 1 else f", {readable_seconds(1 / rate)} each"

    def _remaining(self, now: float) -> str:
        if not self.done or self.done >= self.total:
            return ""
        return f", about {readable_seconds((now - self._started) / self.done * (self.total - self.done))} left"
