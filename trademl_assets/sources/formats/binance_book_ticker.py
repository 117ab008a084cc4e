"""Source kind `binance_book_ticker`: Binance's archive of best bids and asks, books of one level."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.instants import TimeColumn
from trademl_assets.sources.formats.level_layouts import LEVEL_COLUMNS, lay_out_columns
from trademl_assets.sources.formats.opened_files import FileFormat
from trademl_assets.sources.formats.tables import Columns, Table
from trademl_assets.sources.formats.whole_books import WholeBookFiles, WholeBookSource

ARCHIVE_COLUMNS = (
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
)
_ARCHIVE_NAME = re.compile(r"([A-Z0-9_]+)-bookTicker-")


class BinanceBookTickerParameters(WholeBookFiles):
    """Parameters of `binance_book_ticker`.

    Attributes:
        clock: `transaction_time`, when the matching engine changed the book, or `event_time`, when it said so.
    """

    clock: Literal["transaction_time", "event_time"]


@SOURCES.register("binance_book_ticker")
class BinanceBookTickerSource(WholeBookSource[BinanceBookTickerParameters]):
    """Books of one level from bookTicker archives; `batch_id` is the update id."""

    parameters = BinanceBookTickerParameters

    def form(self, instrument: InstrumentParameters) -> FileFormat:
        """Zip archives of one CSV, with or without header, times in milliseconds or microseconds by their digits."""
        time = TimeColumn(column=self.settings.clock, unit="sniff", zone=None)
        equal = self.settings.equal.get(instrument.name, {})
        self._require_symbol(instrument)
        return FileFormat(frozenset({"binance_book_ticker"}), time, equal, ARCHIVE_COLUMNS)

    def batch_column(self) -> str | None:
        """The update id."""
        return "update_id"

    def payload(self, table: Table, origin: str) -> Columns:
        """Best prices and quantities."""
        del table, origin
        return {name: pl.Float64() for name in ARCHIVE_COLUMNS[1:5]}

    def tall_rows(
        self,
        books: pl.DataFrame,
        instants: pl.Series,
        batches: NDArray[np.int64],
        instrument: InstrumentParameters,
        origin: str,
    ) -> tuple[pl.DataFrame, int]:
        """One row a book."""
        del instrument, origin
        columns = dict(zip(LEVEL_COLUMNS, ([name] for name in ARCHIVE_COLUMNS[1:5]), strict=True))
        return lay_out_columns(books, instants, batches, columns, 1)

    def _require_symbol(self, instrument: InstrumentParameters) -> None:
        name = Path(self.settings.files.get(instrument.name, "")).name
        named = _ARCHIVE_NAME.match(name)
        if named and named.group(1) != instrument.symbol:
            raise SourceError(
                f"{instrument.name}, file {name}: holds {named.group(1)}, the instrument's symbol is "
                f"{instrument.symbol} -> check files"
            )
