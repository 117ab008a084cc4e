"""Reads REST depth answers and depthUpdate messages of Binance, however they were written down."""

from typing import Any

from trademl_assets.sources.events.json_messages import integer, not_in_layout, other_symbol
from trademl_assets.sources.events.messages import DepthDiff, InitialBook

MICROSECONDS_PER_MILLISECOND = 1_000


def is_answer(message: Any) -> bool:
    """Whether a message is a REST depth answer."""
    return isinstance(message, dict) and "lastUpdateId" in message


def read_answer(answer: dict[str, Any], symbol: str, clock_us: int | None, place: str) -> InitialBook:
    """Read a REST depth answer.

    Args:
        answer: The parsed answer; that of spot names no symbol.
        symbol: Symbol that it must be of, where it names one.
        clock_us: When it was received, microseconds; None where nobody wrote it down.
        place: For messages.

    Raises:
        SourceError: Of another layout or symbol.
    """
    try:
        if (found := answer.get("symbol", symbol)) != symbol:
            raise other_symbol(found, symbol, place)
        return InitialBook(place, clock_us, integer(answer["lastUpdateId"]), answer["bids"], answer["asks"])
    except (KeyError, TypeError, ValueError) as error:
        raise not_in_layout(place, error) from error


def read_diff(message: Any, symbol: str, clock_us: int | None, place: str, *, only: bool = True) -> DepthDiff | None:
    """Read a message of the diff stream.

    Args:
        message: The parsed message.
        symbol: Symbol that it must be of.
        clock_us: When it was received, microseconds; None takes the event time `E`.
        place: For messages.
        only: Whether messages of other symbols are refused; else they are read over.

    Returns:
        The diff; None for other messages than depthUpdate.

    Raises:
        SourceError: Of another layout or symbol.
    """
    try:
        if message["s"] != symbol:
            if not only:
                return None
            raise other_symbol(message["s"], symbol, place)
        if message.get("e") != "depthUpdate":
            return None
        return DepthDiff(
            place,
            integer(message["E"]) * MICROSECONDS_PER_MILLISECOND if clock_us is None else clock_us,
            integer(message["U"]),
            integer(message["u"]),
            integer(message["pu"]) if "pu" in message else None,
            message["b"],
            message["a"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise not_in_layout(place, error) from error
