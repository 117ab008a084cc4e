"""Reads captured Binance messages: a JSON list beside a REST answer, or a combined stream with receive times."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.book_builder import DepthDiff, InitialBook
from trademl_assets.sources.capped_reading import ReadingCaps, lines_capped, read_capped

NANOSECONDS_PER_MICROSECOND = 1_000
NANOSECOND_DIGITS = 19  # of an instant between 2001 and 2286
INTEGER_LIMIT = 2**63
MICROSECONDS_PER_MILLISECOND = 1_000


class CaptureDays(Parameters):
    """What every capture tells.

    Attributes:
        first_day: First UTC day that the messages touch.
        last_day: Last UTC day that they touch; a message outside these days is refused (a wrong clock or unit of time).
    """

    first_day: date
    last_day: date

    @model_validator(mode="after")
    def _in_order(self) -> "CaptureDays":
        if self.first_day > self.last_day:
            raise ValueError(f"first_day {self.first_day} lies after last_day {self.last_day}")
        return self


class MessageListCapture(CaptureDays):
    """A JSON list of depthUpdate messages beside the REST depth answer; the clock is the event time `E`.

    Attributes:
        layout: `message_list`.
        initial_book: File of the REST depth answer.
        diffs: File of the list.
    """

    layout: Literal["message_list"]
    initial_book: EnvironmentText
    diffs: EnvironmentText


class CombinedStreamCapture(CaptureDays):
    """Lines of receive time in nanoseconds, a space and one message of a combined stream.

    The clock is the receive time. One of the lines is the REST depth answer; others than depth messages are read over.

    Attributes:
        layout: `combined_stream`.
        messages: File of the lines.
    """

    layout: Literal["combined_stream"]
    messages: EnvironmentText


Capture = Annotated[MessageListCapture | CombinedStreamCapture, Field(discriminator="layout")]


@dataclass(frozen=True)
class CaptureReader:
    """Reads captures of one symbol.

    Attributes:
        symbol: Symbol that every message must name.
        title: Instrument and day, for messages.
        caps: Most that is read.
    """

    symbol: str
    title: str
    caps: ReadingCaps

    def origin(self, path: str) -> str:
        """Instrument, day and file, for messages."""
        return f"{self.title}, file {path}"

    def messages(self, capture: MessageListCapture | CombinedStreamCapture) -> Iterator[InitialBook | DepthDiff]:
        """Read a capture.

        Yields:
            Initial books and diffs in the order of the file; without a receive time, the initial book comes first.

        Raises:
            SourceError: A file cannot be read, is not in its layout, or speaks of another symbol.
        """
        if isinstance(capture, MessageListCapture):
            return self._message_list(capture)
        return self._combined_stream(capture)

    def _message_list(self, capture: MessageListCapture) -> Iterator[InitialBook | DepthDiff]:
        book_origin = self.origin(capture.initial_book)
        answer = _parsed(read_capped(Path(capture.initial_book), book_origin, self.caps), book_origin)
        if not isinstance(answer, dict) or "lastUpdateId" not in answer:
            raise SourceError(
                f"{book_origin}: not a REST depth answer (no lastUpdateId), so no book can begin -> fetch it anew"
            )
        yield self._initial_book(answer, None, book_origin)
        origin = self.origin(capture.diffs)
        messages = _parsed(read_capped(Path(capture.diffs), origin, self.caps), origin)
        if not isinstance(messages, list) or not messages:
            raise SourceError(f"{origin}: expected a JSON list of at least one depthUpdate message -> check the layout")
        for number, message in enumerate(messages, start=1):
            place = f"{origin}, message {number}"
            diff = self._diff(message, None, place)
            if diff is None:
                raise SourceError(f"{place}: not a depthUpdate message -> the list may hold nothing else")
            yield diff

    def _combined_stream(self, capture: CombinedStreamCapture) -> Iterator[InitialBook | DepthDiff]:
        origin = self.origin(capture.messages)
        for number, line in lines_capped(Path(capture.messages), origin, self.caps):
            place = f"{origin}, line {number}"
            received, _, text = line.partition(b" ")
            if not received.isdigit() or len(received) > NANOSECOND_DIGITS:
                raise SourceError(f"{place}: does not begin with a receive time in nanoseconds -> check the layout")
            # Rounded up, so that no instant sees a message that came after it.
            clock_us = -(-int(received) // NANOSECONDS_PER_MICROSECOND)
            message = _parsed(text, place)
            if isinstance(message, dict) and "lastUpdateId" in message:
                yield self._initial_book(message, clock_us, place)
                continue
            payload = message.get("data") if isinstance(message, dict) else None
            if (diff := self._diff(payload, clock_us, place)) is not None:
                yield diff

    def _initial_book(self, answer: dict[str, Any], clock_us: int | None, place: str) -> InitialBook:
        try:
            if (symbol := answer.get("symbol", self.symbol)) != self.symbol:
                raise self._other_symbol(symbol, place)
            return InitialBook(place, clock_us, _integer(answer["lastUpdateId"]), answer["bids"], answer["asks"])
        except (KeyError, TypeError, ValueError) as error:
            raise _not_in_layout(place, error) from error

    def _diff(self, message: Any, clock_us: int | None, place: str) -> DepthDiff | None:
        try:
            if message["s"] != self.symbol:
                raise self._other_symbol(message["s"], place)
            if message.get("e") != "depthUpdate":
                return None
            return DepthDiff(
                place,
                _integer(message["E"]) * MICROSECONDS_PER_MILLISECOND if clock_us is None else clock_us,
                _integer(message["U"]),
                _integer(message["u"]),
                _integer(message["pu"]) if "pu" in message else None,
                message["b"],
                message["a"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _not_in_layout(place, error) from error

    def _other_symbol(self, symbol: object, place: str) -> SourceError:
        return SourceError(
            f"{place}: the message is of symbol {symbol!r}, expected {self.symbol!r} "
            "-> check the instrument's symbol and the path of its capture"
        )


def _parsed(text: bytes, origin: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{origin}: not JSON ({error}) -> the capture is cut or damaged, fetch it again") from error


def _integer(value: Any) -> int:
    if type(value) is int and 0 <= value < INTEGER_LIMIT:
        return value
    raise ValueError(f"{value!r} is not an integer in range")


def _not_in_layout(place: str, error: Exception) -> SourceError:
    return SourceError(
        f"{place}: not a message of the expected layout ({type(error).__name__}: {error}) "
        "-> check the layout of the capture, fetch the file again"
    )
