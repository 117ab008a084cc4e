"""Plays the messages of one capture into a book, in the order of its clock, under a sampler's eyes."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from trademl_assets.foundation.calendar import from_microseconds
from trademl_assets.foundation.errors import SequenceGapError, SourceError
from trademl_assets.sources.events.book_builder import BookBuilder
from trademl_assets.sources.events.book_sampling import BookSampler
from trademl_assets.sources.events.capture_clock import CaptureClock
from trademl_assets.sources.events.continuity import SequenceRule
from trademl_assets.sources.events.messages import DepthDiff, InitialBook
from trademl_assets.sources.events.price_keys import PriceKeys

MOST_PLACES = 20  # named in the facts; the counts are whole


@dataclass(frozen=True)
class BeginPolicy:
    """What happens where a book is unknown.

    Attributes:
        without_initial_book: Refuse a capture without one, or begin with an empty book that the diffs fill.
        warm_up_us: Microseconds for which the diffs fill an empty book before it is handed out.
        on_gap: Refuse a capture whose chain breaks, or restart from its next initial book (from an empty book where
            `without_initial_book` allows that).
        max_diffs_before_book: Most diffs that may wait for an initial book.
    """

    without_initial_book: Literal["refuse", "warm_up"]
    warm_up_us: int
    on_gap: Literal["refuse", "restart"]
    max_diffs_before_book: int


@dataclass
class ReplayFacts:
    """What was met on the way.

    Attributes:
        counts: Number of diffs, of diffs passed over as old, of initial books seen and begun with, of gaps.
        gaps: Place of the first gaps.
        beginnings: How the first known books came about.
    """

    counts: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys(("diffs", "old_diffs", "books_seen", "books_begun", "gaps"), 0))
    )
    gaps: list[str] = field(default_factory=list)
    beginnings: list[dict[str, str]] = field(default_factory=list)


class Replay:
    """Plays messages into a book and shows it to the sampler at every instant on the way.

    Diffs received before the initial book wait for it. A second REST answer is read over while the chain of diffs is
    whole: it says nothing new. A book that stands in the stream replaces the one before it.

    Args:
        rule: How diffs follow one another.
        clock: Checks and steadies the instants.
        sampler: Collects the states.
        keys: Keys of price texts.
        policy: What happens where the book is unknown.
        end_us: Messages from this instant on are of no interest, microseconds.
        origin: Instrument, day and file, for messages.

    Attributes:
        facts: What was met so far.
    """

    def __init__(
        self,
        rule: SequenceRule,
        clock: CaptureClock,
        sampler: BookSampler,
        keys: PriceKeys,
        policy: BeginPolicy,
        *,
        end_us: int,
        origin: str,
    ) -> None:
        self.facts = ReplayFacts()
        self._rule = rule
        self._clock = clock
        self._sampler = sampler
        self._keys = keys
        self._policy = policy
        self._end_us = end_us
        self._origin = origin
        self._book: BookBuilder | None = None
        self._waiting: deque[DepthDiff] = deque(maxlen=policy.max_diffs_before_book + 1)
        self._timeless = False  # the book came without a time, and the diffs that it contains still give it one
        self._partial = False  # the book began empty: an answer would make it whole
        self._warm_us: int | None = None  # until when a book that began empty fills
        self._latest_us: int | None = None

    def run(self, messages: Iterable[InitialBook | DepthDiff]) -> None:
        """Play all messages in the order of the capture, up to the end.

        Raises:
            SequenceGapError: Messages are missing, and the policy refuses that.
            SourceError: No initial book in time, or a message that cannot be trusted.
        """
        for message in messages:
            if message.clock_us is not None:
                clock_us = self._clock.steady(message.clock_us, message.place)
                self._pass_to(clock_us, message)
                if clock_us >= self._end_us:
                    self._latest_us = self._end_us - 1
                    break
                self._latest_us = clock_us
            if isinstance(message, InitialBook):
                self._meet_book(message)
            else:
                self._meet_diff(message)
        else:
            if not self.facts.beginnings and self._policy.without_initial_book == "refuse":
                raise self._no_book()
        if self._latest_us is not None:
            self._sampler.finish(self._latest_us, self._book)

    def _pass_to(self, clock_us: int, message: InitialBook | DepthDiff) -> None:
        """Show the book at every instant before the message."""
        if self._book is None:
            return
        if self._warm_us is not None:
            if clock_us < self._warm_us:
                return
            self._begin(self._warm_us, self._latest_us or clock_us, "warm_up", message.place)
        if self._timeless:
            # The answer has no time of its own, but it was given after every diff that it already contains.
            self._timeless = isinstance(message, DepthDiff) and self._book.contains(message)
            if self._timeless or not self._sampler.knows:
                self._sampler.begin(clock_us, clock_us)
                return
        self._sampler.pass_to(clock_us, self._book)

    def _meet_diff(self, diff: DepthDiff) -> None:
        self.facts.counts["diffs"] += 1
        if self._book is None:
            self._wait(diff)
            return
        if self._partial:
            self._waiting.append(diff)
        try:
            if not self._book.apply(diff):
                self.facts.counts["old_diffs"] += 1
        except SequenceGapError as gap:
            self._count_gap(gap)
            self._sampler.lose(self._now_us(diff), "gap")
            self._book = None
            self._warm_us = None
            self._timeless = False
            self._waiting.clear()
            self._wait(diff)

    def _wait(self, diff: DepthDiff) -> None:
        self._waiting.append(diff)
        if self._policy.without_initial_book == "warm_up":
            clock_us = self._now_us(diff)
            self._sampler.lose(clock_us, "warm_up")
            self._warm_us = clock_us + self._policy.warm_up_us
            self._partial = True
            last = diff.first_update_id - 1 if diff.previous_update_id is None else diff.previous_update_id
            empty = InitialBook(diff.place, clock_us, last, (), ())
            self._book = BookBuilder(empty, self._rule, self._keys, checked=False)
            self._book.moving = True
            self._book.apply(diff)
        elif not self.facts.beginnings:
            self._sampler.lose(self._now_us(diff), "no_book")
            if len(self._waiting) > self._policy.max_diffs_before_book:
                raise self._no_book()

    def _meet_book(self, initial: InitialBook) -> None:
        self.facts.counts["books_seen"] += 1
        if self._book is not None and not self._partial and not initial.in_stream:
            return
        try:
            book = BookBuilder(initial, self._rule, self._keys)
            for diff in () if initial.in_stream else self._waiting:
                if not book.apply(diff):
                    self.facts.counts["old_diffs"] += 1
        except SequenceGapError as gap:
            self._count_gap(gap)
            return
        self._book = book
        self._partial = False
        self._waiting.clear()
        if initial.clock_us is None:
            self._timeless = True
            self._note({"from": "initial_book", "place": initial.place})
        else:
            clock_us = self._now_us(initial)
            self._begin(clock_us, clock_us, "initial_book", initial.place)

    def _now_us(self, message: InitialBook | DepthDiff) -> int:
        """The steadied instant of the message at hand."""
        return self._latest_us if self._latest_us is not None else message.clock_us or 0

    def _begin(self, known_us: int, latest_us: int, how: str, place: str) -> None:
        self._warm_us = None
        self._timeless = False
        self._sampler.begin(known_us, latest_us)
        self._note({"from": how, "place": place, "known_from": from_microseconds(known_us).isoformat()})

    def _note(self, beginning: dict[str, str]) -> None:
        self.facts.counts["books_begun"] += 1
        if len(self.facts.beginnings) < MOST_PLACES:
            self.facts.beginnings.append(beginning)

    def _count_gap(self, gap: SequenceGapError) -> None:
        if self._policy.on_gap == "refuse":
            raise gap
        self.facts.counts["gaps"] += 1
        if len(self.facts.gaps) < MOST_PLACES:
            self.facts.gaps.append(str(gap))

    def _no_book(self) -> SourceError:
        return SourceError(
            f"{self._origin}: no initial book among or before the first {len(self._waiting)} depth diffs -> a capture "
            "needs the REST depth answer taken just after the stream was opened; to begin without one, set "
            "without_initial_book: warm_up"
        )
