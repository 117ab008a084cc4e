"""Source kind `tardis_incremental`: books rebuilt from Tardis `incremental_book_L2` files.

Layout: "Incremental order book L2 updates" of the Tardis CSV documentation: times in microseconds, amount 0 removes a
level, and a turn of `is_snapshot` from false to true begins the book anew. Nothing is numbered: a lost row cannot be
seen.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events.capture_source import CaptureDays, CaptureSource, DiffParameters, Reading
from trademl_assets.sources.events.continuity import AscendingNumbers, SequenceRule
from trademl_assets.sources.events.cryptofeed_capture import require_same_symbol
from trademl_assets.sources.events.csv_blocks import CsvBlock, csv_blocks
from trademl_assets.sources.events.messages import DepthDiff, InitialBook, Message
from trademl_assets.sources.events.row_messages import row_messages

COLUMNS: Mapping[str, type[pl.DataType]] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "timestamp": pl.Int64,
    "local_timestamp": pl.Int64,
    "is_snapshot": pl.String,
    "side": pl.String,
    "price": pl.String,
    "amount": pl.String,
}
ALLOWED = {"is_snapshot": ("true", "false"), "side": ("bid", "ask")}


class TardisCapture(CaptureDays):
    """A file of changes; the clock is `local_timestamp`, the time of receipt.

    Attributes:
        exchange: Exchange as Tardis writes it, such as `binance-futures`.
        symbol: Symbol as the exchange writes it; without its signs it is the instrument's.
        changes: The file.
    """

    exchange: Annotated[str, Field(min_length=2)]
    symbol: Annotated[str, Field(min_length=2)]
    changes: EnvironmentText


class TardisIncrementalParameters(DiffParameters):
    """Parameters of `tardis_incremental`.

    Attributes:
        captures: Captures of each instrument in the order of time.
    """

    captures: dict[str, Annotated[tuple[TardisCapture, ...], Field(min_length=1)]]


@SOURCES.register("tardis_incremental")
class TardisIncrementalSource(CaptureSource[TardisCapture]):
    """Books rebuilt from Tardis changes; `batch_id` is the line that the state ends with.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A capture is given for an instrument that is not configured or has another symbol.
    """

    parameters = TardisIncrementalParameters

    def __init__(
        self, parameters: TardisIncrementalParameters, instruments: Mapping[str, InstrumentParameters]
    ) -> None:
        super().__init__(parameters, parameters.captures, parameters.policy, instruments)
        for name, captures in parameters.captures.items():
            for capture in captures:
                require_same_symbol(instruments[name], capture.symbol)

    def files(self, capture: TardisCapture) -> tuple[EnvironmentText, ...]:
        """The file."""
        return (capture.changes,)

    def rule(self, instrument: InstrumentParameters, capture: TardisCapture) -> SequenceRule:  # noqa: ARG002 -- one rule
        """How the messages of a capture follow one another."""
        return AscendingNumbers()

    def messages(self, reading: Reading, capture: TardisCapture) -> Iterator[Message]:
        """Messages of a capture in the order of its clock."""
        changes = row_messages(
            self._blocks(reading, capture),
            ("local_timestamp", "is_snapshot"),
            pl.col("side") == "bid",
            "price",
            "amount",
        )
        was_snapshot = False
        for change in changes:
            clock_us, is_snapshot = int(change.key[0]), change.key[1] == "true"
            if is_snapshot and not was_snapshot:
                yield InitialBook(change.place, clock_us, change.last_line, change.bids, change.asks, in_stream=True)
            else:
                number = change.last_line
                yield DepthDiff(change.place, clock_us, number, number, None, change.bids, change.asks)
            was_snapshot = is_snapshot

    def _blocks(self, reading: Reading, capture: TardisCapture) -> Iterator[CsvBlock]:
        origin = reading.origin(capture.changes)
        found = False
        seen: set[tuple[str, str]] = set()
        for block in csv_blocks(Path(capture.changes), origin, reading.caps, COLUMNS):
            for name, allowed in ALLOWED.items():
                if not (fits := block.rows[name].is_in(allowed)).all():
                    row = int(fits.arg_min() or 0)
                    raise SourceError(
                        f"{block.place(row)}: column {name} holds {block.rows[name][row]!r}, expected "
                        f"{' or '.join(allowed)} -> fetch the file again"
                    )
            is_wanted = (block.rows["exchange"] == capture.exchange) & (block.rows["symbol"] == capture.symbol)
            if not is_wanted.all():
                seen.update(block.rows.select("exchange", "symbol").unique().rows())
            if is_wanted.any():
                found = True
                yield block.where(is_wanted)
        if not found:
            names = ", ".join(" ".join(pair) for pair in sorted(seen)) or "no rows at all"
            raise SourceError(
                f"{origin}: no row of {capture.exchange} {capture.symbol}, found are {names} -> check exchange and "
                "symbol of the capture"
            )
