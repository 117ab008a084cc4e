"""What stood in groups of the book's slots over a day: moments of the quantities, volume, and how much it moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.encoding import BOOK_FIELDS
from trademl_assets.grid.gaps import OBSERVED
from trademl_assets.long_term.moments import QUANTITY_OF_CODE
from trademl_assets.long_term.parameters import LevelGroup
from trademl_assets.long_term.power_sums import CentralMoments, central_moments

LEVEL_SCHEMA: Mapping[str, pl.DataType] = {
    "day": pl.Date(),
    "instrument": pl.String(),
    "side": pl.String(),
    "group": pl.String(),
    "mean": pl.Float64(),
    "std": pl.Float64(),
    "skew": pl.Float64(),
    "kurtosis": pl.Float64(),
    "volume": pl.Float64(),
    "volatility": pl.Float64(),
    "count": pl.Int64(),
    "steps": pl.Int64(),
}
"""One row per (day, instrument, side, group); see `aggregate_levels`. Quantities are in reference quantities."""

SIDES = ("bid", "ask")
_ROWS_AT_ONCE = 4
_STATISTICS = ("mean", "std", "skew", "kurtosis", "volume", "volatility")


@dataclass(frozen=True)
class QuotedQuantities:
    """Quantities of one day: T steps, S slots, A instruments, both sides, G groups.

    Attributes:
        moments: Of the quantities quoted in each slot, arrays of shape (S, A * 2), column 2 * a the bids of
            instrument a, 2 * a + 1 its asks.
        change_sd: Standard deviation of the change of a group's total from an observed step to the very next one,
            shape (G, A * 2), NaN without any.
    """

    moments: CentralMoments
    change_sd: NDArray[np.float64]


def aggregate_levels(
    arrays: Mapping[str, NDArray[Any]], instruments: Sequence[str], day: date, groups: Sequence[LevelGroup]
) -> pl.DataFrame:
    """Describe the quantities of one day of the grid, by instrument, side and group of slots.

    Only observed steps count. `mean`, `std`, `skew` and `kurtosis` are those of every quantity quoted in one of the
    group's slots, population moments as in `scipy.stats` with its defaults (biased, excess kurtosis); `count` is
    their number. A slot without quantity is no quotation and left out: the grid does not tell an absent level from an
    empty bin. `volume` is the mean over observed steps of the quantity in all of the group's slots, those without
    count as nothing; `volatility` is the standard deviation of its change from one observed step to the very next
    step, so that changes across gaps, which span more time, are left out. `steps` counts the observed steps. What is
    undefined is null.

    Args:
        arrays: `book` and `state` of a grid day with T steps.
        instruments: Names in the order of the columns.
        day: The UTC day.
        groups: Groups of slots.

    Returns:
        Rows of `LEVEL_SCHEMA`, in the order of instruments, sides and groups.

    Raises:
        DataQualityError: The arrays do not fit the instruments, or a group reaches beyond the book's slots.
    """
    book, state = arrays["book"], arrays["state"]
    _require_fitting(book, state, instruments, day, groups)
    quoted = sum_quantities(book, state, groups)
    slices = [slice(group.first_slot, group.last_slot) for group in groups]
    moments = quoted.moments.combined(slices)
    mean, std, skew, kurtosis = moments.described()
    steps = np.repeat((state == OBSERVED).sum(axis=0), len(SIDES))
    with np.errstate(invalid="ignore", divide="ignore"):
        volume = np.where(moments.count > 0, moments.count * mean, 0.0) / steps
    values = {
        name: np.stack(found).T.reshape(-1)  # (G, A * 2) to instruments, sides, groups
        for name, found in zip(_STATISTICS, (mean, std, skew, kurtosis, volume, quoted.change_sd), strict=True)
    }
    columns = {
        "day": [day] * (len(instruments) * len(SIDES) * len(groups)),
        "instrument": [name for name in instruments for _ in SIDES for _ in groups],
        "side": [side for _ in instruments for side in SIDES for _ in groups],
        "group": [group.name for _ in instruments for _ in SIDES for group in groups],
        **{name: pl.Series(found, nan_to_null=True) for name, found in values.items()},
        "count": moments.count.T.reshape(-1),
        "steps": np.repeat(steps, len(groups)),
    }
    return pl.DataFrame(columns, schema=dict(LEVEL_SCHEMA))


def sum_quantities(
    book: NDArray[np.float16], state: NDArray[np.uint8], groups: Sequence[LevelGroup]
) -> QuotedQuantities:
    """Moments of the quantities of every slot and changes of every group's total, in one pass over the codes.

    Args:
        book: Book of a grid day, shape (T, S, A * 4).
        state: State of every step, shape (T, A).
        groups: Groups of slots.

    Returns:
        Both, of the observed steps.
    """
    steps, slots, fields = book.shape
    sides = fields // len(SIDES)
    codes = np.ascontiguousarray(book).view(np.uint16).reshape(steps, slots * fields)
    states = np.ascontiguousarray(state).view()
    bounds = np.array([(group.first_slot, group.last_slot) for group in groups], dtype=np.int64).reshape(-1, 2)
    codes.flags.writeable = states.flags.writeable = False  # mapped or in memory: one type, compiled once
    shift = np.zeros(slots * sides)
    _first_of_each(codes, states, QUANTITY_OF_CODE, shift)
    count, sums = np.zeros(slots * sides), np.zeros((4, slots * sides))
    totals = np.empty((steps + _ROWS_AT_ONCE, len(groups), sides))
    _sum(codes, states, QUANTITY_OF_CODE, bounds, shift, count, sums, totals)
    change_sd = np.empty((len(groups), sides))
    _spread_of_changes(totals, states, change_sd)
    flat = central_moments(count.astype(np.int64), shift, sums)
    shape = (slots, sides)
    by_slot = CentralMoments(
        flat.count.reshape(shape),
        flat.mean.reshape(shape),
        flat.second.reshape(shape),
        flat.third.reshape(shape),
        flat.fourth.reshape(shape),
    )
    return QuotedQuantities(by_slot, change_sd)


def _require_fitting(
    book: NDArray[Any], state: NDArray[Any], instruments: Sequence[str], day: date, groups: Sequence[LevelGroup]
) -> None:
    if state.shape[1] != len(instruments) or book.shape[2] != len(instruments) * len(BOOK_FIELDS):
        raise DataQualityError(
            f"grid of {day.isoformat()}: state {state.shape} and book {book.shape} do not fit instruments "
            f"{list(instruments)} -> materialise aligned_grid with the present configuration"
        )
    beyond = {group.name: group.last_slot for group in groups if group.last_slot > book.shape[1]}
    if beyond:
        raise DataQualityError(
            f"grid of {day.isoformat()}: the book has {book.shape[1]} slots, level groups end at {beyond} -> "
            "set last_slot within the slots of the compression"
        )


def _first_quoted(
    codes: NDArray[np.uint16],
    states: NDArray[np.uint8],
    quantity_of_code: NDArray[np.float64],
    shift: NDArray[np.float64],
) -> None:
    """First quantity of every column, found in the first rows as a rule."""
    sides = 2 * states.shape[1]
    left = len(shift)
    for step in range(len(codes)):
        for column in range(len(shift)):
            code = codes[step, 2 * column + 1]
            if shift[column] == 0.0 and states[step, column % sides // 2] == OBSERVED and quantity_of_code[code] > 0.0:
                shift[column] = quantity_of_code[code]
                left -= 1
        if left == 0:
            return


def _decode_rows(
    codes: NDArray[np.uint16],
    states: NDArray[np.uint8],
    quantity_of_code: NDArray[np.float64],
    quantities: NDArray[np.float64],
) -> None:
    """Quantities of some steps, 0 where the instrument is not observed and in the rows left over."""
    columns, sides = quantities.shape[1], 2 * states.shape[1]
    for row in range(len(quantities)):
        if row >= len(codes):
            for column in range(columns):
                quantities[row, column] = 0.0
            continue
        for column in range(columns):
            quantities[row, column] = quantity_of_code[codes[row, 2 * column + 1]]
        for side in range(sides):
            if states[row, side // 2] != OBSERVED:
                for column in range(side, columns, sides):
                    quantities[row, column] = 0.0


def _sum_groups(quantities: NDArray[np.float64], bounds: NDArray[np.int64], totals: NDArray[np.float64]) -> None:
    """Quantity in all slots of each group, shape (rows, groups, sides); the rows at once, as their sums can overlap."""
    sides = totals.shape[2]
    for group in range(len(bounds)):
        for side in range(sides):
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for slot in range(bounds[group, 0], bounds[group, 1]):
                column = slot * sides + side
                a += quantities[0, column]
                b += quantities[1, column]
                c += quantities[2, column]
                d += quantities[3, column]
            totals[0, group, side], totals[1, group, side] = a, b
            totals[2, group, side], totals[3, group, side] = c, d


def _add_powers(  # noqa: PLR0917 -- a kernel
    quantities: NDArray[np.float64],
    shift: NDArray[np.float64],
    count: NDArray[np.float64],
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    three: NDArray[np.float64],
    four: NDArray[np.float64],
) -> None:
    """Powers of the distances of quoted quantities from the shift; the rows at once, so that sums are stored once."""
    for column in range(len(shift)):
        a, b, c, d = quantities[0, column], quantities[1, column], quantities[2, column], quantities[3, column]
        quoted_a, quoted_b = 1.0 if a > 0.0 else 0.0, 1.0 if b > 0.0 else 0.0
        quoted_c, quoted_d = 1.0 if c > 0.0 else 0.0, 1.0 if d > 0.0 else 0.0
        a, b = (a - shift[column]) * quoted_a, (b - shift[column]) * quoted_b
        c, d = (c - shift[column]) * quoted_c, (d - shift[column]) * quoted_d
        a2, b2, c2, d2 = a * a, b * b, c * c, d * d
        count[column] += (quoted_a + quoted_b) + (quoted_c + quoted_d)
        one[column] += (a + b) + (c + d)
        two[column] += (a2 + b2) + (c2 + d2)
        three[column] += (a2 * a + b2 * b) + (c2 * c + d2 * d)
        four[column] += (a2 * a2 + b2 * b2) + (c2 * c2 + d2 * d2)


def _sum_powers(  # noqa: PLR0917 -- a kernel
    codes: NDArray[np.uint16],
    states: NDArray[np.uint8],
    quantity_of_code: NDArray[np.float64],
    bounds: NDArray[np.int64],
    shift: NDArray[np.float64],
    count: NDArray[np.float64],
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Decode a few rows into a buffer that stays in the fastest cache and sum down its columns."""
    quantities = np.empty((_ROWS_AT_ONCE, len(shift)))
    for begin in range(0, len(codes), _ROWS_AT_ONCE):
        end = begin + _ROWS_AT_ONCE
        _decode(codes[begin:end], states[begin:end], quantity_of_code, quantities)
        _total(quantities, bounds, totals[begin:end])
        _add(quantities, shift, count, sums[0], sums[1], sums[2], sums[3])


