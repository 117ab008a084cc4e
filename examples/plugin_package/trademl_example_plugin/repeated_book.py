"""A source that hands out the same book at every instant: the least that a source of raw depth is."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated

import polars as pl
from pydantic import Field

from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import TALL_SCHEMA, InstrumentParameters


class RepeatedBookParameters(Parameters):
    """Parameters of `repeated_book`.

    Attributes:
        cadence_seconds: Seconds between instants.
        levels: Levels a side.
        mid: Middle of the book, in quote currency.
    """

    cadence_seconds: Annotated[int, Field(ge=1)]
    levels: Annotated[int, Field(ge=1)]
    mid: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RepeatedBookSource:
    """The same book over and over, one tick between its levels, its sizes moving so that no feed looks stuck."""

    parameters = RepeatedBookParameters

    def __init__(self, parameters: RepeatedBookParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        del instruments  # this source knows every instrument
        self._settings = parameters

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Rows of `TALL_SCHEMA` within [start of `day` - `lead_in_seconds`, end of `day`)."""
        start, end = day_bounds(day)
        step = timedelta(seconds=self._settings.cadence_seconds)
        instants = pl.datetime_range(start - timedelta(seconds=lead_in_seconds), end, step, closed="left", eager=True)
        books = pl.DataFrame({"ts": instants}).with_row_index("batch_id")
        levels = pl.DataFrame({"level": range(self._settings.levels)})
        distance = (pl.col("level") + 1) * instrument.tick_size
        quantity = instrument.reference_quantity * (1 + (pl.col("batch_id") % 7) / 10)
        rows = books.join(levels, how="cross").with_columns(
            bid_price=self._settings.mid - distance,
            bid_quantity=quantity,
            ask_price=self._settings.mid + distance,
            ask_quantity=quantity,
        )
        return rows.select(pl.col(name).cast(kind) for name, kind in TALL_SCHEMA.items())
