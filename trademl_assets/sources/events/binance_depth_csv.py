"""Source kind `binance_depth_csv`: books rebuilt from Binance historical T_DEPTH files, a snapshot and its updates."""

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events.capture_source import (
    MICROSECONDS_PER_MILLISECOND,
    CaptureDays,
    CaptureSource,
    DiffParameters,
    Reading,
)
from trademl_assets.sources.events.continuity import SequenceRule, binance_chain
from trademl_assets.sources.events.csv_blocks import CsvBlock, csv_blocks
from trademl_assets.sources.events.messages import DepthDiff, InitialBook, Message
from trademl_assets.sources.events.row_messages import row_messages

COLUMNS: Mapping[str, type[pl.DataType]] = {
    "symbol": pl.String,
    "timestamp": pl.Int64,
    "first_update_id": pl.Int64,
    "last_update_id": pl.Int64,
    "side": pl.String,
    "update_type": pl.String,
    "price": pl.String,
    "qty": pl.String,
    "pu": pl.Int64,
}
MESSAGE = ("timestamp", "first_update_id", "last_update_id", "pu")
NO_PREVIOUS = -1


class BinanceDepthCapture(CaptureDays):
    """A pair of files; the clock is the exchange's time, in milliseconds.

    Attributes:
        snapshots: File of whole books (`update_type` `snap`); null where there is none.
        updates: File of changes (`update_type` `set`).
    """

    snapshots: EnvironmentText | None
    updates: EnvironmentText


class BinanceDepthParameters(DiffParameters):
    """Parameters of `binance_depth_csv`.

    Attributes:
        captures: Captures of each instrument in the order of time.
    """

    captures: dict[str, Annotated[tuple[BinanceDepthCapture, ...], Field(min_length=1)]]


@SOURCES.register("binance_depth_csv")
class BinanceDepthSource(CaptureSource[BinanceDepthCapture]):
    """Books rebuilt from T_DEPTH files under the sequence rule of the instrument's market.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.
    """

    parameters = BinanceDepthParameters

    def __init__(self, parameters: BinanceDepthParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        super().__init__(parameters, parameters.captures, parameters.policy, instruments)

    def files(self, capture: BinanceDepthCapture) -> tuple[EnvironmentText, ...]:
        """Files of a capture, the one that holds its changes first."""
        return (capture.updates,) if capture.snapshots is None else (capture.updates, capture.snapshots)

    def rule(self, instrument: InstrumentParameters, capture: BinanceDepthCapture) -> SequenceRule:  # noqa: ARG002 -- the market alone decides
        """How the messages of a capture follow one another."""
        return binance_chain(instrument.market)

    def messages(self, reading: Reading, capture: BinanceDepthCapture) -> Iterator[Message]:
        """Messages of a capture in the order of its clock; of two with one clock the snapshot comes first."""
        updates = self._read(reading, capture.updates, "set")
        if capture.snapshots is None:
            return updates
        return heapq.merge(self._read(reading, capture.snapshots, "snap"), updates, key=lambda read: read.clock_us or 0)

    def _read(self, reading: Reading, path: str, kind: str) -> Iterator[Message]:
        blocks = _checked(reading, path, kind)
        for found in row_messages(blocks, MESSAGE, pl.col("side") == "b", "price", "qty"):
            clock_us, first, last, previous = (int(value) for value in found.key)
            clock_us *= MICROSECONDS_PER_MILLISECOND
            if kind == "snap":
                yield InitialBook(found.place, clock_us, last, found.bids, found.asks)
            else:
                before = None if previous == NO_PREVIOUS else previous
                yield DepthDiff(found.place, clock_us, first, last, before, found.bids, found.asks)


def _checked(reading: Reading, path: str, kind: str) -> Iterator[CsvBlock]:
    expected = {"symbol": (reading.instrument.symbol,), "side": ("a", "b"), "update_type": (kind,)}
    for block in csv_blocks(Path(path), reading.origin(path), reading.caps, COLUMNS):
        for name, allowed in expected.items():
            if not (fits := block.rows[name].is_in(allowed)).all():
                row = int(fits.arg_min() or 0)
                raise SourceError(
                    f"{block.place(row)}: column {name} holds {block.rows[name][row]!r}, expected "
                    f"{' or '.join(allowed)} -> check the instrument's symbol and which file is which"
                )
        yield block
