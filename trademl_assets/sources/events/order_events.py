"""Source kind `order_events`: books rebuilt from order-by-order events (created, changed, deleted)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events.capture_source import (
    MICROSECONDS_PER_MILLISECOND,
    CaptureDays,
    CaptureSource,
    Reading,
    SamplingParameters,
)
from trademl_assets.sources.events.continuity import AscendingNumbers, SequenceRule
from trademl_assets.sources.events.messages import DepthDiff, InitialBook, Message
from trademl_assets.sources.events.order_tables import OrderEvent, order_events
from trademl_assets.sources.events.replay import BeginPolicy

MOST_DECIMALS = 18
ODD_EVENTS = ("after_their_end", "created_twice", "unknown_orders")


class OrderCapture(CaptureDays):
    """A table of order events; the clock is `timestamp`, the time of receipt in milliseconds.

    Attributes:
        orders: Parquet or CSV file with id, timestamp, price, volume (what remains), action, direction.
        volume_decimals: Volumes are integers in units of 10**-volume_decimals.
    """

    orders: EnvironmentText
    volume_decimals: Annotated[int, Field(ge=0, le=MOST_DECIMALS)]


class OrderEventsParameters(SamplingParameters):
    """Parameters of `order_events`.

    Attributes:
        initial_orders: What is done about orders that are older than the capture, which names them only when something
            happens to them. `from_first_event`: the book begins with each of them, as its first event tells it (of
            one unit where that tells no volume). THIS LOOKS AHEAD: what a book shows before the event was learnt from
            it; for studies of whole captures, not for forecasts. `warm_up`: the book begins empty, and an old order is
            there from its first change on.
        warm_up_seconds: How long an empty book fills before it is handed out.
        max_rows: Parquet files that declare more rows are refused.
        captures: Captures of each instrument in the order of time.
    """

    initial_orders: Literal["from_first_event", "warm_up"]
    warm_up_seconds: Annotated[int, Field(ge=0)]
    max_rows: Annotated[int, Field(ge=1)]
    captures: dict[str, Annotated[tuple[OrderCapture, ...], Field(min_length=1)]]


@dataclass
class OrderLevels:
    """Volumes of all orders at each price.

    Attributes:
        decimals: Volumes are in units of 10**-decimals.
        odd: Number of events of orders that were unknown, created twice, or at their end already.
    """

    decimals: int
    odd: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ODD_EVENTS, 0))
    _orders: dict[int, tuple[bool, str, int]] = field(default_factory=dict)
    _levels: dict[tuple[bool, str], int] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def put(self, event: OrderEvent, volume: int) -> None:
        """An order is there from now on."""
        self._orders[event.order] = (event.is_bid, event.price, volume)
        self._seen.add(event.order)
        self._add((event.is_bid, event.price), volume)

    def follow(self, event: OrderEvent) -> dict[tuple[bool, str], str]:
        """Apply an event.

        Returns:
            The new quantity of each level that it touched.
        """
        known = self._orders.pop(event.order, None)
        self._count(event, known=known is not None)
        touched = []
        if known is not None:
            was_bid, price, volume = known
            self._add((was_bid, price), -volume)
            touched.append((was_bid, price))
        if event.action != "deleted":
            self.put(event, event.volume)
            touched.append((event.is_bid, event.price))
        self._seen.add(event.order)
        return {level: self._text(level) for level in touched}

    def sides(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """All bids and asks: price and quantity."""
        bids, asks = (
            [(price, self._text((bid, price))) for bid, price in self._levels if bid == side] for side in (True, False)
        )
        return bids, asks

    def _count(self, event: OrderEvent, *, known: bool) -> None:
        seen = event.order in self._seen
        if event.action == "created":
            self.odd["created_twice"] += seen
        elif not known:
            self.odd["after_their_end" if seen else "unknown_orders"] += 1

    def _add(self, level: tuple[bool, str], volume: int) -> None:
        total = self._levels.get(level, 0) + volume
        if total:
            self._levels[level] = total
        else:
            self._levels.pop(level, None)

    def _text(self, level: tuple[bool, str]) -> str:
        return repr(self._levels.get(level, 0) / 10**self.decimals)


@SOURCES.register("order_events")
class OrderEventsSource(CaptureSource[OrderCapture]):
    """Books rebuilt from order events; `batch_id` is the row or line that the state ends with.

    Nothing is numbered: a lost event cannot be seen, and leaves a stale order that may cross the book.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.
    """

    parameters = OrderEventsParameters

    def __init__(self, parameters: OrderEventsParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        warm_up_us = parameters.warm_up_seconds * MICROSECONDS_PER_SECOND
        refuses: Literal["refuse", "warm_up"] = "warm_up" if parameters.initial_orders == "warm_up" else "refuse"
        policy = BeginPolicy(refuses, warm_up_us, "refuse", max_diffs_before_book=0)
        super().__init__(parameters, parameters.captures, policy, instruments)
        self._initial_orders = parameters.initial_orders
        self._max_rows = parameters.max_rows

    def files(self, capture: OrderCapture) -> tuple[EnvironmentText, ...]:
        """The file."""
        return (capture.orders,)

    def rule(self, instrument: InstrumentParameters, capture: OrderCapture) -> SequenceRule:  # noqa: ARG002 -- one rule
        """How the messages of a capture follow one another."""
        return AscendingNumbers()

    def messages(self, reading: Reading, capture: OrderCapture) -> Iterator[Message]:
        """Messages of a capture in the order of its clock."""
        levels = OrderLevels(capture.volume_decimals)
        reading.notes["odd_events"] = levels.odd
        reading.notes["older_orders"] = 0
        if self._initial_orders == "from_first_event":
            older = _older_orders(order_events(capture.orders, reading, self._max_rows))
            reading.notes["older_orders"] = len(older)
            for event in older:
                levels.put(event, max(event.volume, 1))
        first = True
        for event in order_events(capture.orders, reading, self._max_rows):
            clock_us = event.time_ms * MICROSECONDS_PER_MILLISECOND
            if first and self._initial_orders == "from_first_event":
                yield InitialBook(event.place, clock_us, event.number - 1, *levels.sides(), in_stream=True)
            first = False
            touched = levels.follow(event)
            bids, asks = (
                [(price, text) for (is_bid, price), text in touched.items() if is_bid == side] for side in (True, False)
            )
            yield DepthDiff(event.place, clock_us, event.number, event.number, None, bids, asks)


def _older_orders(events: Iterable[OrderEvent]) -> list[OrderEvent]:
    """First events of orders that the capture does not see created."""
    seen: set[int] = set()
    older = []
    for event in events:
        if event.order not in seen:
            seen.add(event.order)
            if event.action != "created":
                older.append(event)
    return older
