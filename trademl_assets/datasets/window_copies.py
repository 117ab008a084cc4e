"""Compiled loops that copy or scale rows of mapped arrays into buffers; they release the interpreter's lock."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# The copy of the C library goes past the processor's cache where a block is large; a compiled loop does not.
_memcpy = ctypes.CDLL(None).memcpy
_memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_memcpy.restype = ctypes.c_void_p

_Where = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
_Fitted = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], np.float32]


@dataclass(frozen=True)
class Runs:
    """Runs of rows and where they go.

    Attributes:
        source_rows: (n,) int64, the first row of each in the source.
        target_rows: (n,) int64, where it goes in the target.
        counts: (n,) int64, its rows.
    """

    source_rows: NDArray[np.int64]
    target_rows: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def where(self) -> _Where:
        """The three together, as the compiled loops take them."""
        return self.source_rows, self.target_rows, self.counts


@dataclass(frozen=True)
class ColumnScaling:
    """Which columns of a source are taken, and how each is scaled: clip((x - center) / scale, -clip, clip).

    Attributes:
        columns: (k,) int64 columns of the source.
        center: (k,) float32.
        scale: (k,) float32.
        clip: Bound of the result.
    """

    columns: NDArray[np.int64]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float


def runs_by_file(first: NDArray[np.int64], length: int, file_rows: int) -> Iterator[tuple[int, Runs]]:
    """Cut windows at the ends of files that follow one another.

    Args:
        first: (n,) int64, the first row of each window, counted over all files; not negative.
        length: Rows of a window, at least one; window n goes to the target's rows [n * length, (n + 1) * length).
        file_rows: Rows of every file.

    Yields:
        The number of each file that has rows of a window, ascending, and the runs that lie in it.
    """
    file, source_rows, target_rows, counts = _cut(first, length, file_rows)
    if file[0] == file[-1]:
        yield int(file[0]), Runs(source_rows, target_rows, counts)
        return
    starts = [0, *(np.flatnonzero(np.diff(file)) + 1).tolist(), len(file)]
    for begin, end in pairwise(starts):
        yield int(file[begin]), Runs(source_rows[begin:end], target_rows[begin:end], counts[begin:end])


def copy_rows(source: NDArray[Any], target: NDArray[Any], runs: Runs) -> None:
    """Copy runs of rows bit by bit, each as one block of memory.

    Args:
        source: (S, width).
        target: (T, width) of the same type, overwritten.
        runs: What goes where.

    Raises:
        IndexError: A run leaves the source or the target.
        ValueError: The arrays do not fit each other, or do not lie in memory row by row.
    """
    _require(source, target, runs, source.shape[1])
    if source.dtype != target.dtype:
        raise ValueError(f"cannot copy {source.dtype} into {target.dtype} -> make the buffer of the stream's type")
    row_bytes = source.shape[1] * source.itemsize
    _copy_blocks(source.ctypes.data, target.ctypes.data, runs.where, row_bytes)


def pick_rows(source: NDArray[Any], target: NDArray[Any], runs: Runs, columns: NDArray[np.int64]) -> None:
    """As `copy_rows`, of the given columns only: target (T, len(columns))."""
    _require(source, target, runs, len(columns))
    if source.dtype != target.dtype:
        raise ValueError(f"cannot copy {source.dtype} into {target.dtype} -> make the buffer of the stream's type")
    code = np.dtype(f"u{source.itemsize}")
    _pick(source.view(code), target.view(code), runs.where, columns)


def scale_rows(source: NDArray[Any], target: NDArray[np.float32], runs: Runs, scaling: ColumnScaling) -> None:
    """As `pick_rows`, scaled in single precision; NaN stays.

    Args:
        source: (S, width) float16 or float32.
        target: (T, k) float32.
        runs: What goes where.
        scaling: The k columns and their statistics.

    Raises:
        IndexError: A run leaves the source or the target.
        ValueError: The arrays do not fit each other, or the source has another type.
    """
    _require(source, target, runs, len(scaling.columns))
    fitted = (scaling.columns, scaling.center, scaling.scale, np.float32(scaling.clip))
    if source.dtype == np.float16:
        _scale(source.view(np.uint16), _half_values(), target, runs.where, fitted)
    elif source.dtype == np.float32:
        _scale(source, np.empty(0, np.float32), target, runs.where, fitted)
    else:
        raise ValueError(f"cannot scale {source.dtype} -> store the stream as float16 or float32")


@cache
def _half_values() -> NDArray[np.float32]:
    """(65536,) the value of every code of half precision, which the compiler does not know on processors."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def _require(source: NDArray[Any], target: NDArray[Any], runs: Runs, width: int) -> None:
    if not (source.flags.c_contiguous and target.flags.c_contiguous and target.shape[1] == width):
        raise ValueError(
            f"cannot copy rows of {source.shape} into {target.shape}: they must lie row by row, {width} wide"
        )
    run = _first_outside(runs.where, len(source), len(target))
    if run >= 0:
        raise IndexError(
            f"run {run} copies {runs.counts[run]} rows from {runs.source_rows[run]} of {len(source)} to "
            f"{runs.target_rows[run]} of {len(target)}: it leaves them"
        )


