"""Source kind `depth_files`: Parquet files with one row a book and its levels in list columns."""

from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.instants import TimeColumn
from trademl_assets.sources.formats.level_layouts import LEVEL_COLUMNS, lay_out_lists
from trademl_assets.sources.formats.opened_files import FileFormat
from trademl_assets.sources.formats.tables import Columns, Table
from trademl_assets.sources.formats.whole_books import WholeBookFiles, WholeBookSource


class LevelColumnNames(Parameters):
    """Names of the columns that hold a book's levels.

    Attributes:
        bid_price: Bid prices.
        bid_quantity: Bid quantities.
        ask_price: Ask prices.
        ask_quantity: Ask quantities.
    """

    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str


class DepthFilesParameters(WholeBookFiles):
    """Parameters of `depth_files`.

    Attributes:
        time: Column of the instant.
        batch: Column of the venue's sequence number, null where there is none.
        columns: Columns of the levels, lists with the best level first.
        max_levels: Most levels a side.
    """

    time: TimeColumn
    batch: str | None
    columns: LevelColumnNames
    max_levels: Annotated[int, Field(ge=1)]


@SOURCES.register("depth_files")
class DepthFilesSource(WholeBookSource[DepthFilesParameters]):
    """Raw depth from Parquet files whose rows are books, levels as lists."""

    parameters = DepthFilesParameters

    def form(self, instrument: InstrumentParameters) -> FileFormat:
        """Parquet files with list columns."""
        equal = self.settings.equal.get(instrument.name, {})
        return FileFormat(frozenset({"depth_files"}), self.settings.time, equal, ())

    def batch_column(self) -> str | None:
        """The configured column."""
        return self.settings.batch

    def payload(self, table: Table, origin: str) -> Columns:
        """The four list columns."""
        del table, origin
        return {getattr(self.settings.columns, name): pl.List(pl.Float64()) for name in LEVEL_COLUMNS}

    def tall_rows(
        self,
        books: pl.DataFrame,
        instants: pl.Series,
        batches: NDArray[np.int64],
        instrument: InstrumentParameters,
        origin: str,
    ) -> tuple[pl.DataFrame, int]:
        """Lists laid out level by level."""
        del instrument
        named = books.select(pl.col(getattr(self.settings.columns, name)).alias(name) for name in LEVEL_COLUMNS)
        return lay_out_lists(named, instants, batches, self.settings.max_levels, origin)
