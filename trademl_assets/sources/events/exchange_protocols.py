"""Book protocols of exchanges whose snapshot stands in the stream itself and that number or check nothing by sums.

Coinbase (`level2` channel): `snapshot`, then `l2update` with absolute sizes; nothing is numbered, a lost message cannot
be seen. Bybit (`orderBookL2_25`, `orderBook_200`): `snapshot`, then `delta` with levels to delete, update and insert; a
level that should be there and is not, or the other way round, betrays a lost message.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from trademl_assets.sources.events.book_builder import BookBuilder
from trademl_assets.sources.events.messages import DepthDiff, InitialBook, Message

Changes = list[tuple[str, str]]


class ExchangeProtocol(Protocol):
    """Reads the messages of one exchange for one symbol."""

    def symbol_of(self, message: Any) -> str | None:
        """Symbol of a book message; None for other messages."""
        ...

    def read(self, message: Any, clock_us: int, number: int, place: str) -> Message:
        """Read a book message of the wanted symbol.

        Args:
            message: The parsed message.
            clock_us: When it was received, microseconds.
            number: Place in the order of the capture, ascending.
            place: For messages.

        Raises:
            KeyError: Of another layout; so ValueError, TypeError, AttributeError, IndexError.
        """
        ...


class CoinbaseProtocol:
    """The `level2` channel of Coinbase."""

    def symbol_of(self, message: Any) -> str | None:
        """Symbol of a book message; None for other messages."""
        return str(message["product_id"]) if message["type"] in {"snapshot", "l2update"} else None

    def read(self, message: Any, clock_us: int, number: int, place: str) -> Message:
        """Read a book message."""
        if message["type"] == "snapshot":
            return InitialBook(place, clock_us, number, message["bids"], message["asks"], in_stream=True)
        bids: Changes = []
        asks: Changes = []
        for side, price, size in message["changes"]:
            {"buy": bids, "sell": asks}[side].append((price, size))
        return DepthDiff(place, clock_us, number, number, None, bids, asks)


@dataclass(frozen=True, slots=True)
class LevelsThere:
    """What a Bybit delta tells about the book before it.

    Attributes:
        present: Bids and asks that must have a level.
        absent: Bids and asks that must have none.
    """

    present: tuple[Changes, Changes]
    absent: tuple[Changes, Changes]

    def before(self, book: BookBuilder) -> str:
        """The first contradiction; empty where there is none."""
        for side, present, absent in zip((book.bids, book.asks), self.present, self.absent, strict=True):
            for price, _ in present:
                if book.key(price) not in side.levels:
                    return f"it changes the level {price}, which the book lacks"
            for price, _ in absent:
                if book.key(price) in side.levels:
                    return f"it inserts the level {price}, which the book has"
        return ""

    def after(self, book: BookBuilder) -> str:  # noqa: ARG002 -- a delta tells nothing of the book after it
        """Nothing."""
        return ""


class BybitProtocol:
    """The `orderBookL2_25` and `orderBook_200` topics of Bybit; `cross_seq` ascends without being dense."""

    def symbol_of(self, message: Any) -> str | None:
        """Symbol of a book message; None for other messages."""
        topic = message.get("topic", "")
        return str(topic.rpartition(".")[2]) if topic.startswith("orderBook") else None

    def read(self, message: Any, clock_us: int, number: int, place: str) -> Message:  # noqa: ARG002 -- numbered by Bybit
        """Read a book message."""
        sequence, data = int(message["cross_seq"]), message["data"]
        if message["type"] == "snapshot":
            bids, asks = _by_side(data["order_book"] if isinstance(data, dict) else data)
            return InitialBook(place, clock_us, sequence, bids, asks, in_stream=True)
        if message["type"] != "delta":
            raise ValueError(f"type {message['type']!r} is neither snapshot nor delta")
        deleted = _by_side({**level, "size": "0"} for level in data["delete"])
        updated, inserted = _by_side(data["update"]), _by_side(data["insert"])
        present = (deleted[0] + updated[0], deleted[1] + updated[1])
        bids, asks = (earlier + later for earlier, later in zip(present, inserted, strict=True))
        return DepthDiff(place, clock_us, sequence, sequence, None, bids, asks, LevelsThere(present, inserted))


def _by_side(levels: Iterable[dict[str, Any]]) -> tuple[Changes, Changes]:
    sides: dict[str, Changes] = {"Buy": [], "Sell": []}
    for level in levels:
        sides[level["side"]].append((level["price"], level["size"]))
    return sides["Buy"], sides["Sell"]
