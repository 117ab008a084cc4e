"""Source kind `json_level_files`: one row a book, each side as JSON text of [price, quantity] pairs."""

from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SOURCES, TALL_SCHEMA, InstrumentParameters
from trademl_assets.sources.formats.instants import TimeColumn
from trademl_assets.sources.formats.opened_files import FileFormat
from trademl_assets.sources.formats.tables import Columns, Table
from trademl_assets.sources.formats.whole_books import WholeBookFiles, WholeBookSource
from trademl_assets.sources.tall_layout import FlatSide, lay_out

BOOKS_AT_ONCE = 4096
"""Texts are taken apart in slices of this many books, so that the pieces in between stay small."""

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_VALUE = rf'\s*(?:"{_NUMBER}"|{_NUMBER})\s*'
_LEVEL = rf"\s*\[{_VALUE},{_VALUE}\]\s*"
_LEVELS = rf"^\s*\[(?:{_LEVEL}(?:,{_LEVEL})*|\s*)\]\s*$"
_SHOWN_CHARACTERS = 60


class JsonColumns(Parameters):
    """Names of the columns with the two sides.

    Attributes:
        bids: JSON list of [price, quantity], best first.
        asks: The same.
    """

    bids: str
    asks: str


class JsonLevelFilesParameters(WholeBookFiles):
    """Parameters of `json_level_files`.

    Attributes:
        time: Column of the instant.
        batch: Column of the venue's sequence number, null where there is none.
        columns: Columns of the two sides.
        max_levels: Most levels a side.
        headerless_columns: Names of the columns of CSV files without a header, in order; else empty.
    """

    time: TimeColumn
    batch: str | None
    columns: JsonColumns
    max_levels: Annotated[int, Field(ge=1)]
    headerless_columns: tuple[str, ...]


@SOURCES.register("json_level_files")
class JsonLevelFilesSource(WholeBookSource[JsonLevelFilesParameters]):
    """Raw depth from Parquet or CSV files whose rows are books, levels as JSON text."""

    parameters = JsonLevelFilesParameters

    def form(self, instrument: InstrumentParameters) -> FileFormat:
        """Files with text columns."""
        equal = self.settings.equal.get(instrument.name, {})
        return FileFormat(frozenset({"json_level_files"}), self.settings.time, equal, self.settings.headerless_columns)

    def batch_column(self) -> str | None:
        """The configured column."""
        return self.settings.batch

    def payload(self, table: Table, origin: str) -> Columns:
        """The two text columns."""
        del table, origin
        return {self.settings.columns.bids: None, self.settings.columns.asks: None}

    def tall_rows(
        self,
        books: pl.DataFrame,
        instants: pl.Series,
        batches: NDArray[np.int64],
        instrument: InstrumentParameters,
        origin: str,
    ) -> tuple[pl.DataFrame, int]:
        """Texts taken apart and laid out level by level."""
        del instrument
        frames, left_out = [pl.DataFrame(schema=dict(TALL_SCHEMA))], 0
        for start in range(0, books.height, BOOKS_AT_ONCE):
            part = slice(start, start + BOOKS_AT_ONCE)
            sides = []
            for name in (self.settings.columns.bids, self.settings.columns.asks):
                side, beyond = _side(books[name][part], self.settings.max_levels, origin)
                sides.append(side)
                left_out += beyond
            frames.append(lay_out(instants[part], batches[part], *sides).select(*TALL_SCHEMA))
        return pl.concat(frames), left_out


def _side(texts: pl.Series, max_levels: int, origin: str) -> tuple[FlatSide, int]:
    if texts.dtype != pl.String:
        raise SourceError(f"{origin}: column {texts.name} is {texts.dtype}, expected JSON text -> check the columns")
    whole = texts.str.contains(_LEVELS).fill_null(value=False)
    if not whole.all():
        odd = texts.filter(~whole)
        shown = "nothing" if odd[0] is None else repr(odd[0][:_SHOWN_CHARACTERS])
        raise SourceError(
            f"{origin}: column {texts.name} holds {shown} in one of {len(odd)} rows, expected JSON as "
            '[["price", "quantity"], ...] -> fetch the file again, or leave these rows out'
        )
    cells = texts.str.split(",")
    depths = cells.list.len().to_numpy().astype(np.int64) // 2  # an empty list has one cell, which is none
    shown_depths = np.minimum(depths, max_levels)
    values = (
        cells.filter(pl.Series(depths > 0))
        .list.head(2 * max_levels)
        .explode()
        .str.strip_chars('[]" \t\r\n')
        .cast(pl.Float64)
    ).to_numpy()
    return FlatSide(shown_depths, values[0::2], values[1::2]), int((depths - shown_depths).sum())
