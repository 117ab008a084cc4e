"""Source kind `level_column_files`: one row a book, a column for each level, side and quality."""

from typing import Annotated, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.formats.instants import TimeColumn
from trademl_assets.sources.formats.level_layouts import LEVEL_COLUMNS, lay_out_columns, numbered_columns
from trademl_assets.sources.formats.list_column_files import LevelColumnNames
from trademl_assets.sources.formats.opened_files import FileFormat
from trademl_assets.sources.formats.tables import Columns, Table
from trademl_assets.sources.formats.whole_books import WholeBookFiles, WholeBookSource

Divisor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PriceColumns(Parameters):
    """How prices are written.

    Attributes:
        form: `price` divided by `divisor`, or `distance`: the signed distance from `midpoint` as a fraction of it.
        divisor: What written prices are divided by, for fixed point; 1 otherwise.
        midpoint: Column of the midpoint where prices are distances; else null.
        max_tick_error: Distances are turned into prices on the instrument's tick; a price further than this many ticks
            from one is refused. Null where prices are written themselves.
    """

    form: Literal["price", "distance"]
    divisor: Divisor
    midpoint: str | None
    max_tick_error: Annotated[float, Field(gt=0, le=0.5)] | None

    @model_validator(mode="after")
    def _distances_are_from_a_midpoint(self) -> Self:
        given = (self.midpoint is not None, self.max_tick_error is not None)
        if given != (self.form == "distance",) * 2:
            raise ValueError(f"form {self.form}: write midpoint and max_tick_error for distances, null for prices")
        return self


class QuantityColumns(Parameters):
    """How quantities are written.

    Attributes:
        form: `base` units (or contracts) divided by `divisor`, or `notional`: in quote currency, divided by the price.
        divisor: What written quantities are divided by, for fixed point; 1 otherwise.
    """

    form: Literal["base", "notional"]
    divisor: Divisor


class LevelColumnFilesParameters(WholeBookFiles):
    """Parameters of `level_column_files`.

    Attributes:
        time: Column of the instant.
        batch: Column of the venue's sequence number, null where there is none.
        columns: Names of the columns with `{level}` where the level's number stands; the least number in the header is
            the best level. Without `{level}` the files hold one level.
        prices: How prices are written.
        quantities: How quantities are written.
        max_levels: Most levels a side.
        headerless_columns: Names of the columns of CSV files without a header, in order; else empty.
    """

    time: TimeColumn
    batch: str | None
    columns: LevelColumnNames
    prices: PriceColumns
    quantities: QuantityColumns
    max_levels: Annotated[int, Field(ge=1)]
    headerless_columns: tuple[str, ...]


@SOURCES.register("level_column_files")
class LevelColumnFilesSource(WholeBookSource[LevelColumnFilesParameters]):
    """Raw depth from Parquet or CSV files whose rows are books, a column for each level."""

    parameters = LevelColumnFilesParameters

    def form(self, instrument: InstrumentParameters) -> FileFormat:
        """Files with numbered columns."""
        kinds = frozenset({"level_column_files", "tardis_snapshots", "binance_book_ticker"})
        equal = self.settings.equal.get(instrument.name, {})
        return FileFormat(kinds, self.settings.time, equal, self.settings.headerless_columns)

    def batch_column(self) -> str | None:
        """The configured column."""
        return self.settings.batch

    def payload(self, table: Table, origin: str) -> Columns:
        """The columns of all levels in the header, and the midpoint."""
        found = numbered_columns(table.names, self._patterns(), origin)
        midpoint = [self.settings.prices.midpoint] if self.settings.prices.midpoint is not None else []
        return {name: pl.Float64() for names in (*found.values(), midpoint) for name in names}

    def tall_rows(
        self,
        books: pl.DataFrame,
        instants: pl.Series,
        batches: NDArray[np.int64],
        instrument: InstrumentParameters,
        origin: str,
    ) -> tuple[pl.DataFrame, int]:
        """Columns turned into prices and quantities and laid out level by level."""
        columns = numbered_columns(books.columns, self._patterns(), origin)
        books = self._with_prices(books, columns, instrument, origin)
        books = books.with_columns(
            self._quantity(quantity, price)
            for side in ("bid", "ask")
            for quantity, price in zip(columns[f"{side}_quantity"], columns[f"{side}_price"], strict=True)
        )
        return lay_out_columns(books, instants, batches, columns, self.settings.max_levels)

    def _patterns(self) -> dict[str, str]:
        return {name: getattr(self.settings.columns, name) for name in LEVEL_COLUMNS}

    def _with_prices(
        self, books: pl.DataFrame, columns: dict[str, list[str]], instrument: InstrumentParameters, origin: str
    ) -> pl.DataFrame:
        prices, names = self.settings.prices, [*columns["bid_price"], *columns["ask_price"]]
        if prices.midpoint is None or prices.max_tick_error is None:
            return books.with_columns(pl.col(names) / prices.divisor) if prices.divisor != 1 else books
        ticks = books.select((pl.col(names) + 1) * pl.col(prices.midpoint) / instrument.tick_size)
        worst = ticks.select(pl.max_horizontal((pl.all() - pl.all().round()).abs().max())).item()
        if worst is not None and not worst <= prices.max_tick_error:
            raise SourceError(
                f"{origin}: distances lead to prices up to {worst:.3g} ticks of {instrument.tick_size} off a tick, "
                f"allowed are {prices.max_tick_error} -> check tick_size, the midpoint, or raise prices.max_tick_error"
            )
        per_unit = round(1 / instrument.tick_size)
        exact = per_unit if abs(per_unit * instrument.tick_size - 1) < _EXACT else None
        on_tick = ticks.select(pl.all().round() / exact if exact else pl.all().round() * instrument.tick_size)
        return books.with_columns(on_tick)

    def _quantity(self, quantity: str, price: str) -> pl.Expr:
        written = pl.col(quantity)
        if self.settings.quantities.divisor != 1:
            written = written / self.settings.quantities.divisor
        return written / pl.col(price) if self.settings.quantities.form == "notional" else written


_EXACT = 1e-12
"""A tick whose inverse is whole to this relative error divides: 6059001 / 100 is the price, 6059001 * 0.01 is not."""
