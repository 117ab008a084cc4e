"""Prices that lie too far from those beside them: outlying moves, and fat fingers that jump and come back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_QUANTILE, _QUANTILE_IN_SIGMA = 0.9, 1.6449
"""Nine in ten values of a normal variable lie within this many standard deviations of its median."""


@dataclass(frozen=True)
class PriceFlags:
    """Flags of mids, each of shape (snapshots,).

    Attributes:
        outlying: The mid moved, since the one before it, further than the limit.
        fat_finger: The mid is part of a jump that came back.
    """

    outlying: NDArray[np.bool_]
    fat_finger: NDArray[np.bool_]


def flag_prices(
    best: tuple[NDArray[np.float64], NDArray[np.float64]],
    instants: NDArray[np.int64],
    robust_z: float,
    fat_finger_us: int,
    gap_us: int,
) -> PriceFlags:
    """Flag mids by the robust z-score of their log returns.

    The scale is that of the returns of the whole day, by the nine-tenths quantile of their absolute deviations from
    the median: the mid of a fast feed rests most of the time, which makes the median absolute deviation zero. It is
    not less than the median half spread, for moves within the spread are none. A fat finger is an outlying move from
    which a mid at most `fat_finger_us` later is back within the limit of where it began; a jump at the first or the
    last mid cannot be told from a move of the market.

    Args:
        best: Best bids, positive, and best asks, not below them, each of shape (snapshots,).
        instants: Their instants, ascending, microseconds.
        robust_z: Limit in robust standard deviations.
        fat_finger_us: How long a fat finger lasts at most, from its first mid to the first that is back.
        gap_us: A move across a silence longer than this is not flagged: the market had the time for it.
    """
    bid, ask = best
    outlying, fat_finger = np.zeros((2, len(bid)), np.bool_)
    if len(bid) < 2:  # noqa: PLR2004 - a return needs two mids
        return PriceFlags(outlying, fat_finger)
    logs = np.log((bid + ask) / 2)
    returns = np.diff(logs)
    deviations = np.abs(returns - np.median(returns))
    half_spread = np.median((ask - bid) / (ask + bid))
    limit = robust_z * max(float(np.quantile(deviations, _QUANTILE)) / _QUANTILE_IN_SIGMA, float(half_spread))
    outlying[1:] = (deviations > limit) & (np.diff(instants) <= gap_us)
    back = 0
    for jump in np.flatnonzero(outlying):
        if jump < back:
            continue
        end = np.searchsorted(instants, instants[jump] + fat_finger_us, side="right")
        returned = np.flatnonzero(np.abs(logs[jump + 1 : end] - logs[jump - 1]) <= limit)
        if len(returned):
            back = jump + 1 + returned[0]
            fat_finger[jump:back] = True
            back += 1  # the way back is no new jump
    return PriceFlags(outlying, fat_finger)
