"""Layouts of captured Binance messages: a JSON list beside a REST answer, or a combined stream with receive times."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_reading import lines_capped, read_capped
from trademl_assets.sources.events.binance_messages import is_answer, read_answer, read_diff
from trademl_assets.sources.events.capture_source import CaptureDays, Reading
from trademl_assets.sources.events.json_messages import parsed
from trademl_assets.sources.events.messages import Message

NANOSECONDS_PER_MICROSECOND = 1_000
NANOSECOND_DIGITS = 19  # of an instant between 2001 and 2286


class MessageListCapture(CaptureDays):
    """A JSON list of depthUpdate messages beside the REST depth answer; the clock is the event time `E`.

    Attributes:
        layout: `message_list`.
        initial_book: File of the REST depth answer; null where nobody asked for one.
        diffs: File of the list.
    """

    layout: Literal["message_list"]
    initial_book: EnvironmentText | None
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


def read_message_list(reading: Reading, capture: MessageListCapture) -> Iterator[Message]:
    """Read the initial book, then the diffs in the order of the list.

    Raises:
        SourceError: A file cannot be read, is not in its layout, or speaks of another symbol.
    """
    symbol = reading.instrument.symbol
    if capture.initial_book is not None:
        book_origin = reading.origin(capture.initial_book)
        answer = parsed(read_capped(Path(capture.initial_book), book_origin, reading.caps), book_origin)
        if not is_answer(answer):
            raise SourceError(
                f"{book_origin}: not a REST depth answer (no lastUpdateId), so no book can begin -> fetch it anew"
            )
        yield read_answer(answer, symbol, None, book_origin)
    origin = reading.origin(capture.diffs)
    messages = parsed(read_capped(Path(capture.diffs), origin, reading.caps), origin)
    if not isinstance(messages, list) or not messages:
        raise SourceError(f"{origin}: expected a JSON list of at least one depthUpdate message -> check the layout")
    for number, message in enumerate(messages, start=1):
        place = f"{origin}, message {number}"
        diff = read_diff(message, symbol, None, place)
        if diff is None:
            raise SourceError(f"{place}: not a depthUpdate message -> the list may hold nothing else")
        yield diff


def read_combined_stream(reading: Reading, capture: CombinedStreamCapture) -> Iterator[Message]:
    """Read answers and diffs in the order of the lines.

    Raises:
        SourceError: The file cannot be read, is not in its layout, or speaks of another symbol.
    """
    symbol = reading.instrument.symbol
    origin = reading.origin(capture.messages)
    for number, line in lines_capped(Path(capture.messages), origin, reading.caps):
        received, _, text = line.partition(b" ")
        place = f"{origin}, line {number}"
        if not received.isdigit() or len(received) > NANOSECOND_DIGITS:
            raise SourceError(f"{place}: does not begin with a receive time in nanoseconds -> check the layout")
        # Rounded up, so that no instant sees a message that came after it.
        clock_us = -(-int(received) // NANOSECONDS_PER_MICROSECOND)
        message = parsed(text, place)
        if is_answer(message):
            yield read_answer(message, symbol, clock_us, place)
            continue
        payload = message.get("data") if isinstance(message, dict) else None
        if (diff := read_diff(payload, symbol, clock_us, place)) is not None:
            yield diff
