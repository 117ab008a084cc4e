"""Half-precision codes of snapshot values: gathered, rounded and packed by compiled loops.

A code is the bit pattern of a float16. Distances are rounded to it (nearest, ties to even). Quantities go through a
step function: of a ratio r in single precision it knows the code of log1p(r) exactly, because log1p is monotone and
its codes therefore change at a few thousand ratios, which are found once a process with numpy's double-precision log1p.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

HALF_LIMIT = float(np.finfo(np.float16).max)
_INFINITE_HALF = 0x7C00
_INFINITE_SINGLE = 0x7F800000
_BUCKET_BITS = 12
_NEVER = 0xFFFF
_STEPS_AT_ONCE = 64
"""Steps encoded together: few enough for the caches, enough to be read ahead; changes nothing but the speed."""


@cache
def log1p_steps() -> NDArray[np.int64]:
    """Where the half-precision code of log1p changes.

    Returns:
        Element c - 1 is the bit pattern of the least single-precision ratio whose log1p, in double precision and then
        rounded to half, has a code of at least c; for all codes that a finite ratio reaches.
    """
    greatest = _INFINITE_SINGLE - 1
    codes = np.arange(1, int(_codes_of_log1p(np.array([greatest]))[0]) + 1)
    low, high = np.zeros(len(codes), np.int64), np.full(len(codes), greatest, np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        reached = _codes_of_log1p(middle) >= codes
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return high


@cache
def log1p_table() -> NDArray[np.uint32]:
    """Codes of log1p by the leading bits of a single-precision ratio.

    Returns:
        For every bucket of 2**12 neighbouring bit patterns the code at its begin, shifted left by 16, and the offset
        at which the next code begins, 0xFFFF where the bucket holds one code.

    Raises:
        ArithmeticError: A bucket holds three codes; half precision has too few bits for that.
    """
    steps = log1p_steps()
    begins = np.arange(_INFINITE_SINGLE >> _BUCKET_BITS, dtype=np.int64) << _BUCKET_BITS
    codes = np.searchsorted(steps, begins, side="right")
    following = np.searchsorted(steps, begins + (1 << _BUCKET_BITS) - 1, side="right")
    if (following - codes > 1).any():
        raise ArithmeticError("log1p changes its code twice within a bucket -> use narrower buckets")
    offsets = np.full(len(begins), _NEVER, np.int64)
    changing = following > codes
    offsets[changing] = steps[codes[changing]] - begins[changing]
    table: NDArray[np.uint32] = (codes << 16 | offsets).astype(np.uint32)
    table.flags.writeable = False
    return table


def _codes_of_log1p(bits: NDArray[np.int64]) -> NDArray[np.uint16]:
    ratios = bits.astype(np.uint32).view(np.float32).astype(np.float64)
    return np.log1p(ratios).astype(np.float16).view(np.uint16)


def _gather_steps(
    values: NDArray[np.float32], rows: NDArray[np.int64], first: int, last: int, gathered: NDArray[np.float32]
) -> None:
    """Copy the rows that the steps [first, last) show one after the other, zeros where a step shows none."""
    slots = values.shape[1]
    for step in range(last - first):
        begin, row = step * slots, rows[first + step]
        if row < 0:
            for slot in range(slots):
                gathered[begin + slot] = np.float32(0.0)
        else:
            for slot in range(slots):
                gathered[begin + slot] = values[row, slot]


def _round_to_half(values: NDArray[np.float32], scratch: NDArray[np.float32], codes: NDArray[np.uint16]) -> np.uint32:
    """Codes of values, 0 for NaN; returns the greatest magnitude as a bit pattern.

    Each loop does one thing, so that the compiler makes it a vector loop. Below the least normal number the sum with
    0.5, whose last bit is the half's, rounds; above, adding almost half of the dropped bits does.
    """
    bits, sums = values.view(np.uint32), scratch.view(np.uint32)
    greatest = np.uint32(0)
    for i in range(len(codes)):
        scratch[i] = abs(values[i]) + np.float32(0.5)
    for i in range(len(codes)):
        magnitude = bits[i] & np.uint32(0x7FFFFFFF)
        greatest = max(greatest, magnitude if magnitude <= np.uint32(_INFINITE_SINGLE) else np.uint32(0))
    for i in range(len(codes)):
        magnitude = bits[i] & np.uint32(0x7FFFFFFF)
        odd = (magnitude >> np.uint32(13)) & np.uint32(1)
        normal = (magnitude + np.uint32(0xC8000FFF) + odd) >> np.uint32(13)  # the exponent's bias from 127 to 15
        subnormal = sums[i] - np.uint32(0x3F000000)
        code = subnormal if magnitude < np.uint32(0x38800000) else normal
        code |= (bits[i] >> np.uint32(16)) & np.uint32(0x8000)
        codes[i] = np.uint16(code if magnitude <= np.uint32(_INFINITE_SINGLE) else np.uint32(0))
    return greatest


def _log1p_of_ratios(
    values: NDArray[np.float32],
    reference: np.float32,
    table: NDArray[np.uint32],
    scratch: NDArray[np.float32],
    codes: NDArray[np.uint16],
) -> np.uint32:
    """Codes of log1p(value / reference), 0 for NaN; returns the greatest bit pattern of a ratio, negative ones last.

    The values are used up: their memory takes the entries of the table, so that only looking them up is no vector loop.
    """
    bits, entries = scratch.view(np.uint32), values.view(np.uint32)
    greatest = np.uint32(0)
    for i in range(len(codes)):
        scratch[i] = values[i] / reference
    for i in range(len(codes)):
        ratio = bits[i]
        ratio = ratio if (ratio & np.uint32(0x7FFFFFFF)) <= np.uint32(_INFINITE_SINGLE) else np.uint32(0)
        ratio = ratio if ratio != np.uint32(0x80000000) else np.uint32(0)
        greatest = max(greatest, ratio)
        bits[i] = min(ratio, np.uint32(_INFINITE_SINGLE - 1))
    for i in range(len(codes)):
        entries[i] = table[bits[i] >> np.uint32(_BUCKET_BITS)]
    for i in range(len(codes)):
        offset = bits[i] & np.uint32((1 << _BUCKET_BITS) - 1)
        codes[i] = np.uint16((entries[i] >> np.uint32(16)) + np.uint32(offset >= (entries[i] & np.uint32(0xFFFF))))
    return greatest


def _encode_steps(
    fields: tuple[NDArray[np.float32], ...],
    rows: NDArray[np.int64],
    reference: np.float32,
    table: NDArray[np.uint32],
    packed: NDArray[np.uint64],
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Pack the codes of bid distance, bid quantity, ask distance and ask quantity of every slot into one number."""
    slots = fields[0].shape[1]
    size = _STEPS_AT_ONCE * slots
    gathered, scratch = np.empty(size, np.float32), np.empty(size, np.float32)
    codes = np.empty((4, size), np.uint16)
    one, two, three, four = np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
    for first in range(0, len(rows), _STEPS_AT_ONCE):
        last = min(first + _STEPS_AT_ONCE, len(rows))
        count = (last - first) * slots
        _gather(fields[0], rows, first, last, gathered)
        one = max(one, _round(gathered, scratch, codes[0, :count]))
        _gather(fields[1], rows, first, last, gathered)
        two = max(two, _log1p(gathered, reference, table, scratch, codes[1, :count]))
        _gather(fields[2], rows, first, last, gathered)
        three = max(three, _round(gathered, scratch, codes[2, :count]))
        _gather(fields[3], rows, first, last, gathered)
        four = max(four, _log1p(gathered, reference, table, scratch, codes[3, :count]))
        begin = first * slots
        for i in range(count):
            packed[begin + i] = (
                np.uint64(codes[0, i])
                | np.uint64(codes[1, i]) << np.uint64(16)
                | np.uint64(codes[2, i]) << np.uint64(32)
                | np.uint64(codes[3, i]) << np.uint64(48)
            )
    return one, two, three, four


def _interleave_columns(packed: NDArray[np.uint64], count: int, target: NDArray[np.uint64], first: int) -> None:
    """Write the first `count` numbers of every row of `packed` as columns, from element `first` of the target on."""
    at = first
    for i in range(count):
        for row in range(packed.shape[0]):
            target[at] = packed[row, i]
            at += 1


_gather: Any = njit(cache=True, nogil=True)(_gather_steps)
_round: Any = njit(cache=True, nogil=True)(_round_to_half)
_log1p: Any = njit(cache=True, nogil=True, error_model="numpy")(_log1p_of_ratios)
encode_steps: Any = njit(cache=True, nogil=True)(_encode_steps)
interleave: Any = njit(cache=True, nogil=True)(_interleave_columns)
