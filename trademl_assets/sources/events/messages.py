"""What a capture says, in one form for every venue: a whole book, or absolute changes of some levels."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from trademl_assets.sources.events.book_builder import BookBuilder

Levels = Iterable[tuple[str, str]]


class BookCheck(Protocol):
    """What a message tells about the book it changes."""

    def before(self, book: "BookBuilder") -> str:
        """What contradicts the message in the book before it is applied; empty where nothing does."""
        ...

    def after(self, book: "BookBuilder") -> str:
        """What contradicts the message in the book after it was applied; empty where nothing does."""
        ...


@dataclass(frozen=True, slots=True)
class InitialBook:
    """A whole book.

    Attributes:
        place: Instrument, day, file and line, for messages.
        clock_us: Instant at which it was received, microseconds; None where nobody wrote it down.
        last_update_id: Sequence number up to which changes are contained.
        bids: Price and quantity as written by the venue.
        asks: The same.
        in_stream: Whether it stands in the stream of changes itself: it replaces every book before it and contains
            every change before it. A REST answer does neither.
        keep_best: Levels a side that the venue goes on telling about: deeper ones are forgotten; None keeps all.
        check: What the message tells about the book.
    """

    place: str
    clock_us: int | None
    last_update_id: int
    bids: Levels
    asks: Levels
    in_stream: bool = False
    keep_best: int | None = None
    check: BookCheck | None = None


@dataclass(frozen=True, slots=True)
class DepthDiff:
    """Changes of some levels.

    Attributes:
        place: Instrument, day, file and line, for messages.
        clock_us: Instant on the clock of the capture, microseconds.
        first_update_id: First sequence number contained (`U` of Binance).
        last_update_id: Last sequence number contained (`u` of Binance).
        previous_update_id: Last number of the message before (`pu` of Binance futures); None where not told.
        bids: Price and absolute quantity, 0 removes the level.
        asks: The same.
        check: What the message tells about the book.
    """

    place: str
    clock_us: int
    first_update_id: int
    last_update_id: int
    previous_update_id: int | None
    bids: Levels
    asks: Levels
    check: BookCheck | None = None


Message = InitialBook | DepthDiff
