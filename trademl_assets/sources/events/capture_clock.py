"""The clock of a capture, made to never step back."""

from trademl_assets.foundation.calendar import from_microseconds
from trademl_assets.foundation.errors import SourceError


class CaptureClock:
    """Checks and steadies the instants of a capture's messages.

    Args:
        first_us: First instant that a message may have, microseconds.
        end_us: First instant that it may no longer have.
        max_regress_us: Furthest step back that is read as standing still.
    """

    def __init__(self, first_us: int, end_us: int, max_regress_us: int) -> None:
        self._first_us = first_us
        self._end_us = end_us
        self._max_regress_us = max_regress_us
        self._latest_us = first_us

    def steady(self, clock_us: int, place: str) -> int:
        """The instant of a message: its own, or the latest seen where the clock stepped back a little.

        Raises:
            SourceError: The instant lies outside the capture's days, or too far back.
        """
        if clock_us < self._latest_us - self._max_regress_us or not self._first_us <= clock_us < self._end_us:
            if self._first_us <= clock_us < self._end_us:
                raise SourceError(
                    f"{place}: the clock steps back by {(self._latest_us - clock_us) / 1000:.3f} ms, allowed are "
                    f"{self._max_regress_us / 1000:.0f} ms -> sort or cut the capture"
                )
            raise SourceError(
                f"{place}: instant {clock_us} microseconds lies outside the capture's days, "
                f"{from_microseconds(self._first_us)} to {from_microseconds(self._end_us)} "
                "-> check first_day and last_day of the capture, and the unit of its clock"
            )
        self._latest_us = max(self._latest_us, clock_us)
        return self._latest_us
