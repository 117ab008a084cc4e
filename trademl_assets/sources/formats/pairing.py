"""Brings levels into order and pairs the two sides of a book, where files write them one a row."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import TALL_SCHEMA

KEYS = ("ts", "batch_id", "level")
_SHOWN_TEXTS = 5


def told_sides(written: pl.Series, bid: str, ask: str, origin: str) -> tuple[pl.Series, pl.Series]:
    """Which rows are bids and which asks, by the texts that say so.

    Raises:
        SourceError: A row is neither.
    """
    bids, asks = (written == bid).fill_null(value=False), (written == ask).fill_null(value=False)
    if not (bids | asks).all():
        odd = written.filter(~(bids | asks)).unique(maintain_order=True).head(_SHOWN_TEXTS).to_list()
        raise SourceError(
            f"{origin}: column {written.name} holds {odd}, expected {bid!r} and {ask!r} "
            "-> check layout.bid and layout.ask"
        )
    return bids, asks


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows sorted by `KEYS`, equal ones in the order in which they came; handed back as they are if they are sorted."""
    ts, batch, level = (pl.col(name).to_physical().cast(pl.Int64).diff() for name in KEYS)
    later = (ts > 0) | ((ts == 0) & ((batch > 0) | ((batch == 0) & (level >= 0))))
    return rows if rows.select(later.fill_null(value=True).all()).item() else rows.sort(KEYS, maintain_order=True)


def ranked_by_price(half: pl.DataFrame, *, highest_first: bool) -> pl.DataFrame:
    """Number the levels of one side by price, the best first.

    Args:
        half: Columns `ts`, `batch_id`, `price`, `quantity`; a row without price and quantity is no level.
        highest_first: Whether the best price is the highest.

    Returns:
        The levels with a column `level`, sorted by `KEYS`.
    """
    levels = half.filter(pl.col("price").is_not_null() | pl.col("quantity").is_not_null()).sort(
        "ts", "batch_id", "price", descending=[False, False, highest_first], nulls_last=True, maintain_order=True
    )
    return levels.with_columns(level=_count_within(levels, ("ts", "batch_id")))


def paired(bids: pl.DataFrame, asks: pl.DataFrame) -> pl.DataFrame:
    """Join two sides level by level.

    Args:
        bids: Columns of `KEYS`, `price`, `quantity`.
        asks: The same.

    Returns:
        Rows of `TALL_SCHEMA` sorted by `KEYS`; null where a side has no such level; a level that a side repeats stays
        a repetition.
    """
    halves = []
    for side, half in (("bid", bids), ("ask", asks)):
        ordered = in_order(half)
        values = [pl.col(name).alias(f"{side}_{name}") for name in ("price", "quantity")]
        halves.append(ordered.select(*KEYS, *values, again=_count_within(ordered, KEYS)))
    joined = halves[0].join(halves[1], on=[*KEYS, "again"], how="full", coalesce=True)
    return joined.sort(*KEYS, "again").select(*TALL_SCHEMA)


def starts_of_runs(rows: pl.DataFrame, keys: tuple[str, ...]) -> NDArray[np.intp]:
    """Row at which each run of equal keys starts."""
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in keys)
    return np.flatnonzero(rows.select(changed).to_series().to_numpy())


def _count_within(rows: pl.DataFrame, keys: tuple[str, ...]) -> pl.Series:
    """Count 0, 1, ... within runs of equal keys."""
    starts = starts_of_runs(rows, keys)
    lengths = np.diff(np.append(starts, rows.height))
    return pl.Series(np.arange(rows.height) - np.repeat(starts, lengths)).cast(pl.Int32)
