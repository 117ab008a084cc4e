"""Source kind `tardis_snapshots`: Tardis `book_snapshot_5`, `book_snapshot_25` or any other depth."""

from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.instants import TimeColumn
from trademl_assets.sources.formats.level_layouts import LEVEL_COLUMNS, lay_out_columns, numbered_columns
from trademl_assets.sources.formats.opened_files import FileFormat
from trademl_assets.sources.formats.tables import Columns, Table
from trademl_assets.sources.formats.whole_books import WholeBookFiles, WholeBookSource

PATTERNS = dict(
    zip(
        LEVEL_COLUMNS,
        ("bids[{level}].price", "bids[{level}].amount", "asks[{level}].price", "asks[{level}].amount"),
        strict=True,
    )
)


class TardisSnapshotsParameters(WholeBookFiles):
    """Parameters of `tardis_snapshots`; the rows of other symbols than the instrument's are left out.

    Attributes:
        clock: `timestamp`, the exchange's time, or `local_timestamp`, when the message arrived.
        max_levels: Most levels a side.
    """

    clock: Literal["timestamp", "local_timestamp"]
    max_levels: Annotated[int, Field(ge=1)]


@SOURCES.register("tardis_snapshots")
class TardisSnapshotsSource(WholeBookSource[TardisSnapshotsParameters]):
    """Raw depth from Tardis snapshots; an empty cell is a missing level."""

    parameters = TardisSnapshotsParameters

    def form(self, instrument: InstrumentParameters) -> FileFormat:
        """Times in microseconds; `symbol` is the instrument's unless `equal` says otherwise."""
        equal = {"symbol": instrument.symbol, **self.settings.equal.get(instrument.name, {})}
        time = TimeColumn(column=self.settings.clock, unit="us", zone=None)
        return FileFormat(frozenset({"tardis_snapshots"}), time, equal, ())

    def batch_column(self) -> str | None:
        """Tardis hands out no sequence numbers."""
        return None

    def payload(self, table: Table, origin: str) -> Columns:
        """The columns of all levels in the header."""
        found = numbered_columns(table.names, PATTERNS, origin)
        return {name: pl.Float64() for names in found.values() for name in names}

    def tall_rows(
        self,
        books: pl.DataFrame,
        instants: pl.Series,
        batches: NDArray[np.int64],
        instrument: InstrumentParameters,
        origin: str,
    ) -> tuple[pl.DataFrame, int]:
        """Columns laid out level by level."""
        del instrument
        columns = numbered_columns(books.columns, PATTERNS, origin)
        return lay_out_columns(books, instants, batches, columns, self.settings.max_levels)
