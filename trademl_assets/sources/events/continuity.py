"""Rules by which messages of a stream follow one another.

Procedures for Binance: "How to manage a local order book correctly" of the spot and of the derivatives API
documentation.
"""

from typing import Literal, Protocol

from trademl_assets.sources.events.messages import DepthDiff

Market = Literal["spot", "usdm", "coinm"]


class SequenceRule(Protocol):
    """Tells old, next and too late messages apart."""

    def contains(self, last: int, diff: DepthDiff, *, moving: bool) -> bool:
        """Whether a book with `last` as its last number is newer than the diff, so that it is to be passed over.

        Args:
            last: Last sequence number contained in the book.
            diff: The message.
            moving: Whether a diff has been applied since the initial book.
        """
        ...

    def missing(self, last: int, diff: DepthDiff, *, moving: bool) -> tuple[str, str] | None:
        """What was expected and what was found where messages are missing before the diff; None where it is next."""
        ...


class SpotChain:
    """Binance spot: diffs with u <= last are old, U > last + 1 leaves a gap.

    Quantities are absolute, so an overlap is harmless.
    """

    def contains(self, last: int, diff: DepthDiff, *, moving: bool) -> bool:  # noqa: ARG002 -- the rule's signature
        """Whether the diff is old."""
        return diff.last_update_id <= last

    def missing(self, last: int, diff: DepthDiff, *, moving: bool) -> tuple[str, str] | None:  # noqa: ARG002 -- the same
        """What is missing before the diff."""
        if diff.first_update_id <= last + 1:
            return None
        return f"U <= {last + 1}", f"U = {diff.first_update_id}"


class FuturesChain:
    """Binance futures.

    Before the first diff fits, those with u < last are old, and the first to fit has U <= last <= u; from then on
    every pu equals the previous u.
    """

    def contains(self, last: int, diff: DepthDiff, *, moving: bool) -> bool:
        """Whether the diff is old."""
        return not moving and diff.last_update_id < last

    def missing(self, last: int, diff: DepthDiff, *, moving: bool) -> tuple[str, str] | None:
        """What is missing before the diff."""
        if moving:
            if diff.previous_update_id == last:
                return None
            return f"pu = {last}", f"pu = {diff.previous_update_id}"
        if diff.first_update_id <= last:
            return None
        return f"U <= {last}", f"U = {diff.first_update_id}"


class AscendingNumbers:
    """Streams whose numbers only ascend: a step back is refused, a lost message cannot be seen in them."""

    def contains(self, last: int, diff: DepthDiff, *, moving: bool) -> bool:  # noqa: ARG002 -- the rule's signature
        """Nothing is old: the initial book stands in the stream."""
        return False

    def missing(self, last: int, diff: DepthDiff, *, moving: bool) -> tuple[str, str] | None:  # noqa: ARG002 -- the same
        """Whether the numbers step back."""
        if diff.first_update_id > last:
            return None
        return f"a number above {last}", str(diff.first_update_id)


def binance_chain(market: Market) -> SequenceRule:
    """The rule of a Binance market."""
    return SpotChain() if market == "spot" else FuturesChain()
