"""Opens foreign tables, Parquet or CSV (plain, gzip, zstd, zip), behind one face; sizes are capped before reading."""

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.input_files import note_input
from trademl_assets.sources.capped_parquet import (
    PARQUET_DAMAGE,
    ParquetCaps,
    require_columns_within_caps,
    require_within_caps,
)
from trademl_assets.sources.capped_reading import ReadingCaps, compression_of, read_capped

PARQUET_MAGIC = b"PAR1"
DELIMITERS = (",", "\t", ";", "|")
HEADER_BYTES = 1 << 20
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"-?\d*\.?\d+(e[+-]?\d+)?", re.IGNORECASE)

Columns = Mapping[str, pl.DataType | None]
"""Wanted columns and their types; None takes a column as it is."""


@dataclass(frozen=True)
class TableCaps:
    """Most that a table may declare.

    Attributes:
        rows: Most rows.
        file_bytes: Most bytes after decompression.
        compression_ratio: Most bytes after decompression for each byte of a compressed text file.
    """

    rows: int
    file_bytes: int
    compression_ratio: float


@dataclass(frozen=True)
class TextConventions:
    """What CSV files leave unsaid.

    Attributes:
        headerless_columns: Names of the columns of files without a header, in order; empty refuses such files.
        missing_texts: Texts that stand for a missing value, besides the empty cell.
    """

    headerless_columns: tuple[str, ...]
    missing_texts: tuple[str, ...]


class Table(ABC):
    """A table whose columns are read on demand.

    Attributes:
        height: Number of rows.
        names: Columns that there are.
        layout: What was sniffed, for people.
    """

    height: int
    names: tuple[str, ...]
    layout: str

    @abstractmethod
    def read(self, columns: Columns, rows: NDArray[np.int64] | None) -> pl.DataFrame:
        """Columns in the types wanted.

        Args:
            columns: Which, and their types.
            rows: Which rows, in the order wanted; None for all.

        Raises:
            SourceError: A column is missing, of another type, or holds the text NaN.
        """

    def require(self, columns: Columns, origin: str) -> None:
        """Check that the columns are there.

        Raises:
            SourceError: A column is missing.
        """
        if missing := [name for name in columns if name not in self.names]:
            raise SourceError(
                f"{origin}: lacks the columns {', '.join(missing)}, has {brief_names(self.names)} "
                "-> check the configured columns and the file's layout"
            )


def open_table(path: Path, origin: str, caps: TableCaps, conventions: TextConventions) -> Table:
    """Open a Parquet or CSV file; told apart by the first bytes.

    Raises:
        SourceError: The file is missing, empty, truncated, damaged, not UTF-8, larger than a cap, or no table.
    """
    note_input(path)
    try:
        with path.open("rb") as stream:
            is_parquet = stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
        if is_parquet:
            return _ParquetTable(path, origin, caps, conventions)
        reading = ReadingCaps(caps.file_bytes, caps.file_bytes, caps.compression_ratio)
        return _CsvTable(read_capped(path, origin, reading), compression_of(path), origin, caps, conventions)
    except OSError as error:
        raise SourceError(f"{origin}: cannot be read ({error}) -> check the path and its rights") from error


def header_cells(line: str) -> tuple[str, tuple[str, ...]]:
    """Delimiter and cells of the first line of a CSV file."""
    delimiter = max(DELIMITERS, key=lambda mark: _QUOTED.sub(b"", line.encode()).count(mark.encode()))
    cells = pl.read_csv(
        io.BytesIO(line.encode()), separator=delimiter, has_header=False, infer_schema=False, n_rows=1
    ).row(0)
    return delimiter, tuple("" if cell is None else str(cell).strip() for cell in cells)


def is_header(cells: tuple[str, ...]) -> bool:
    """Whether the first line names columns: none of its cells is a number."""
    return not any(_NUMBER.fullmatch(cell) for cell in cells)


def brief_names(names: tuple[str, ...]) -> str:
    """The first names of a list that may be long."""
    shown = 12
    return ", ".join(names[:shown]) + (f", ... ({len(names)} in all)" if len(names) > shown else "")


class _ParquetTable(Table):
    def __init__(self, path: Path, origin: str, caps: TableCaps, conventions: TextConventions) -> None:
        self._path, self._origin, self._caps = path, origin, caps
        self._missing = conventions.missing_texts
        try:
            self._metadata = pq.read_metadata(path)
            require_within_caps(self._metadata, ParquetCaps(caps.rows, caps.file_bytes), origin)
            self._schema = pl.read_parquet_schema(path)
        except PARQUET_DAMAGE as error:
            raise SourceError(f"{origin}: damaged or truncated ({_line(error)}) -> fetch the file again") from error
        self.height = self._metadata.num_rows
        self.names = tuple(self._schema)
        self.layout = "parquet"

    def read(self, columns: Columns, rows: NDArray[np.int64] | None) -> pl.DataFrame:
        self.require(columns, self._origin)
        caps = ParquetCaps(self._caps.rows, self._caps.file_bytes)
        try:
            require_columns_within_caps(self._path, self._metadata, caps, list(columns), self._origin)
            frame = self._selected(list(columns), rows)
        except PARQUET_DAMAGE as error:
            raise SourceError(f"{self._origin}: damaged ({_line(error)}) -> fetch the file again") from error
        return frame.select(
            _typed(frame[name], wanted, self._missing, self._origin) for name, wanted in columns.items()
        )

    def _selected(self, names: list[str], rows: NDArray[np.int64] | None) -> pl.DataFrame:
        lazy = pl.scan_parquet(self._path).select(names)
        if rows is None:
            return lazy.collect()
        if not len(rows):
            return lazy.head(0).collect()
        first, last = int(rows.min()), int(rows.max())
        span = lazy.slice(first, last - first + 1).collect()
        whole = len(rows) == span.height and bool((np.diff(rows) == 1).all())
        return span if whole else span[rows - first]


