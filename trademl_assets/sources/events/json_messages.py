"""Reads the JSON of messages strictly."""

from typing import Any

import orjson

from trademl_assets.foundation.errors import SourceError

INTEGER_LIMIT = 2**63


def parsed(text: bytes | str, place: str) -> Any:
    """Parse a message.

    Raises:
        SourceError: Not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SourceError(f"{place}: not JSON ({error}) -> the capture is cut or damaged, fetch it again") from error


def integer(value: Any) -> int:
    """A sequence number or a time.

    Raises:
        ValueError: Not an integer within [0, 2**63).
    """
    if type(value) is int and 0 <= value < INTEGER_LIMIT:
        return value
    raise ValueError(f"{value!r} is not an integer in range")


def not_in_layout(place: str, error: Exception) -> SourceError:
    """The refusal of a message that is JSON but of another layout."""
    return SourceError(
        f"{place}: not a message of the expected layout ({type(error).__name__}: {error}) "
        "-> check the layout of the capture, fetch the file again"
    )


def other_symbol(found: object, expected: str, place: str) -> SourceError:
    """The refusal of a message of another symbol."""
    return SourceError(
        f"{place}: the message is of symbol {found!r}, expected {expected!r} "
        "-> check the instrument's symbol and the path of its capture"
    )
