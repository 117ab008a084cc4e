"""Source kind `binance_capture`: order books rebuilt from captured Binance messages, handed out as tall rows."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events.binance_layouts import (
    Capture,
    CombinedStreamCapture,
    MessageListCapture,
    read_combined_stream,
    read_message_list,
)
from trademl_assets.sources.events.capture_source import CaptureSource, DiffParameters, Reading
from trademl_assets.sources.events.continuity import SequenceRule, binance_chain
from trademl_assets.sources.events.messages import Message


class BinanceCaptureParameters(DiffParameters):
    """Parameters of `binance_capture`.

    Attributes:
        captures: Captures of each instrument in the order of time; each has an initial book of its own.
    """

    captures: dict[str, Annotated[tuple[Capture, ...], Field(min_length=1)]]


@SOURCES.register("binance_capture")
class BinanceCaptureSource(CaptureSource[MessageListCapture | CombinedStreamCapture]):
    """Books rebuilt from Binance diffs.

    A book is known from the receive time of its REST answer; where nobody wrote that down, from the last diff that
    the answer already contains (else from the first diff applied). The REST answer covers a limited number of levels:
    a level outside them is known only once a diff has touched it.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.
    """

    parameters = BinanceCaptureParameters

    def __init__(self, parameters: BinanceCaptureParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        super().__init__(parameters, parameters.captures, parameters.policy, instruments)

    def files(self, capture: MessageListCapture | CombinedStreamCapture) -> tuple[EnvironmentText, ...]:
        """Files of a capture, the one that holds its changes first."""
        if isinstance(capture, CombinedStreamCapture):
            return (capture.messages,)
        return (capture.diffs,) if capture.initial_book is None else (capture.diffs, capture.initial_book)

    def rule(
        self,
        instrument: InstrumentParameters,
        capture: MessageListCapture | CombinedStreamCapture,  # noqa: ARG002 -- the market alone decides
    ) -> SequenceRule:
        """How the messages of a capture follow one another."""
        return binance_chain(instrument.market)

    def messages(self, reading: Reading, capture: MessageListCapture | CombinedStreamCapture) -> Iterator[Message]:
        """Messages of a capture in the order of its clock."""
        if isinstance(capture, MessageListCapture):
            return read_message_list(reading, capture)
        return read_combined_stream(reading, capture)