class _CsvTable(Table):
    def __init__(
        self, content: bytes, compression: str, origin: str, caps: TableCaps, conventions: TextConventions
    ) -> None:
        self._origin, self._missing = origin, conventions.missing_texts
        try:
            content.decode("utf-8")
            first_line = content[:HEADER_BYTES].split(b"\n", 1)[0].decode("utf-8-sig").strip("\r")
        except UnicodeDecodeError as error:
            raise SourceError(f"{origin}: is not UTF-8 ({error.reason} at byte {error.start}) -> convert it") from error
        try:
            self._delimiter, cells = header_cells(first_line)
        except pl.exceptions.PolarsError as error:
            raise SourceError(f"{origin}: the first line is no header ({_line(error)}) -> check the file") from error
        self._has_header = is_header(cells)
        self.names = self._names(cells, conventions)
        self._content = content
        self.height = self._count_rows(compression, caps)
        header = "header" if self._has_header else "no header"
        self.layout = f"csv {compression}, delimiter {self._delimiter!r}, {header}"

    def _names(self, cells: tuple[str, ...], conventions: TextConventions) -> tuple[str, ...]:
        if not self._has_header:
            if len(conventions.headerless_columns) != len(cells):
                raise SourceError(
                    f"{self._origin}: has no header and {len(cells)} columns, headerless_columns names "
                    f"{len(conventions.headerless_columns)} -> name all columns in their order under headerless_columns"
                )
            return conventions.headerless_columns
        if repeated := sorted({cell for cell in cells if cells.count(cell) > 1}):
            raise SourceError(f"{self._origin}: repeats the columns {', '.join(repeated)} -> name every column once")
        return cells

    def _count_rows(self, compression: str, caps: TableCaps) -> int:
        """Rows, after making sure that every line is whole: a reader would fill a cut one up with nulls."""
        if compression == "plain" and not self._content.endswith(b"\n"):
            raise SourceError(
                f"{self._origin}: the last line does not end -> fetch the file again; if it is whole, end it with a "
                "line break"
            )
        self._content = self._content.rstrip(b"\r\n") + b"\n"
        bare = _QUOTED.sub(b"", self._content) if b'"' in self._content else self._content
        lines = bare.count(b"\n")
        rows = lines - self._has_header
        if rows > caps.rows:
            raise SourceError(
                f"{self._origin}: holds {rows} rows, allowed are {caps.rows} -> if it is genuine, raise max_rows"
            )
        marks = bare.count(self._delimiter.encode())
        if marks != (len(self.names) - 1) * lines or b"\n\n" in bare or b"\n\r\n" in bare:
            raise SourceError(
                f"{self._origin}: {lines} lines of {len(self.names)} columns hold {marks} delimiters, expected "
                f"{(len(self.names) - 1) * lines}: lines are cut or blank -> fetch the file again"
            )
        return rows

    def read(self, columns: Columns, rows: NDArray[np.int64] | None) -> pl.DataFrame:
        self.require(columns, self._origin)
        types = {name: columns.get(name) or pl.String() for name in self.names}
        try:
            frame = pl.read_csv(
                io.BytesIO(self._content),
                separator=self._delimiter,
                has_header=self._has_header,
                schema=types,
                columns=[self.names.index(name) for name in columns],
                null_values=list(self._missing) or None,
            ).select(*columns)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise SourceError(
                f"{self._origin}: a cell is not of its column's type ({_line(error)}) -> check the columns; texts that "
                "stand for a missing value go under missing_texts"
            ) from error
        for name in columns:
            _refuse_nan_text(frame[name], self._origin)
        return frame if rows is None else frame[rows]


def _typed(column: pl.Series, wanted: pl.DataType | None, missing: tuple[str, ...], origin: str) -> pl.Series:
    if wanted is None or column.dtype == wanted:
        return column
    from_text = column.dtype == pl.String
    to_number = wanted.is_numeric()
    if isinstance(wanted, pl.List) and not isinstance(column.dtype, pl.List | pl.Array):
        raise SourceError(f"{origin}: column {column.name} is {column.dtype}, expected lists -> check the columns")
    fits = column.dtype.is_integer() if wanted.is_integer() else column.dtype.is_numeric() or not to_number
    if not (fits or from_text or column.dtype == pl.Null):
        raise SourceError(f"{origin}: column {column.name} is {column.dtype}, expected {wanted} -> check the columns")
    try:
        if from_text and missing:
            column = column.set(column.is_in(list(missing)), None)
        typed = column.cast(wanted)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SourceError(
            f"{origin}: column {column.name} is {column.dtype}, expected {wanted} ({_line(error)}) -> check the columns"
        ) from error
    if from_text:
        _refuse_nan_text(typed, origin)
    return typed


def _refuse_nan_text(column: pl.Series, origin: str) -> None:
    if column.dtype.is_float() and (count := column.is_nan().sum()):
        raise SourceError(
            f"{origin}: column {column.name} holds the text NaN {count} times -> write it under missing_texts if it "
            "stands for a missing value"
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
