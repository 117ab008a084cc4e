"""Thins books out to a fixed cadence: the last book at or before each instant, none that came later."""

import numpy as np
from numpy.typing import NDArray


def sample_books(
    instants: NDArray[np.int64], first_us: int, end_us: int, cadence_us: int, max_silence_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose a book for every instant k * cadence since the epoch within [first, end).

    Args:
        instants: Instants of the books, microseconds, ascending, shape (N,).
        first_us: First instant wanted.
        end_us: First instant no longer wanted.
        cadence_us: Distance of instants.
        max_silence_us: An instant is left out when the latest book is older than this.

    Returns:
        Instants that have a book, shape (M,), and the number of the book of each: the last at or before the instant.
    """
    grid = np.arange(-(-first_us // cadence_us) * cadence_us, end_us, cadence_us, dtype=np.int64)
    latest = np.searchsorted(instants, grid, side="right") - 1
    known = latest >= 0
    grid, latest = grid[known], latest[known]
    fresh = grid - instants[latest] <= max_silence_us
    return grid[fresh], latest[fresh]
