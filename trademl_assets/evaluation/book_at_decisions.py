"""Spread and depth of the labelled instrument at its decisions, read from the grid days that a dataset stands on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.inputs import GRID_ASSET
from trademl_assets.evaluation.money import Book
from trademl_assets.grid.encoding import BOOK_FIELDS, PRICE_FIELDS
from trademl_assets.storage.commit import ArtifactStore

Floats = NDArray[np.float64]
SECONDS_PER_DAY = 86_400


def read_book(
    store: ArtifactStore,
    recipe: Mapping[str, Any],
    rows: pl.DataFrame,
    *,
    reference_quantity: float,
    capacity_bps: Sequence[float],
) -> Book | None:
    """Read the book at decisions; None for a dataset of candles, which has none.

    Args:
        store: Where the grid lies.
        recipe: Of the dataset.
        rows: Decisions with `step`, in the order of the result.
        reference_quantity: Of the labelled instrument, in which the grid counts quantities.
        capacity_bps: Distances from the mid.

    Raises:
        MissingPartitionError: A grid day is gone.
        CorruptArtifactError: A grid day is damaged.
    """
    if recipe["parameters"]["series_from"] != "grid":
        return None
    steps_per_day = SECONDS_PER_DAY // int(recipe["cadence_seconds"])
    instrument = list(recipe["grid"]["instruments"]).index(recipe["target"])
    day_of, at = np.divmod(rows["step"].to_numpy(), steps_per_day)
    spread = np.zeros(rows.height)
    notional = np.zeros((rows.height, 2, len(capacity_bps)))
    for number in np.unique(day_of):
        arrays = store.open_arrays(GRID_ASSET, recipe["days"][number], "arrays")
        chosen = day_of == number
        steps = at[chosen]
        price = arrays["price"][:, instrument * len(PRICE_FIELDS) + PRICE_FIELDS.index("spread_bps")]
        spread[chosen] = np.nan_to_num(price[steps].astype(np.float64))
        first = instrument * len(BOOK_FIELDS)
        book = arrays["book"][:, :, first : first + len(BOOK_FIELDS)][steps].astype(np.float64)
        mid = arrays["mid"][steps, instrument]
        notional[chosen] = notional_within(book, mid, reference_quantity, capacity_bps)
    return Book(spread, notional)


def notional_within(book: Floats, mid: Floats, reference_quantity: float, distances_bps: Sequence[float]) -> Floats:
    """Return (n, 2, K) notional of bid and ask slots that lie within distances of the mid.

    Args:
        book: (n, slots, 4) fields as in BOOK_FIELDS; absent slots have quantity 0.
        mid: (n,) in quote currency.
        reference_quantity: That quantities are divided by.
        distances_bps: (K,).
    """
    sides = []
    for side in ("bid", "ask"):
        distance = book[:, :, BOOK_FIELDS.index(f"{side}_distance_bps")]
        sign = -1.0 if side == "bid" else 1.0
        quantity = np.expm1(book[:, :, BOOK_FIELDS.index(f"{side}_log_quantity")]) * reference_quantity
        worth = np.nan_to_num(quantity * mid[:, None] * (1 + sign * distance / 1e4))
        sides.append(
            np.stack([np.where(distance <= within, worth, 0.0).sum(axis=1) for within in distances_bps], axis=1)
        )
    return np.stack(sides, axis=1)
