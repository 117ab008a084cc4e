"""A true book that moves, cut into messages at random: what every format's capture is written from."""

from dataclasses import dataclass, replace
from datetime import date

from hypothesis import strategies as st

from trademl_assets.foundation.calendar import day_start, to_microseconds

DAY = date(2024, 3, 5)
DAY_MS = to_microseconds(day_start(DAY)) // 1000
BID_PRICES = ("99.50", "99.00", "98.75", "98.00", "0.50")
ASK_PRICES = ("100.50", "101.00", "101.25", "102.00", "9999.75")
QUANTITIES = ("0", "0", "1.5", "2", "0.00000003", "30.25")
Levels = dict[str, str]


@dataclass(frozen=True)
class Update:
    """What one message tells, and the whole book after it.

    Attributes:
        time_ms: Instant after midnight.
        first: Number of the first change contained.
        last: Number of the last one.
        previous: Number of the last change before.
        bids: New quantity by price, "0" removes.
        asks: The same.
        bids_after: The whole side.
        asks_after: The same.
    """

    time_ms: int
    first: int
    last: int
    previous: int
    bids: Levels
    asks: Levels
    bids_after: Levels
    asks_after: Levels


@dataclass(frozen=True)
class Evolution:
    """A capture that is not written down yet.

    Attributes:
        start: The whole book at the beginning; its changes are all of its levels.
        updates: In the order of time.
    """

    start: Update
    updates: tuple[Update, ...]

    def without(self, index: int) -> "Evolution":
        return replace(self, updates=self.updates[:index] + self.updates[index + 1 :])

    def repeating(self, index: int) -> "Evolution":
        return replace(self, updates=self.updates[: index + 1] + self.updates[index:])

    def swapping(self, index: int) -> "Evolution":
        """The message and the next change places; the clock goes on as before."""
        one, other = self.updates[index : index + 2]
        swapped = (replace(other, time_ms=one.time_ms), replace(one, time_ms=other.time_ms))
        return replace(self, updates=self.updates[:index] + swapped + self.updates[index + 2 :])

    def until(self, count: int) -> "Evolution":
        return replace(self, updates=self.updates[:count])

    def changed_from(self, count: int) -> "Evolution":
        """The same messages, in which every new quantity from some message on is another."""
        other = {text: "0" if text == "77.5" else "77.5" for text in (*QUANTITIES, "77.5")}

        def changed(update: Update) -> Update:
            levels = [{price: other[text] for price, text in side.items()} for side in (update.bids, update.asks)]
            return replace(update, bids=levels[0], asks=levels[1])

        return replace(self, updates=self.updates[:count] + tuple(changed(update) for update in self.updates[count:]))


Book = tuple[list[tuple[float, float]], list[tuple[float, float]]]


def book_of(bids: Levels, asks: Levels) -> Book:
    """A book as tall rows show it."""
    both = [[(float(price), float(quantity)) for price, quantity in side.items()] for side in (bids, asks)]
    return sorted(both[0], reverse=True), sorted(both[1])


def true_books(evolution: Evolution) -> dict[int, Book]:
    """The true book at every second, by the second of the day."""
    books = {}
    known = evolution.start
    latest_ms = evolution.updates[-1].time_ms if evolution.updates else known.time_ms
    waiting = list(evolution.updates)
    for second in range(-(-known.time_ms // 1000), latest_ms // 1000 + 1):
        while waiting and waiting[0].time_ms <= second * 1000:
            known = waiting.pop(0)
        if known.bids_after or known.asks_after:  # a book without any level has no row to show
            books[second] = book_of(known.bids_after, known.asks_after)
    return books


Change = tuple[int, str, str]


def evolution_of(start_ms: int, number: int, batches: list[tuple[int, list[Change]]]) -> Evolution:
    """An evolution from batches: milliseconds since the one before, and (side, price, quantity) of each change."""
    sides: tuple[Levels, Levels] = ({"99.50": "1"}, {"100.50": "2", "102.00": "0.5"})
    time_ms = start_ms
    start = Update(time_ms, number, number, number - 1, *sides, *sides)
    updates = []
    for wait_ms, changes in batches:
        time_ms += wait_ms
        first, number = number + 1, number + len(changes)
        told: tuple[Levels, Levels] = ({}, {})
        for side, price, quantity in changes:
            told[side][price] = quantity
        bids, asks = (
            {price: quantity for price, quantity in {**before, **new}.items() if quantity != "0"}
            for before, new in zip(sides, told, strict=True)
        )
        sides = (bids, asks)
        updates.append(Update(time_ms, first, number, first - 1, *told, *sides))
    return Evolution(start, tuple(updates))


@st.composite
def evolutions(draw: st.DrawFn, most: int = 14) -> Evolution:
    """A book of up to ten levels over some seconds, its changes batched at random."""
    changes = st.one_of(
        st.tuples(st.just(side), st.sampled_from(prices), st.sampled_from(QUANTITIES))
        for side, prices in enumerate((BID_PRICES, ASK_PRICES))
    )
    batch = st.tuples(st.integers(1, 1500), st.lists(changes, min_size=1, max_size=4))
    batches = draw(st.lists(batch, min_size=3, max_size=most))
    return evolution_of(draw(st.integers(0, 3000)), draw(st.integers(1, 1000)), batches)


def example() -> Evolution:
    """An evolution in which every level comes, changes and goes."""
    batches = [
        (700, [(side, prices[level], quantity) for side, prices in enumerate((BID_PRICES, ASK_PRICES))])
        for quantity in ("1.5", "30.25", "0", "2")
        for level in range(len(BID_PRICES))
    ]
    return evolution_of(300, 50, batches)