def _sd_of_changes(totals: NDArray[np.float64], states: NDArray[np.uint8], change_sd: NDArray[np.float64]) -> None:
    """Standard deviation of the changes from one observed step to the very next, from sums shifted by one of them."""
    steps, sides = len(states), 2 * states.shape[1]
    for group in range(totals.shape[1]):
        for side in range(sides):
            count, shift, one, two = 0, 0.0, 0.0, 0.0
            for step in range(1, steps):
                if states[step, side // 2] == OBSERVED and states[step - 1, side // 2] == OBSERVED:
                    change = totals[step, group, side] - totals[step - 1, group, side]
                    if count == 0:
                        shift = change
                    count += 1
                    one += change - shift
                    two += (change - shift) ** 2
            mean = one / count
            change_sd[group, side] = np.sqrt(max(two / count - mean * mean, 0.0)) if count else np.nan


_first_of_each: Any = njit(cache=True, nogil=True)(_first_quoted)
_decode: Any = njit(cache=True, nogil=True)(_decode_rows)
_total: Any = njit(cache=True, nogil=True)(_sum_groups)
_add: Any = njit(cache=True, nogil=True)(_add_powers)
_sum: Any = njit(cache=True, nogil=True)(_sum_powers)
_spread_of_changes: Any = njit(cache=True, nogil=True, error_model="numpy")(_sd_of_changes)
