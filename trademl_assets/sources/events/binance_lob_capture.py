"""Source kind `binance_lob_capture`: books rebuilt from CSV files of raw Binance messages with receive times."""

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events.binance_messages import is_answer, read_answer, read_diff
from trademl_assets.sources.events.capture_source import CaptureDays, CaptureSource, DiffParameters, Reading
from trademl_assets.sources.events.continuity import SequenceRule, binance_chain
from trademl_assets.sources.events.csv_blocks import csv_blocks
from trademl_assets.sources.events.json_messages import other_symbol, parsed
from trademl_assets.sources.events.messages import Message

TIMES: Mapping[str, type[pl.DataType]] = {"recv_tsec": pl.Int64, "recv_tnsec": pl.Int64}
ANSWER_COLUMNS: Mapping[str, type[pl.DataType]] = {**TIMES, "symbol": pl.String, "payload_json": pl.String}
MESSAGE_COLUMNS: Mapping[str, type[pl.DataType]] = {**ANSWER_COLUMNS, "stream_kind": pl.String}
DIFFS = "depth_diff"
MICROSECONDS_PER_SECOND = 1_000_000
NANOSECONDS_PER_MICROSECOND = 1_000
NANOSECONDS_PER_SECOND = 1_000_000_000


class BinanceLobCapture(CaptureDays):
    """Files of one capture; the clock is the receive time.

    Attributes:
        messages: File of raw messages; only `depth_diff` is read.
        answers: File of REST depth answers; null where there is none.
    """

    messages: EnvironmentText
    answers: EnvironmentText | None


class BinanceLobCaptureParameters(DiffParameters):
    """Parameters of `binance_lob_capture`.

    Attributes:
        captures: Captures of each instrument in the order of time.
    """

    captures: dict[str, Annotated[tuple[BinanceLobCapture, ...], Field(min_length=1)]]


@SOURCES.register("binance_lob_capture")
class BinanceLobCaptureSource(CaptureSource[BinanceLobCapture]):
    """Books rebuilt from Binance diffs kept in CSV rows.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.
    """

    parameters = BinanceLobCaptureParameters

    def __init__(
        self, parameters: BinanceLobCaptureParameters, instruments: Mapping[str, InstrumentParameters]
    ) -> None:
        super().__init__(parameters, parameters.captures, parameters.policy, instruments)

    def files(self, capture: BinanceLobCapture) -> tuple[EnvironmentText, ...]:
        """Files of a capture, the one that holds its changes first."""
        return (capture.messages,) if capture.answers is None else (capture.messages, capture.answers)

    def rule(self, instrument: InstrumentParameters, capture: BinanceLobCapture) -> SequenceRule:  # noqa: ARG002 -- the market alone decides
        """How the messages of a capture follow one another."""
        return binance_chain(instrument.market)

    def messages(self, reading: Reading, capture: BinanceLobCapture) -> Iterator[Message]:
        """Messages of a capture in the order of its clock; of two with one clock the answer comes first."""
        diffs = _diffs(reading, capture.messages)
        if capture.answers is None:
            return diffs
        return heapq.merge(_answers(reading, capture.answers), diffs, key=lambda message: message.clock_us or 0)


def _diffs(reading: Reading, path: str) -> Iterator[Message]:
    symbol = reading.instrument.symbol
    for place, row in _rows(reading, path, MESSAGE_COLUMNS):
        if row["stream_kind"] == DIFFS:
            diff = read_diff(parsed(row["payload_json"], place), symbol, _clock_us(row, place), place)
            if diff is None:
                raise SourceError(
                    f"{place}: stream_kind is {DIFFS}, but the payload is no depthUpdate -> fetch it again"
                )
            yield diff


def _answers(reading: Reading, path: str) -> Iterator[Message]:
    for place, row in _rows(reading, path, ANSWER_COLUMNS):
        answer = parsed(row["payload_json"], place)
        if not is_answer(answer):
            raise SourceError(f"{place}: not a REST depth answer (no lastUpdateId) -> fetch it anew")
        yield read_answer(answer, reading.instrument.symbol, _clock_us(row, place), place)


def _rows(
    reading: Reading, path: str, columns: Mapping[str, type[pl.DataType]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    symbol = reading.instrument.symbol
    for block in csv_blocks(Path(path), reading.origin(path), reading.caps, columns):
        for number, row in enumerate(block.rows.iter_rows(named=True)):
            place = block.place(number)
            if row["symbol"] != symbol:
                raise other_symbol(row["symbol"], symbol, place)
            yield place, row


def _clock_us(row: dict[str, Any], place: str) -> int:
    nanoseconds = row["recv_tnsec"]
    if not 0 <= nanoseconds < NANOSECONDS_PER_SECOND:
        raise SourceError(f"{place}: recv_tnsec is {nanoseconds}, not within a second -> fetch the file again")
    # Rounded up, so that no instant sees a message that came after it.
    return int(row["recv_tsec"]) * MICROSECONDS_PER_SECOND - int(-nanoseconds // NANOSECONDS_PER_MICROSECOND)
