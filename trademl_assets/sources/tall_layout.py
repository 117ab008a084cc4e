"""Lays books out as tall rows."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class FlatSide:
    """One side of N books, the levels of all books one after the other.

    Attributes:
        depths: Number of levels of each book, shape (N,).
        prices: Best first within each book, shape (sum of depths,).
        quantities: The same shape.
    """

    depths: NDArray[np.int64]
    prices: NDArray[np.float64]
    quantities: NDArray[np.float64]


def lay_out(instants: pl.Series, batches: NDArray[np.int64], bids: FlatSide, asks: FlatSide) -> pl.DataFrame:
    """Lay N books out, one row per book and level.

    Args:
        instants: Instant of each book, of the type that `TALL_SCHEMA` gives `ts`, ascending.
        batches: Batch of each book, shape (N,).
        bids: Bid side.
        asks: Ask side.

    Returns:
        Rows of `TALL_SCHEMA`; a book takes as many rows as its deeper side, the other side is null beyond its own.
    """
    depths = np.maximum(bids.depths, asks.depths)
    starts = np.cumsum(depths) - depths
    columns = {"level": pl.Series(_levels(depths).astype(np.int32))}
    for name, side in (("bid", bids), ("ask", asks)):
        rows = np.repeat(starts, side.depths) + _levels(side.depths)
        for quality, values in (("price", side.prices), ("quantity", side.quantities)):
            column = np.full(int(depths.sum()), np.nan)
            column[rows] = values
            absent = np.ones(len(column), dtype=np.bool_)
            absent[rows] = False
            series = pl.Series(column)
            columns[f"{name}_{quality}"] = series.set(pl.Series(absent), None) if absent.any() else series
    book = np.repeat(np.arange(len(depths)), depths)
    return pl.DataFrame({"ts": instants.gather(book), "batch_id": batches[book], **columns})


def _levels(depths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count 0, 1, ... within each book."""
    starts = np.cumsum(depths) - depths
    return np.arange(int(depths.sum()), dtype=np.int64) - np.repeat(starts, depths)
