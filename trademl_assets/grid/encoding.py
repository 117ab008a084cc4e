"""How snapshots are written into the grid's half-precision arrays, and the check that nothing overflows them."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.gaps import FILLED, MISSING, OBSERVED
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS

BOOK_FIELDS = ("bid_distance_bps", "bid_log_quantity", "ask_distance_bps", "ask_log_quantity")
PRICE_FIELDS = ("return_bps", "return_seconds", "spread_bps", "microprice_bps")
MASK_FIELDS = ("observed", "filled", "missing", "age_share")
"""Fields of the streams; the columns of instrument number a are [len(fields) * a, len(fields) * (a + 1))."""

HALF_LIMIT = float(np.finfo(np.float16).max)


def encode_book(
    snapshots: pl.DataFrame, rows: NDArray[np.int64], reference_quantity: float, book: NDArray[np.float16], where: str
) -> None:
    """Write the snapshots of one instrument into its columns of the book array.

    Distances stay in bps, quantities become log1p(quantity / reference_quantity), NaN becomes 0.

    Args:
        snapshots: Snapshots of the instrument.
        rows: Row of the snapshot that each step shows, -1 where the step shows none, shape (steps,).
        reference_quantity: Scale of the instrument's quantities.
        book: Zeroed target of shape (steps, slots, 4), a view into the array of all instruments.
        where: Instrument and day for messages.

    Raises:
        DataQualityError: A value does not fit half precision.
    """
    shown = np.flatnonzero(rows >= 0)
    if len(shown) == 0:
        return
    used = rows[shown]
    first, last = int(used[0]), int(used[-1]) + 1  # rows ascend with the steps
    sparse = last - first > len(used)  # gather first where there are more snapshots than steps
    for field, name in enumerate(SNAPSHOT_ARRAYS):
        values = snapshots[name].to_numpy()
        values = values[used] if sparse else values[first:last]
        if name.endswith("quantity"):
            values = np.log1p(values / np.float32(reference_quantity))
        encoded = np.nan_to_num(values, copy=not values.flags.writeable, nan=0.0, posinf=np.inf, neginf=-np.inf)
        _require_half(encoded, name, where)
        half = encoded.astype(np.float16)
        book[shown, :, field] = half if sparse else half[used - first]


def encode_mask(state: NDArray[np.uint8], ages_us: NDArray[np.int64], max_gap_us: int) -> NDArray[np.float16]:
    """State and age of one instrument as numbers.

    Args:
        state: State of every step, shape (steps,).
        ages_us: Age of the latest snapshot in microseconds, negative without one, shape (steps,).
        max_gap_us: Age at which filling ends.

    Returns:
        (steps, 4) float16: one-hot of the state, then age / max_gap within 0..1, 1 where missing.
    """
    mask = np.zeros((len(state), len(MASK_FIELDS)), dtype=np.float16)
    for column, value in enumerate((OBSERVED, FILLED, MISSING)):
        mask[:, column] = state == value
    mask[:, 3] = np.where(state == MISSING, 1.0, ages_us / max_gap_us)
    return mask


def _require_half(values: NDArray[np.float32], name: str, where: str) -> None:
    greatest = float(np.abs(values).max(initial=0.0))
    if not greatest <= HALF_LIMIT:
        raise DataQualityError(
            f"{where}: {name} reaches {greatest:g}, half precision ends at {HALF_LIMIT:g} -> keep fewer near levels "
            "or look at the source"
        )
