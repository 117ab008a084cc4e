"""What the importers of external series share: sizes, opening, and the rows they hand out."""

from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import SERIES_SCHEMA
from trademl_assets.sources.formats.tables import Table, TableCaps, TextConventions, open_table


class SeriesFiles(Parameters):
    """What every importer of series is told.

    Attributes:
        missing_texts: Texts that stand for a missing value, besides the empty cell.
        max_rows: Files that declare more rows are refused.
        max_file_bytes: Files that declare more bytes after decompression are refused.
        max_compression_ratio: Compressed text files that declare more bytes for each of theirs are refused.
    """

    missing_texts: tuple[str, ...]
    max_rows: Annotated[int, Field(ge=1)]
    max_file_bytes: Annotated[int, Field(ge=1)]
    max_compression_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)]


def origin_of(name: str, file: str) -> str:
    """Series and file, for messages."""
    return f"series {name}, file {file}"


def open_series_table(file: str, origin: str, parameters: SeriesFiles) -> Table:
    """Open a Parquet or CSV file with a header.

    Raises:
        SourceError: The file is missing, damaged, larger than a cap, or no table.
    """
    caps = TableCaps(parameters.max_rows, parameters.max_file_bytes, parameters.max_compression_ratio)
    return open_table(Path(file), origin, caps, TextConventions((), parameters.missing_texts))


def unknown_series(name: str, configured: list[str]) -> SourceError:
    """The refusal of a series that the source was not told about."""
    return SourceError(f"series {name}: this source delivers {sorted(configured)} -> add it under series")


def require_finite(values: pl.Series, origin: str) -> None:
    """Check that the values that there are, are finite.

    Raises:
        SourceError: One is not; tells the first of them.
    """
    wrong = ~values.is_finite().fill_null(value=True)
    if wrong.any():
        raise SourceError(
            f"{origin}: column {values.name} holds {wrong.sum()} values that are not finite, first in row "
            f"{(wrong.arg_max() or 0) + 1} -> mend the file, or write their text under missing_texts"
        )


def series_rows(
    name: str, about_us: NDArray[np.int64], published_us: NDArray[np.int64], values: pl.Series
) -> pl.DataFrame:
    """Rows of `SERIES_SCHEMA`, sorted by (published, ts).

    Args:
        name: The series.
        about_us: Instants that the values are about, microseconds since the epoch, shape (N,).
        published_us: Instants of publication, shape (N,).
        values: The values, (N,).
    """
    columns = {
        "ts": pl.Series(about_us).cast(SERIES_SCHEMA["ts"]),
        "published": pl.Series(published_us).cast(SERIES_SCHEMA["published"]),
        "name": [name] * len(values),
        "value": values,
    }
    return pl.DataFrame(columns, schema=dict(SERIES_SCHEMA)).sort("published", "ts", maintain_order=True)


def published_within(rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Rows published on the UTC days `first` to `last`."""
    start, end = day_bounds(first)[0], day_bounds(last)[1]
    return rows.filter(pl.col("published").is_between(start, end, closed="left"))
