"""Book protocols of exchanges that send a checksum of the best levels with every change: Kraken and OKX.

Formulas: "Calculate Book Checksum" of the Kraken WebSocket documentation (version 1) and "Checksum" of the order book
channel in the OKX documentation (version 5): CRC32 over the texts of the best levels as the exchange wrote them.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

from trademl_assets.sources.events.book_builder import BookBuilder
from trademl_assets.sources.events.messages import DepthDiff, InitialBook, Message

KRAKEN_LEVELS = 10
OKX_LEVELS = 25
SIGN_BIT = 2**31
Pair = tuple[str, str]
Changes = list[Pair]


@dataclass
class BookTexts:
    """Price and quantity of each level as the exchange wrote them, by price key; bids, then asks."""

    sides: tuple[dict[int, Pair], dict[int, Pair]] = field(default_factory=lambda: ({}, {}))

    def follow(self, book: BookBuilder, changes: tuple[Changes, Changes]) -> None:
        """Take over the levels of a message that was applied to the book."""
        for texts, side, pairs in zip(self.sides, (book.bids, book.asks), changes, strict=True):
            for price, quantity in pairs:
                key = book.key(price)
                if key in side.levels:
                    texts[key] = (price, quantity)
                else:
                    texts.pop(key, None)

    def best(self, book: BookBuilder, levels: int) -> tuple[list[Pair], list[Pair]]:
        """Texts of the best bids and asks, best first."""
        bids, asks = (
            [texts[key] for key in side.best(levels).tolist()]
            for texts, side in zip(self.sides, (book.bids, book.asks), strict=True)
        )
        return bids, asks


@dataclass(frozen=True, slots=True)
class ChecksumCheck:
    """Compares the checksum of a message with that of the book after it.

    Attributes:
        texts: Shared by all messages of a book.
        changes: Bids and asks of the message.
        expected: Checksum of the message, None where it has none.
        formula: Checksum of a book.
        fresh: Whether the message is a whole book.
    """

    texts: BookTexts
    changes: tuple[Changes, Changes]
    expected: int | None
    formula: Callable[[BookTexts, BookBuilder], int]
    fresh: bool

    def before(self, book: BookBuilder) -> str:  # noqa: ARG002 -- a checksum speaks of the book after the message
        """Nothing."""
        return ""

    def after(self, book: BookBuilder) -> str:
        """The contradiction; empty where there is none."""
        if self.fresh:
            for texts in self.texts.sides:
                texts.clear()
        self.texts.follow(book, self.changes)
        if self.expected is None or (found := self.formula(self.texts, book)) == self.expected:
            return ""
        return f"its checksum is {self.expected}, that of the book {found}"


def kraken_checksum(texts: BookTexts, book: BookBuilder) -> int:
    """CRC32 over price and quantity of the best 10 asks, then bids, without points and leading zeros."""
    bids, asks = texts.best(book, KRAKEN_LEVELS)
    digits = (text.replace(".", "").lstrip("0") for text in chain.from_iterable([*asks, *bids]))
    return zlib.crc32("".join(digits).encode())


def okx_checksum(texts: BookTexts, book: BookBuilder) -> int:
    """CRC32 as a signed number over the best 25 levels, a bid and an ask in turn, all parts joined by colons."""
    bids, asks = texts.best(book, OKX_LEVELS)
    pairs = (pair for both in zip_longest(bids, asks) for pair in both if pair is not None)
    checksum = zlib.crc32(":".join(chain.from_iterable(pairs)).encode())
    return checksum - 2 * SIGN_BIT if checksum >= SIGN_BIT else checksum


class KrakenProtocol:
    """The `book` channel of Kraken, version 1.

    Levels beyond the subscribed depth are forgotten, as Kraken asks: it no longer tells when they go.
    """

    def __init__(self) -> None:
        self._texts = BookTexts()

    def symbol_of(self, message: Any) -> str | None:
        """Symbol of a book message; None for other messages."""
        return str(message[-1]) if isinstance(message, list) and message[-2].startswith("book-") else None

    def read(self, message: Any, clock_us: int, number: int, place: str) -> Message:
        """Read a book message."""
        parts = message[1:-2]
        if "as" in parts[0]:
            whole = (_pairs(parts[0]["bs"]), _pairs(parts[0]["as"]))
            depth = int(message[-2].partition("-")[2])
            check = ChecksumCheck(self._texts, whole, None, kraken_checksum, fresh=True)
            return InitialBook(place, clock_us, number, *whole, in_stream=True, keep_best=depth, check=check)
        changes = (_pairs(_of(parts, "b")), _pairs(_of(parts, "a")))
        check = ChecksumCheck(self._texts, changes, int(parts[-1]["c"]), kraken_checksum, fresh=False)
        return DepthDiff(place, clock_us, number, number, None, *changes, check)


class OkxProtocol:
    """The `books` channel of OKX, version 5."""

    def __init__(self) -> None:
        self._texts = BookTexts()

    def symbol_of(self, message: Any) -> str | None:
        """Symbol of a book message; None for other messages."""
        is_book = "action" in message and message["arg"]["channel"] == "books"
        return str(message["arg"]["instId"]) if is_book else None

    def read(self, message: Any, clock_us: int, number: int, place: str) -> Message:
        """Read a book message."""
        (part,) = message["data"]
        changes = (_pairs(part["bids"]), _pairs(part["asks"]))
        fresh = message["action"] == "snapshot"
        check = ChecksumCheck(self._texts, changes, int(part["checksum"]), okx_checksum, fresh=fresh)
        if fresh:
            return InitialBook(place, clock_us, number, *changes, in_stream=True, check=check)
        return DepthDiff(place, clock_us, number, number, None, *changes, check)


def _pairs(levels: list[list[str]]) -> Changes:
    return [(level[0], level[1]) for level in levels]


def _of(parts: list[dict[str, Any]], name: str) -> list[list[str]]:
    return [level for part in parts for level in part.get(name, ())]
