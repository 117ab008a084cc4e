"""The local order book of one Binance instrument: an initial book, then diffs under the documented sequence rules.

Procedures: "How to manage a local order book correctly" of the spot and of the derivatives API documentation of
Binance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SequenceGapError, SourceError

PRICE_DECIMALS = 8  # the finest price step of the venue; keys are exact integers in this unit
EXACT_LIMIT = 2**53  # below it every integer is a float64
Levels = Iterable[tuple[str, str]]
Market = Literal["spot", "usdm", "coinm"]


@dataclass(frozen=True, slots=True)
class InitialBook:
    """A REST depth answer.

    Attributes:
        place: Instrument, day, file and line, for messages.
        clock_us: Instant at which it was received, microseconds; None where nobody wrote it down.
        last_update_id: Sequence number up to which changes are contained.
        bids: Price and quantity as written by the venue.
        asks: The same.
    """

    place: str
    clock_us: int | None
    last_update_id: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class DepthDiff:
    """A depthUpdate message.

    Attributes:
        place: Instrument, day, file and line, for messages.
        clock_us: Instant on the clock of the capture, microseconds.
        first_update_id: `U`.
        last_update_id: `u`.
        previous_update_id: `pu`, on futures only.
        bids: Price and absolute quantity, 0 removes the level.
        asks: The same.
    """

    place: str
    clock_us: int
    first_update_id: int
    last_update_id: int
    previous_update_id: int | None
    bids: Levels
    asks: Levels


class PriceKeys(dict[str, int]):
    """Exact integer keys of price texts, in units of 10**-PRICE_DECIMALS, computed once a text."""

    def __missing__(self, text: str) -> int:
        """Parse a new price text.

        Raises:
            ValueError: Not a positive decimal number, too large for exact arithmetic, or finer than the unit.
        """
        try:
            scaled = Decimal(text).scaleb(PRICE_DECIMALS)
        except (InvalidOperation, TypeError) as error:
            raise ValueError(f"price {text!r} is not a number") from error
        if not scaled.is_finite() or not 0 < scaled < EXACT_LIMIT or scaled != scaled.to_integral_value():
            raise ValueError(f"price {text!r} is not a positive number in range, of at most {PRICE_DECIMALS} decimals")
        self[text] = key = int(scaled)
        return key


def prices_of(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """Prices of integer keys: the very floats that the venue's texts parse to.

    Key and divisor are exact, so their quotient rounds once, as parsing does.
    """
    return keys / 10.0**PRICE_DECIMALS


class BookBuilder:
    """The book after every diff applied so far.

    Args:
        initial: Where the book begins.
        market: Chooses the sequence rule. Spot: diffs with u <= last id are old; a diff with U > last id + 1 leaves
            a gap (quantities are absolute, so an overlap is harmless). Futures: before the first diff fits, those
            with u < last id are old, the first to fit has U <= last id <= u, and from then on every pu equals the
            previous u.

    Attributes:
        bids: Quantity by price key, no zero quantities.
        asks: The same.
        last_update_id: Sequence number of the last change contained.
        moving: Whether a diff has been applied.

    Raises:
        SourceError: A price or quantity of the initial book is not a number in range.
    """

    def __init__(self, initial: InitialBook, market: Market) -> None:
        self.bids: dict[int, float] = {}
        self.asks: dict[int, float] = {}
        self.last_update_id = initial.last_update_id
        self.moving = False
        self._futures = market != "spot"
        self._keys = PriceKeys()
        self._change(initial)

    def apply(self, diff: DepthDiff) -> bool:
        """Apply a diff, or pass it over where the book is newer.

        Returns:
            Whether the diff was applied.

        Raises:
            SequenceGapError: Messages are missing between the book and this diff.
            SourceError: A price or quantity is not a number in range.
        """
        if self.contains(diff):
            return False
        self._require_next(diff)
        self._change(diff)
        self.last_update_id = diff.last_update_id
        self.moving = True
        return True

    def contains(self, diff: DepthDiff) -> bool:
        """Whether the book is newer than the diff, so that it is to be passed over."""
        if self._futures:
            return not self.moving and diff.last_update_id < self.last_update_id
        return diff.last_update_id <= self.last_update_id

    def _require_next(self, diff: DepthDiff) -> None:
        last = self.last_update_id
        if self._futures and self.moving:
            if diff.previous_update_id == last:
                return
            expected, found = f"pu = {last}", f"pu = {diff.previous_update_id}"
        else:
            latest_first = last if self._futures else last + 1
            if diff.first_update_id <= latest_first:
                return
            expected, found = f"U <= {latest_first}", f"U = {diff.first_update_id}"
        raise SequenceGapError(
            f"{diff.place}: sequence gap: expected {expected} after update id {last}, found {found} "
            f"(U = {diff.first_update_id}, u = {diff.last_update_id}) -> fetch the missing messages, or end "
            "the capture before this message and begin another one with a new REST snapshot"
        )

    def _change(self, change: InitialBook | DepthDiff) -> None:
        keys = self._keys
        try:
            for side, levels in ((self.bids, change.bids), (self.asks, change.asks)):
                for price, text in levels:
                    quantity = float(text)
                    if quantity > 0.0 and quantity != np.inf:
                        side[keys[price]] = quantity
                    elif quantity == 0.0:
                        side.pop(keys[price], None)
                    else:
                        raise _bad_quantity(price, text)
        except (ValueError, TypeError) as error:
            raise SourceError(f"{change.place}: bad level: {error} -> fetch the file again") from error


def _bad_quantity(price: str, text: str) -> ValueError:
    return ValueError(f"quantity {text!r} of price {price!r} is not a finite number >= 0")
