"""Plays the messages of one capture into a book, in the order of its clock, under a sampler's eyes."""

from collections.abc import Iterable, Iterator

from trademl_assets.foundation.calendar import from_microseconds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.book_builder import BookBuilder, DepthDiff, InitialBook, Market
from trademl_assets.sources.book_sampling import BookSampler


class CaptureClock:
    """The clock of a capture, made to never step back.

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


def replay(
    messages: Iterable[InitialBook | DepthDiff],
    market: Market,
    clock: CaptureClock,
    sampler: BookSampler,
    *,
    end_us: int,
    max_diffs_before_book: int,
    origin: str,
) -> None:
    """Play messages into a book and show it to the sampler at every instant on the way.

    Diffs received before the initial book wait for it. A second initial book is read over: while the chain of diffs
    is whole, it says nothing new. Reading stops behind `end_us`.

    Args:
        messages: In the order of the capture.
        market: Chooses the sequence rule.
        clock: Checks and steadies the instants.
        sampler: Collects the states.
        end_us: Messages from this instant on are of no interest, microseconds.
        max_diffs_before_book: Most diffs that may wait.
        origin: Instrument, day and file, for messages.

    Raises:
        SequenceGapError: Messages are missing.
        SourceError: No initial book in time, or a message that cannot be trusted.
    """
    stream = iter(messages)
    initial, waiting = _initial_book(stream, clock, max_diffs_before_book, origin)
    book = BookBuilder(initial, market)
    if initial.clock_us is not None:
        sampler.begin(clock.steady(initial.clock_us, initial.place))
    for diff in waiting:
        book.apply(diff)
    for message in stream:
        if isinstance(message, InitialBook):
            continue
        clock_us = clock.steady(message.clock_us, message.place)
        if initial.clock_us is None and not book.moving and book.contains(message):
            # The answer has no time of its own, but it was given after every diff that it already contains.
            sampler.begin(clock_us)
        else:
            sampler.pass_to(clock_us, book)
        if clock_us >= end_us:
            return
        book.apply(message)
    sampler.finish(book)


def _initial_book(
    stream: Iterator[InitialBook | DepthDiff], clock: CaptureClock, max_diffs: int, origin: str
) -> tuple[InitialBook, list[DepthDiff]]:
    waiting: list[DepthDiff] = []
    for message in stream:
        if isinstance(message, InitialBook):
            return message, waiting
        clock.steady(message.clock_us, message.place)
        waiting.append(message)
        if len(waiting) > max_diffs:
            break
    raise SourceError(
        f"{origin}: no initial book among or before the first {len(waiting)} depth diffs "
        "-> a capture needs the REST depth answer taken just after the stream was opened"
    )
