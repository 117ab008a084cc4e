"""How much label spans overlap: concurrency, and the mean uniqueness of every label; exact, O(n log n).

Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 4, in continuous time: a span is [t0, t1).
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Instants = NDArray[np.int64]
Floats = NDArray[np.float64]


class Concurrency(NamedTuple):
    """A step function: `counts[k]` labels are under way on [instants_us[k], instants_us[k + 1]).

    Attributes:
        instants_us: (m,) int64, every start and end once, ascending.
        counts: (m,) int64; the last is 0.
    """

    instants_us: Instants
    counts: NDArray[np.int64]


def concurrency(t0_us: Instants, t1_us: Instants) -> Concurrency:
    """How many label spans [t0, t1) are under way at every instant (chapter 4.3).

    Args:
        t0_us: (n,) starts, in any order.
        t1_us: (n,) ends, each after its start.

    Raises:
        ValueError: A span is empty or reversed.
    """
    _require_spans(t0_us, t1_us)
    instants = np.unique(np.concatenate([t0_us, t1_us]))
    begun, ended = (np.searchsorted(np.sort(ends), instants, side="right") for ends in (t0_us, t1_us))
    return Concurrency(instants, begun - ended)


def mean_uniqueness(t0_us: Instants, t1_us: Instants) -> Floats:
    """Mean over each label's span [t0, t1) of one over the number of labels under way (chapter 4.4).

    One sweep over the sorted starts and ends integrates the inverse concurrency; a label's share is the difference of
    the integral at its two ends.

    Args:
        t0_us: (n,) starts, in any order.
        t1_us: (n,) ends, each after its start.

    Returns:
        (n,) float64 within (0, 1]; 1 where no other label is under way.

    Raises:
        ValueError: A span is empty or reversed.
    """
    _require_spans(t0_us, t1_us)
    by_start, by_end = _order(t0_us), _order(t1_us)
    at_start, at_end = _sweep(_taken(t0_us, by_start), _taken(t1_us, by_end))
    shared = _put_back(at_end, by_end) - _put_back(at_start, by_start)
    return np.asarray(np.minimum(shared / (t1_us - t0_us), 1.0))


def _require_spans(t0_us: Instants, t1_us: Instants) -> None:
    if np.any(t1_us <= t0_us):
        worst = int(np.argmax(t1_us <= t0_us))
        raise ValueError(f"label span {worst} ends at {t1_us[worst]} us, not after its start at {t0_us[worst]} us")


def _order(instants: Instants) -> NDArray[np.int64] | None:
    """What sorts the instants; None where they are sorted, as decisions are."""
    return None if np.all(instants[1:] >= instants[:-1]) else np.argsort(instants, kind="stable")


def _taken(instants: Instants, order: NDArray[np.int64] | None) -> Instants:
    return np.ascontiguousarray(instants if order is None else instants[order], dtype=np.int64)


def _put_back(values: Floats, order: NDArray[np.int64] | None) -> Floats:
    if order is None:
        return values
    placed = np.empty_like(values)
    placed[order] = values
    return placed


def _integrate_inverse(starts: Instants, ends: Instants) -> tuple[Floats, Floats]:
    """Integral of one over the concurrency up to every start and every end, both sorted."""
    n = len(starts)
    at_start, at_end = np.empty(n), np.empty(n)
    integral, count, begun, ended = 0.0, 0, 0, 0
    previous = starts[0] if n else 0
    while ended < n:
        starting = begun < n and starts[begun] <= ends[ended]
        instant = starts[begun] if starting else ends[ended]
        if count > 0:
            integral += (instant - previous) / count
        previous = instant
        if starting:
            at_start[begun] = integral
            begun += 1
            count += 1
        else:
            at_end[ended] = integral
            ended += 1
            count -= 1
    return at_start, at_end


_sweep: Any = njit(cache=True, nogil=True)(_integrate_inverse)
