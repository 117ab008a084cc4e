"""How snapshots are written into the grid's half-precision arrays, and the check that nothing overflows them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.gaps import FILLED, MISSING, OBSERVED
from trademl_assets.grid.half_codes import HALF_LIMIT, encode_steps, interleave, log1p_table
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS

BOOK_FIELDS = ("bid_distance_bps", "bid_log_quantity", "ask_distance_bps", "ask_log_quantity")
PRICE_FIELDS = ("return_bps", "return_seconds", "spread_bps", "microprice_bps")
MASK_FIELDS = ("observed", "filled", "missing", "age_share")
"""Fields of the streams; the columns of instrument number a are [len(fields) * a, len(fields) * (a + 1))."""

_STEPS_OF_A_BLOCK = 128
"""Steps that all instruments encode before their columns are interleaved; changes nothing but the speed."""


@dataclass(frozen=True)
class ShownBook:
    """Books of one instrument and which of them each step shows.

    Attributes:
        snapshots: Snapshots of the instrument.
        rows: Row of the snapshot that each step shows, -1 where the step shows none, shape (steps,).
        reference_quantity: Scale of the instrument's quantities.
        where: Instrument and day for messages.
    """

    snapshots: pl.DataFrame
    rows: NDArray[np.int64]
    reference_quantity: float
    where: str

    @cached_property
    def fields(self) -> tuple[NDArray[np.float32], ...]:
        """The four arrays of the snapshots, (snapshots, slots) each, read-only."""
        return tuple(_read_only(self.snapshots[name].to_numpy()) for name in SNAPSHOT_ARRAYS)


def encode_books(books: Sequence[ShownBook | None], steps: int, slots: int, threads: int) -> NDArray[np.float16]:
    """Write the snapshots of all instruments into one array.

    A distance d becomes `float16(d)`; a quantity q becomes `float16(log1p(float64(float32(q) / float32(reference))))`,
    bit for bit; NaN and a quantity of minus zero become 0, and so does everything of a step that shows no snapshot.
    The result does not depend on the number of threads.

    Args:
        books: An entry for each instrument, None where it has no snapshots.
        steps: Steps of the grid.
        slots: Slots of the books.
        threads: Threads to share the steps.

    Returns:
        (steps, slots, instruments * 4), fields as in BOOK_FIELDS.

    Raises:
        DataQualityError: A distance does not fit half precision, or a quantity is negative or infinite.
    """
    encoded = np.empty((steps, slots, len(books) * len(BOOK_FIELDS)), dtype=np.float16)
    parts = max(1, min(threads, -(-steps // _STEPS_OF_A_BLOCK)))
    bounds = [steps * part // parts for part in range(parts + 1)]
    target = encoded.view(np.uint64).reshape(-1)

    def encode(part: int) -> NDArray[np.uint32]:
        return _encode_part(books, slots, bounds[part], bounds[part + 1], target)

    if parts == 1:
        greatest = encode(0)
    else:
        with ThreadPoolExecutor(parts) as pool:
            greatest = np.maximum.reduce(list(pool.map(encode, range(parts))))
    for book, found in zip(books, greatest, strict=True):
        if book is not None:
            _require_encodable(found.view(np.float32), book)
    return encoded


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def encode_masks(state: NDArray[np.uint8], ages_us: NDArray[np.int64], max_gap_us: int) -> NDArray[np.float16]:
    """States and ages of all instruments as numbers.

    Args:
        state: State of every step, shape (steps, instruments).
        ages_us: Age of the latest snapshot in microseconds, negative without one, of the same shape.
        max_gap_us: Age at which filling ends.

    Returns:
        (steps, instruments * 4) float16, of each instrument: one-hot of the state, then age / max_gap within 0..1, 1
        where missing.
    """
    one_hot = np.zeros((3, len(MASK_FIELDS)), dtype=np.float16)
    one_hot[[OBSERVED, FILLED, MISSING], [0, 1, 2]] = 1.0
    mask = one_hot.view(np.uint64)[:, 0][state].view(np.float16)  # the four fields of a step are moved as one number
    mask[:, 3::4] = np.where(state == MISSING, 1.0, ages_us / max_gap_us)
    return mask


def _read_only(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values as the compiled loops take them: mapped or in memory, one type, compiled once."""
    view = np.ascontiguousarray(values, dtype=np.float32).view()
    view.flags.writeable = False
    return view


def _encode_part(
    books: Sequence[ShownBook | None], slots: int, first: int, last: int, target: NDArray[np.uint64]
) -> NDArray[np.uint32]:
    """Encode the steps [first, last): (instruments, 4) greatest bit patterns seen.

    The four codes of a slot are one number on a little-endian machine, so that rows of the target are written whole
    and in order.
    """
    table = log1p_table()
    packed = np.zeros((len(books), min(_STEPS_OF_A_BLOCK, last - first) * slots), dtype=np.uint64)
    greatest = np.zeros((len(books), len(BOOK_FIELDS)), dtype=np.uint32)
    for begin in range(first, last, _STEPS_OF_A_BLOCK):
        end = min(begin + _STEPS_OF_A_BLOCK, last)
        for number, book in enumerate(books):
            if book is not None:
                reference = np.float32(book.reference_quantity)
                found = encode_steps(book.fields, book.rows[begin:end], reference, table, packed[number])
                greatest[number] = np.maximum(greatest[number], np.array(found, dtype=np.uint32))
        interleave(packed, (end - begin) * slots, target, begin * slots * len(books))
    return greatest


def _require_encodable(greatest: NDArray[np.float32], book: ShownBook) -> None:
    for name, value in zip(SNAPSHOT_ARRAYS, greatest.tolist(), strict=True):
        if name.endswith("quantity"):
            if value < 0 or not np.isfinite(value):
                raise DataQualityError(
                    f"{book.where}: {name} / reference_quantity reaches {value:g}, quantities are finite and not "
                    "negative -> look at the source"
                )
        elif value > HALF_LIMIT:
            raise DataQualityError(
                f"{book.where}: {name} reaches {value:g}, half precision ends at {HALF_LIMIT:g} -> keep fewer near "
                "levels or look at the source"
            )
