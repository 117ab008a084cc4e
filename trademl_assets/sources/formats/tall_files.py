"""Source kind `tall_files`: Parquet or CSV files with one row a level, columns named by configuration."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SOURCES, TALL_SCHEMA, InstrumentParameters
from trademl_assets.sources.formats.chosen_files import BookFiles
from trademl_assets.sources.formats.instants import TimeColumn
from trademl_assets.sources.formats.level_layouts import LEVEL_COLUMNS
from trademl_assets.sources.formats.opened_files import (
    FileFormat,
    OpenedFile,
    Window,
    open_files,
    require_known,
    window_of,
)
from trademl_assets.sources.formats.pairing import in_order, paired, ranked_by_price, starts_of_runs, told_sides
from trademl_assets.sources.formats.sampling import sample_books
from trademl_assets.sources.formats.whole_books import count_out_of_order, named_title, read_batches, require_order

_LEVELS = range(2**31)
"""Levels are numbered with 32 bits."""


class PairedColumns(Parameters):
    """Layout with columns for the bid and the ask of a level in each row.

    Attributes:
        by: `paired`.
        bid_price: Column of the bid price.
        bid_quantity: Column of the bid quantity.
        ask_price: Column of the ask price.
        ask_quantity: Column of the ask quantity.
    """

    by: Literal["paired"]
    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str


class SideColumn(Parameters):
    """Layout with one price and one quantity in each row, and a column that says the side.

    Attributes:
        by: `side`.
        side: Column of the side.
        bid: Text of a bid in it.
        ask: Text of an ask.
        price: Column of the price.
        quantity: Column of the quantity.
    """

    by: Literal["side"]
    side: str
    bid: str
    ask: str
    price: str
    quantity: str


class TallFilesParameters(BookFiles):
    """Parameters of `tall_files`.

    Attributes:
        time: Column of the instant.
        batch: Column of the sequence number or batch, null where there is none; `batch_id` is 0 then.
        level: Column of the level, null where there is none: levels are then ranked by price.
        first_level: Number of the best level, where there is a column of levels.
        layout: Where prices and quantities stand.
        max_levels: Most levels a side.
        headerless_columns: Names of the columns of CSV files without a header, in order; else empty.
    """

    time: TimeColumn
    batch: str | None
    level: str | None
    first_level: Annotated[int, Field(ge=0)]
    layout: Annotated[PairedColumns | SideColumn, Field(discriminator="by")]
    max_levels: Annotated[int, Field(ge=1)]
    headerless_columns: tuple[str, ...]


@SOURCES.register("tall_files")
class TallFilesSource:
    """Raw depth from Parquet or CSV files of tall rows.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A file is given for an instrument that is not configured.
    """

    parameters = TallFilesParameters

    def __init__(self, parameters: TallFilesParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        require_known(parameters, instruments)
        self._settings = parameters

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Rows of `TALL_SCHEMA` within [start of `day` - `lead_in_seconds`, end of `day`), at most `max_levels` deep.

        Raises:
            SourceError: No file covers the day, or a file that is damaged, too large or of another layout; names
                instrument, day and file.
        """
        return self.extract_described(instrument, day, lead_in_seconds)[0]

    def extract_described(
        self, instrument: InstrumentParameters, day: date, lead_in_seconds: int
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Rows as `extract`, with the files they come from and how many rows were left out and why."""
        settings = self._settings
        window = window_of(day, lead_in_seconds, settings)
        equal = settings.equal.get(instrument.name, {})
        form = FileFormat(frozenset({"tall_files"}), settings.time, equal, settings.headerless_columns)
        files = open_files(settings, form, instrument, day, window)
        instants = np.concatenate([file.instants for file in files])
        regressed = count_out_of_order(instants)
        require_order(regressed, len(instants), settings.max_out_of_order_share, named_title(files, instrument, day))
        levels = pl.concat([self._levels(file) for file in files])
        shallow = levels.filter(pl.col("level") < settings.max_levels)
        tall, between = self._sampled(shallow, window)
        facts = {
            "files": [file.facts for file in files],
            "rows": len(instants),
            "rows_out_of_order": regressed,
            "levels_beyond_max": levels.height - shallow.height,
        }
        if between is not None:
            facts["books_between_instants"] = between
        return tall, {**facts, "tall_rows": tall.height}

    def _levels(self, file: OpenedFile) -> pl.DataFrame:
        """Rows of `TALL_SCHEMA` in the order (ts, batch_id, level), whole window."""
        settings, layout = self._settings, self._settings.layout
        columns: dict[str, pl.DataType | None] = {settings.level: pl.Int64()} if settings.level else {}
        if isinstance(layout, PairedColumns):
            columns |= {getattr(layout, name): pl.Float64() for name in LEVEL_COLUMNS}
        else:
            columns |= {layout.side: pl.String(), layout.price: pl.Float64(), layout.quantity: pl.Float64()}
        written = file.table.read(columns, file.rows)
        batches = read_batches(file, settings.batch) if settings.batch else np.zeros(len(file.rows), dtype=np.int64)
        keys = {"ts": pl.Series(file.instants).cast(TALL_SCHEMA["ts"]), "batch_id": pl.Series(batches)}
        if settings.level:
            keys["level"] = self._numbered(written[settings.level], file.origin)
        if isinstance(layout, PairedColumns):
            rows = pl.DataFrame({**keys, **{name: written[getattr(layout, name)] for name in LEVEL_COLUMNS}})
            if settings.level:
                return in_order(rows).select(*TALL_SCHEMA)
            halves = [
                rows.select(
                    "ts",
                    "batch_id",
                    pl.col(f"{side}_price").alias("price"),
                    pl.col(f"{side}_quantity").alias("quantity"),
                )
                for side in ("bid", "ask")
            ]
        else:
            rows = pl.DataFrame({**keys, "price": written[layout.price], "quantity": written[layout.quantity]})
            halves = [
                rows.filter(half) for half in told_sides(written[layout.side], layout.bid, layout.ask, file.origin)
            ]
        if not settings.level:
            halves = [ranked_by_price(half, highest_first=side == 0) for side, half in enumerate(halves)]
        return paired(*halves)

    def _numbered(self, written: pl.Series, origin: str) -> pl.Series:
        levels = written - self._settings.first_level
        if levels.has_nulls() or not levels.is_between(_LEVELS.start, _LEVELS.stop, closed="left").all():
            raise SourceError(
                f"{origin}: column {written.name} holds {written.min()!s} to {written.max()!s} and "
                f"{written.null_count()} nulls, expected levels from {self._settings.first_level} "
                "-> check level and first_level"
            )
        return levels.cast(pl.Int32)

    def _sampled(self, tall: pl.DataFrame, window: Window) -> tuple[pl.DataFrame, int | None]:
        """The rows handed out, and the number of books that no instant shows (null where every book is kept)."""
        if not tall["ts"].is_sorted():
            tall = tall.sort("ts", "batch_id", "level", maintain_order=True)
        cadence = self._settings.snapshot_cadence_seconds
        if cadence is None:
            # Books of one instant interleave level by level: the contract's order, and the sequence number tells them
            # apart.
            mixed = tall.select((pl.col("ts").diff().dt.total_microseconds() == 0) & (pl.col("level").diff() < 0)).sum()
            return (tall.sort("ts", "level", maintain_order=True) if mixed.item() else tall), None
        starts = starts_of_runs(tall, ("ts", "batch_id"))
        books = tall["ts"].to_physical().to_numpy()[starts]
        grid, latest = sample_books(
            books,
            window.first,
            window.end,
            cadence * MICROSECONDS_PER_SECOND,
            (self._settings.max_silence_seconds or 0) * MICROSECONDS_PER_SECOND,
        )
        lengths = np.diff(np.append(starts, tall.height))[latest]
        offsets = np.cumsum(lengths) - lengths
        rows = np.arange(int(lengths.sum())) - np.repeat(offsets - starts[latest], lengths)
        shown = tall[rows].with_columns(pl.Series("ts", np.repeat(grid, lengths)).cast(TALL_SCHEMA["ts"]))
        return shown, len(books) - len(np.unique(latest))
