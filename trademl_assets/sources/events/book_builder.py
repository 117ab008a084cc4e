"""The local order book of one instrument: an initial book, then diffs under the venue's sequence rule."""

import math
from collections.abc import Callable

from trademl_assets.foundation.errors import SequenceGapError, SourceError
from trademl_assets.sources.events.book_side import BookSide
from trademl_assets.sources.events.continuity import SequenceRule
from trademl_assets.sources.events.messages import DepthDiff, InitialBook
from trademl_assets.sources.events.price_keys import PriceKeys


class BookBuilder:
    """The book after every diff applied so far.

    Args:
        initial: Where the book begins.
        rule: How diffs follow one another.
        keys: Keys of price texts.
        checked: Whether what messages tell about the book is compared; not where it began empty.

    Attributes:
        bids: Bid side.
        asks: Ask side.
        last_update_id: Sequence number of the last change contained.
        moving: Whether a diff has been applied.

    Raises:
        SequenceGapError: The initial book contradicts itself.
        SourceError: A price or quantity of the initial book is not a number in range.
    """

    def __init__(self, initial: InitialBook, rule: SequenceRule, keys: PriceKeys, *, checked: bool = True) -> None:
        self.bids = BookSide(highest_first=True)
        self.asks = BookSide(highest_first=False)
        self.last_update_id = initial.last_update_id
        self.moving = False
        self._rule = rule
        self._keys = keys
        self._checked = checked
        self._keep_best = initial.keep_best
        self._change(initial)
        if initial.check is not None and checked:
            self._require_agreement(initial, initial.check.after)

    def apply(self, diff: DepthDiff) -> bool:
        """Apply a diff, or pass it over where the book is newer.

        Returns:
            Whether the diff was applied.

        Raises:
            SequenceGapError: Messages are missing between the book and this diff; the book is not to be used further.
            SourceError: A price or quantity is not a number in range.
        """
        if self.contains(diff):
            return False
        if absent := self._rule.missing(self.last_update_id, diff, moving=self.moving):
            raise SequenceGapError(
                f"{diff.place}: sequence gap: expected {absent[0]} after id {self.last_update_id}, found {absent[1]} "
                f"(U = {diff.first_update_id}, u = {diff.last_update_id}) -> fetch the missing messages, or end the "
                "capture before this message and begin another one with a new snapshot, or set on_gap"
            )
        if diff.check is not None and self._checked:
            self._require_agreement(diff, diff.check.before)
        self._change(diff)
        if diff.check is not None and self._checked:
            self._require_agreement(diff, diff.check.after)
        self.last_update_id = diff.last_update_id
        self.moving = True
        return True

    def contains(self, diff: DepthDiff) -> bool:
        """Whether the book is newer than the diff, so that it is to be passed over."""
        return self._rule.contains(self.last_update_id, diff, moving=self.moving)

    def key(self, price: str) -> int:
        """Key of a price.

        Raises:
            ValueError: The price is not a number in range.
        """
        return self._keys[price]

    def _require_agreement(
        self, message: InitialBook | DepthDiff, contradiction: Callable[["BookBuilder"], str]
    ) -> None:
        try:
            problem = contradiction(self)
        except (ValueError, TypeError) as error:
            raise _bad_level(message, error) from error
        if problem:
            raise SequenceGapError(
                f"{message.place}: sequence gap: the message contradicts the book ({problem}) -> messages were lost "
                "before it: fetch them, or set on_gap to restart at the next snapshot"
            )

    def _change(self, change: InitialBook | DepthDiff) -> None:
        keys = self._keys
        try:
            for side, changes in ((self.bids, change.bids), (self.asks, change.asks)):
                levels, moved = side.levels, side.moved
                for price, text in changes:
                    key = keys[price]
                    quantity = float(text)
                    if 0.0 < quantity < math.inf:
                        if key not in levels:
                            moved.add(key)
                        levels[key] = quantity
                    elif quantity == 0.0:
                        if levels.pop(key, None) is not None:
                            moved.add(key)
                    else:
                        raise _bad_quantity(price, text)
                if self._keep_best is not None:
                    side.keep_best(self._keep_best)
        except (ValueError, TypeError) as error:
            raise _bad_level(change, error) from error


def _bad_quantity(price: str, text: str) -> ValueError:
    return ValueError(f"quantity {text!r} of price {price!r} is not a finite number >= 0")


def _bad_level(message: InitialBook | DepthDiff, error: Exception) -> SourceError:
    return SourceError(f"{message.place}: bad level: {error} -> fetch the file again")
