"""Lays books out as tall rows from the two ways in which foreign files write them: lists, and a column a level."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.tall_layout import FlatSide, lay_out

LEVEL_COLUMNS = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")


LEVEL_PLACEHOLDER = "{level}"


def numbered_columns(names: Iterable[str], patterns: Mapping[str, str], origin: str) -> dict[str, list[str]]:
    """Find the columns of all levels in a header.

    Args:
        names: The header.
        patterns: For each of `LEVEL_COLUMNS`, a name with `{level}` where the level's number stands; without it the
            file holds one level.
        origin: Instrument, day and file, for messages.

    Returns:
        For each quality its columns, level by level; the first level has the least number that the header has.

    Raises:
        SourceError: No such columns, a level missing in between, or qualities of different depths.
    """
    found = {quality: _numbered(names, pattern) for quality, pattern in patterns.items()}
    numbers = {quality: [number for number, _ in columns] for quality, columns in found.items()}
    levels = numbers[LEVEL_COLUMNS[0]]
    whole = bool(levels) and levels == list(range(levels[0], levels[0] + len(levels)))
    if not whole or any(other != levels for other in numbers.values()):
        shown = ", ".join(f"{patterns[quality]} at {len(columns)} levels" for quality, columns in numbers.items())
        raise SourceError(f"{origin}: has {shown}, expected the same levels without a hole -> check the columns")
    return {quality: [name for _, name in columns] for quality, columns in found.items()}


def _numbered(names: Iterable[str], pattern: str) -> list[tuple[int, str]]:
    if LEVEL_PLACEHOLDER not in pattern:
        return [(0, name) for name in names if name == pattern]
    form = re.compile(re.escape(pattern).replace(re.escape(LEVEL_PLACEHOLDER), r"(\d+)"))
    return sorted((int(match.group(1)), name) for name in names if (match := form.fullmatch(name)))


def lay_out_lists(
    books: pl.DataFrame, instants: pl.Series, batches: NDArray[np.int64], max_levels: int, origin: str
) -> tuple[pl.DataFrame, int]:
    """Lay out books whose sides are lists.

    Args:
        books: Columns `LEVEL_COLUMNS` as lists of numbers, best level first; a side without levels is an empty list.
        instants: Instant of each book.
        batches: Batch of each book.
        max_levels: Most levels a side.
        origin: Instrument, day and file, for messages.

    Returns:
        Rows of `TALL_SCHEMA`, and the number of levels left out.

    Raises:
        SourceError: A side is missing, prices and quantities differ in number, or a list holds a null.
    """
    sides, left_out = [], 0
    for side in ("bid", "ask"):
        prices, quantities = books[f"{side}_price"], books[f"{side}_quantity"]
        depths = prices.list.len()
        if prices.has_nulls() or quantities.has_nulls() or not (depths == quantities.list.len()).all():
            raise SourceError(f"{origin}: a book has prices without sizes or sizes without prices -> fetch it again")
        shown = depths.clip(upper_bound=max_levels)
        left_out += int((depths.cast(pl.Int64) - shown.cast(pl.Int64)).sum())
        flat = [values.list.head(max_levels).explode(empty_as_null=False) for values in (prices, quantities)]
        if any(values.has_nulls() for values in flat):
            raise SourceError(f"{origin}: a book holds a null among its levels -> a missing level ends the list")
        sides.append(FlatSide(shown.to_numpy().astype(np.int64), flat[0].to_numpy(), flat[1].to_numpy()))
    return lay_out(instants, batches, *sides), left_out


def lay_out_columns(
    books: pl.DataFrame,
    instants: pl.Series,
    batches: NDArray[np.int64],
    columns: Mapping[str, Sequence[str]],
    max_levels: int,
) -> tuple[pl.DataFrame, int]:
    """Lay out books with a column for each level.

    A null is a missing level: null in the rows, and no row where neither side reaches. A book without any level keeps
    one row of nulls, so that it is not lost before it was counted.

    Args:
        books: The columns, as numbers.
        instants: Instant of each book.
        batches: Batch of each book.
        columns: For each of `LEVEL_COLUMNS`, the names of its columns, level by level.
        max_levels: Most levels a side.

    Returns:
        Rows of `TALL_SCHEMA`, and the number of levels left out.
    """
    count = books.height
    levels = min(max_levels, len(columns["bid_price"]))
    left_out = sum(
        count - books[name].null_count() for side in ("bid_price", "ask_price") for name in columns[side][levels:]
    )
    by_book = np.arange(levels * count).reshape(levels, count).T.ravel()
    flat = {
        quality: pl.concat([books[name].rename(quality) for name in columns[quality][:levels]]).gather(by_book)
        for quality in LEVEL_COLUMNS
    }
    tall = pl.DataFrame(
        {
            "ts": instants.gather(np.repeat(np.arange(count), levels)),
            "batch_id": np.repeat(batches, levels),
            "level": np.tile(np.arange(levels, dtype=np.int32), count),
            **flat,
        },
        schema=dict(TALL_SCHEMA),
    )
    if not any(values.has_nulls() for values in flat.values()):
        return tall, left_out
    present = tall.select(pl.any_horizontal(pl.col(LEVEL_COLUMNS).is_not_null())).to_series().to_numpy()
    depths = np.where(present.reshape(count, levels), np.arange(1, levels + 1), 1).max(axis=1)
    return tall.filter(tall["level"].to_numpy() < np.repeat(depths, levels)), left_out