@numba.njit(nogil=True, cache=True)
def _first_outside(where: _Where, source_length: int, target_length: int) -> int:
    source_rows, target_rows, counts = where
    for run in range(len(counts)):
        lowest = min(source_rows[run], target_rows[run], counts[run])
        if (
            lowest < 0
            or counts[run] > source_length - source_rows[run]
            or counts[run] > target_length - target_rows[run]
        ):
            return run
    return -1


@numba.njit(nogil=True, cache=True)
def _cut(
    first: NDArray[np.int64], length: int, file_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """File, row in it, row of the target and count of every piece, by file and then by window."""
    pieces = 0
    for row in first:
        pieces += (row + length - 1) // file_rows - row // file_rows + 1
    found = np.empty((4, pieces), np.int64)
    at, highest, is_sorted = 0, -1, True
    for window in range(len(first)):
        row, last = first[window], first[window] + length
        while row < last:
            number = row // file_rows
            count = min((number + 1) * file_rows, last) - row
            found[0, at], found[1, at] = number, row - number * file_rows
            found[2, at], found[3, at] = (window + 1) * length - (last - row), count
            is_sorted &= number >= highest
            highest = max(highest, number)
            row += count
            at += 1
    if not is_sorted:
        order = np.argsort(found[0], kind="mergesort")
        for line in range(4):
            found[line] = found[line][order]
    return found[0], found[1], found[2], found[3]


@numba.njit(nogil=True)
def _copy_blocks(source: int, target: int, where: _Where, row_bytes: int) -> None:
    source_rows, target_rows, counts = where
    for run in range(len(counts)):
        _memcpy(target + target_rows[run] * row_bytes, source + source_rows[run] * row_bytes, counts[run] * row_bytes)


@numba.njit(nogil=True, cache=True)
def _pick(source: NDArray[Any], target: NDArray[Any], where: _Where, columns: NDArray[np.int64]) -> None:
    source_rows, target_rows, counts = where
    for run in range(len(counts)):
        for row in range(counts[run]):
            for column in range(len(columns)):
                target[target_rows[run] + row, column] = source[source_rows[run] + row, columns[column]]


@numba.njit(nogil=True, cache=True)
def _scale(
    source: NDArray[Any], values: NDArray[np.float32], target: NDArray[np.float32], where: _Where, statistics: _Fitted
) -> None:
    """Scale; where `values` are given, the source holds their positions."""
    source_rows, target_rows, counts = where
    columns, center, scale, clip = statistics
    decodes = len(values) > 0
    for run in range(len(counts)):
        for row in range(counts[run]):
            for column in range(len(columns)):
                stored = source[source_rows[run] + row, columns[column]]
                found = values[int(stored)] if decodes else np.float32(stored)
                value = (found - center[column]) / scale[column]
                target[target_rows[run] + row, column] = clip if value > clip else max(value, -clip)
