"""Reads CSV files that strangers wrote, a block of lines at a time, so that a day of any size fits into memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_reading import ReadingCaps, lines_capped

BLOCK_LINES = 50_000
MOST_SHOWN = 80  # characters of a bad cell


@dataclass(frozen=True)
class CsvBlock:
    """Some rows of a file.

    Attributes:
        rows: The wanted columns; texts and integers without nulls.
        lines: Line number of each row.
        origin: Instrument, day and file, for messages.
    """

    rows: pl.DataFrame
    lines: list[int]
    origin: str

    def place(self, row: int) -> str:
        """Instrument, day, file and line of a row."""
        return f"{self.origin}, line {self.lines[row]}"

    def where(self, mask: pl.Series) -> "CsvBlock":
        """The rows of a mask."""
        if mask.all():
            return self
        kept = mask.arg_true().to_list()
        return CsvBlock(self.rows.filter(mask), [self.lines[row] for row in kept], self.origin)


def csv_blocks(
    path: Path, origin: str, caps: ReadingCaps, columns: Mapping[str, type[pl.DataType]], block_lines: int = BLOCK_LINES
) -> Iterator[CsvBlock]:
    """Read the wanted columns of a CSV file with a header.

    Args:
        path: Plain or compressed file.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.
        columns: Wanted columns, `pl.String` or `pl.Int64`.
        block_lines: Most rows of a block.

    Yields:
        Blocks in the order of the file.

    Raises:
        SourceError: The file cannot be read, lacks a column, or has an empty cell or one of another type.
    """
    lines = lines_capped(path, origin, caps)
    _, first = next(lines)
    header = [name.strip() for name in first.decode("utf-8", "replace").split(",")]
    if missing := [name for name in columns if name not in header]:
        raise SourceError(
            f"{origin}: lacks the columns {', '.join(missing)}, its first line is "
            f"{first[:MOST_SHOWN].decode('utf-8', 'replace')!r} -> check the file's layout"
        )
    numbers: list[int] = []
    texts: list[bytes] = []
    for number, line in lines:
        numbers.append(number)
        texts.append(line)
        if len(texts) == block_lines:
            yield _block(origin, header, columns, numbers, texts)
            numbers, texts = [], []
    if texts:
        yield _block(origin, header, columns, numbers, texts)


def _block(
    origin: str, header: list[str], columns: Mapping[str, type[pl.DataType]], numbers: list[int], texts: list[bytes]
) -> CsvBlock:
    span = f"{origin}, lines {numbers[0]} to {numbers[-1]}"
    try:
        rows = pl.read_csv(
            b"\n".join(texts), has_header=False, new_columns=header, infer_schema=False, columns=range(len(header))
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if half := len(texts) // 2:  # name the line, not the block
            _block(origin, header, columns, numbers[:half], texts[:half])
            _block(origin, header, columns, numbers[half:], texts[half:])
        raise SourceError(f"{span}: not rows of {len(header)} columns ({error}) -> fetch the file again") from error
    if len(rows) != len(numbers):
        raise SourceError(f"{span}: {len(rows)} rows on {len(numbers)} lines -> quotes are not closed, fetch it again")
    wanted = rows.select(pl.col(name).cast(dtype, strict=False) for name, dtype in columns.items())
    for name in columns:
        if wanted[name].null_count():
            row = int(wanted[name].is_null().arg_max() or 0)
            raise SourceError(
                f"{origin}, line {numbers[row]}: column {name} holds {str(rows[name][row])[:MOST_SHOWN]!r}, expected "
                f"{'an integer' if columns[name] == pl.Int64 else 'a text'} -> fetch the file again"
            )
    return CsvBlock(wanted, numbers, origin)
