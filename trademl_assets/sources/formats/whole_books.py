"""What the importers of files with one row a book share: which books are kept, and in which order."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import TALL_SCHEMA, InstrumentParameters
from trademl_assets.sources.formats.chosen_files import BookFiles
from trademl_assets.sources.formats.opened_files import (
    FileFormat,
    OpenedFile,
    Window,
    open_files,
    require_known,
    window_of,
)
from trademl_assets.sources.formats.sampling import sample_books
from trademl_assets.sources.formats.tables import Columns, Table, brief_names

Ints = NDArray[np.int64]


class WholeBookFiles(BookFiles):
    """Parameters of files with one row a book.

    Attributes:
        repeated_instants: What several books of one instant mean: `refuse` the day, or `keep_last`, the one with the
            greatest sequence number, else the last in the file; the others are counted.
    """

    repeated_instants: Literal["refuse", "keep_last"]


P = TypeVar("P", bound=WholeBookFiles)


class WholeBookSource(ABC, Generic[P]):
    """Raw depth from files with one row a book; a kind says how a row becomes levels.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A file is given for an instrument that is not configured.
    """

    parameters: ClassVar[type[WholeBookFiles]]

    def __init__(self, parameters: P, instruments: Mapping[str, InstrumentParameters]) -> None:
        require_known(parameters, instruments)
        self.settings = parameters

    @abstractmethod
    def form(self, instrument: InstrumentParameters) -> FileFormat:
        """Which files are welcome, where the instant stands, which rows are the instrument's."""

    @abstractmethod
    def batch_column(self) -> str | None:
        """Column with the venue's sequence number, None where there is none; `batch_id` is 0 then."""

    @abstractmethod
    def payload(self, table: Table, origin: str) -> Columns:
        """Columns that hold the levels, and the types they are read in.

        Raises:
            SourceError: The file has no such columns.
        """

    @abstractmethod
    def tall_rows(
        self, books: pl.DataFrame, instants: pl.Series, batches: Ints, instrument: InstrumentParameters, origin: str
    ) -> tuple[pl.DataFrame, int]:
        """Rows of `TALL_SCHEMA` of some books, and the number of levels left out beyond `max_levels`.

        Raises:
            SourceError: The levels cannot be read.
        """

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
        window = window_of(day, lead_in_seconds, self.settings)
        files = open_files(self.settings, self.form(instrument), instrument, day, window)
        payloads = [self.payload(file.table, file.origin) for file in files]
        for file, payload in zip(files, payloads, strict=True):
            file.table.require(payload, file.origin)
        chosen, counts = self._choose(files, window, named_title(files, instrument, day))
        frames, left_out = [pl.DataFrame(schema=dict(TALL_SCHEMA))], 0
        for number, (file, payload) in enumerate(zip(files, payloads, strict=True)):
            mine = chosen.file == number
            if not mine.any():
                continue
            books = _gather(file.table, payload, chosen.row[mine])
            instants = pl.Series("ts", chosen.instant[mine]).cast(TALL_SCHEMA["ts"])
            tall, beyond = self.tall_rows(books, instants, chosen.batch[mine], instrument, file.origin)
            frames.append(tall.select(*TALL_SCHEMA))
            left_out += beyond
        rows = pl.concat(frames)
        if not rows["ts"].is_sorted():
            rows = rows.sort("ts", "level", maintain_order=True)
        facts = {"files": [file.facts for file in files], **counts, "levels_beyond_max": left_out}
        return rows, {**facts, "tall_rows": rows.height}

    def _choose(self, files: list[OpenedFile], window: Window, title: str) -> tuple["_Chosen", dict[str, int]]:
        books = _Chosen(
            file=np.repeat(np.arange(len(files)), [len(file.rows) for file in files]),
            row=_joined([file.rows for file in files]),
            instant=_joined([file.instants for file in files]),
            batch=_joined([self._batches(file) for file in files]),
        )
        regressed = count_out_of_order(books.instant)
        require_order(regressed, len(books.instant), self.settings.max_out_of_order_share, title)
        books = books.take(np.lexsort((books.batch, books.instant)))
        last = np.append(books.instant[1:] != books.instant[:-1], np.ones(min(1, len(books.instant)), dtype=np.bool_))
        if self.settings.repeated_instants == "refuse" and not last.all():
            raise SourceError(
                f"{title}: {int((~last).sum())} books repeat an instant -> drop repetitions, or write "
                "repeated_instants: keep_last"
            )
        counts = {
            "books": len(books.instant),
            "books_out_of_order": regressed,
            "books_of_repeated_instants": int((~last).sum()),
        }
        books = books.take(np.flatnonzero(last))
        if self.settings.snapshot_cadence_seconds is not None:
            grid, latest = sample_books(
                books.instant,
                window.first,
                window.end,
                self.settings.snapshot_cadence_seconds * MICROSECONDS_PER_SECOND,
                (self.settings.max_silence_seconds or 0) * MICROSECONDS_PER_SECOND,
            )
            counts["books_between_instants"] = len(books.instant) - len(np.unique(latest))
            books = books.take(latest)
            books = _Chosen(books.file, books.row, grid, books.batch)
        return books, {**counts, "books_kept": len(books.instant)}

    def _batches(self, file: OpenedFile) -> Ints:
        name = self.batch_column()
        if name is None:
            return np.zeros(len(file.rows), dtype=np.int64)
        return read_batches(file, name)


class _Chosen:
    """Books by file, row in it, instant and batch; arrays of one shape."""

    def __init__(self, file: Ints, row: Ints, instant: Ints, batch: Ints) -> None:
        self.file, self.row, self.instant, self.batch = file, row, instant, batch

    def take(self, which: Ints) -> "_Chosen":
        return _Chosen(self.file[which], self.row[which], self.instant[which], self.batch[which])


def read_batches(file: OpenedFile, name: str) -> Ints:
    """Sequence numbers of the rows of a file that lie in the window.

    Raises:
        SourceError: The column is missing, is no whole number, or lacks values.
    """
    batches = file.table.read({name: pl.Int64()}, file.rows)[name]
    if batches.null_count():
        raise SourceError(f"{file.origin}: column {name} lacks {batches.null_count()} values -> write batch: null")
    return batches.to_numpy()


def named_title(files: list[OpenedFile], instrument: InstrumentParameters, day: date) -> str:
    """Instrument, day and files, for messages about all files together."""
    names = brief_names(tuple(str(file.facts["file"]) for file in files))
    return f"{instrument.name} on {day}, file {names}"


def count_out_of_order(instants: Ints) -> int:
    """Rows that come after a later one."""
    return int((instants < np.maximum.accumulate(instants)).sum()) if len(instants) else 0


def require_order(regressed: int, rows: int, max_share: float, title: str) -> None:
    """Check the share of rows out of order.

    Raises:
        SourceError: It is beyond the limit.
    """
    if regressed > max_share * rows:
        raise SourceError(
            f"{title}: {regressed} of {rows} instants step back, allowed is a share of {max_share} -> sort the files, "
            "or raise max_out_of_order_share"
        )


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _gather(table: Table, payload: Columns, rows: Ints) -> pl.DataFrame:
    """Read ascending distinct rows once, then bring them into the order wanted."""
    distinct, place = np.unique(rows, return_inverse=True)
    books = table.read(payload, distinct)
    return books if len(distinct) == len(rows) and (np.diff(rows) > 0).all() else books[place]
