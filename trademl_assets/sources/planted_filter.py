"""Kalman filter over one day of the planted market, compiled; from a day's record to the drifts as known at a step.

State of A instruments and B bands, n = A * (2 + B): drifts m (A), persistent band noises p (A * B, instrument-major)
and q (A), each instrument's return in bps since its last observed instant. A step moves
    q += scale * m + noise,    m = transition m + innovation,    p = persistence p + innovation.
An observed instrument shows q exactly, whereupon q restarts at zero, and its band means loading * m + p + white noise.
Measurement noises are independent, so measurements enter one scalar at a time (Kalman 1960). Instead of q its distance
from what really happened is kept: a return is then always the measurement of zero, across gaps too.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class FilterState(NamedTuple):
    """What is known before an instant's measurements; changed in place.

    Attributes:
        mean: Shape (n,).
        covariance: Shape (n, n).
        seen: Whether an instrument was observed yet, shape (A,); before, its return has no beginning.
    """

    mean: Floats
    covariance: Floats
    seen: Flags


class StepLaw(NamedTuple):
    """The law of a step that all days share; shapes as in `planted_market.Dynamics`.

    Attributes:
        transition: Shape (A, A).
        innovation: Shape (A, A).
        persistence: AR coefficient of the persistent noises.
        persistent_variance: Stationary, shape (B,).
        white_variance: Shape (B,).
        loadings: Shape (B,).
    """

    transition: Floats
    innovation: Floats
    persistence: float
    persistent_variance: Floats
    white_variance: Floats
    loadings: Floats


class DayRecord(NamedTuple):
    """What a day showed, and the law of its returns.

    Attributes:
        returns: Returns in bps of the step into each instant, shape (T, A).
        bands: Band means, shape (T, A, B).
        observed: Shape (T, A).
        scale: Bps of a step's return per unit of drift, shape (A,), for steps that begin on this day.
        noise: Covariance of their return noise in square bps, shape (A, A).
    """

    returns: Floats
    bands: Floats
    observed: Flags
    scale: Floats
    noise: Floats


class Sight(NamedTuple):
    """Which rows of information a forecaster reads.

    Attributes:
        returns: Per instrument, shape (A,).
        bands: Per instrument and band, shape (A, B).
    """

    returns: Flags
    bands: Flags


@njit(cache=True)
def filter_day(
    state: FilterState, law: StepLaw, record: DayRecord, sight: Sight, wanted: Flags
) -> tuple[Floats, Floats]:
    """Filter a day.

    Args:
        state: Knowledge before the day's first instant; in place, knowledge before the next day's first instant.
        law: Law of a step.
        record: The day.
        sight: What is read.
        wanted: Steps to report, shape (T,).

    Returns:
        Mean (N, A) and covariance (N, A, A) of the drifts at the wanted steps, their own measurements included.
    """
    steps, count = record.observed.shape
    reports = int(np.sum(wanted))
    means, covariances = np.empty((reports, count)), np.empty((reports, count, count))
    gain = np.empty(state.mean.size)
    rows = np.empty((count, state.mean.size))
    found = 0
    for k in range(steps):
        for i in range(count):
            state.mean[state.mean.size - count + i] -= record.returns[k, i]
            if record.observed[k, i]:
                _observe(state, law, sight, gain, i, record.bands[k, i])
        if wanted[k]:
            for i in range(count):
                means[found, i] = state.mean[i]
                for j in range(count):
                    covariances[found, i, j] = state.covariance[i, j]
            found += 1
        _propagate(state, law, record, rows)
    return means, covariances


@njit(cache=True)
def _observe(state: FilterState, law: StepLaw, sight: Sight, gain: Floats, i: int, band_means: Floats) -> None:  # noqa: PLR0917 -- a kernel
    """Take in what instrument `i` shows, and restart its q."""
    count, bands = sight.bands.shape
    q = state.mean.size - count + i
    if sight.returns[i] and state.seen[i]:
        _measure(state, gain, (q, i), (0.0, 0.0), 0.0)
    for b in range(bands):
        if sight.bands[i, b]:
            _measure(state, gain, (count + i * bands + b, i), (law.loadings[b], law.white_variance[b]), band_means[b])
    state.mean[q] = 0.0
    for c in range(state.mean.size):
        state.covariance[q, c] = 0.0
        state.covariance[c, q] = 0.0
    state.seen[i] = True


@njit(cache=True)
def _measure(state: FilterState, gain: Floats, at: tuple[int, int], law: tuple[float, float], value: float) -> None:
    """Update by the scalar x[row] + loading * x[drift] + noise; `at` is (row, drift), `law` (loading, variance)."""
    mean, covariance = state.mean, state.covariance
    row, drift = at
    loading, variance = law
    for c in range(mean.size):
        gain[c] = covariance[row, c] + loading * covariance[drift, c]
    residual = value - mean[row] - loading * mean[drift]
    total = variance + gain[row] + loading * gain[drift]
    for c in range(mean.size):
        factor = gain[c] / total
        mean[c] += factor * residual
        for d in range(mean.size):
            covariance[c, d] -= factor * gain[d]


@njit(cache=True)
def _propagate(state: FilterState, law: StepLaw, record: DayRecord, rows: Floats) -> None:
    """Move one step ahead: x' = F x + noise, S' = F S F^T + Q; S is symmetric, so F S F^T = F (F S)^T."""
    covariance = state.covariance
    count, bands = record.scale.size, law.loadings.size
    first_q = state.mean.size - count
    _multiply(state.mean.reshape((state.mean.size, 1)), law, record.scale, rows)
    for _ in range(2):
        _multiply(covariance, law, record.scale, rows)
        _transpose(covariance)
    for i in range(count):
        for j in range(count):
            covariance[i, j] += law.innovation[i, j]
            covariance[first_q + i, first_q + j] += record.noise[i, j]
        for b in range(bands):
            p = count + i * bands + b
            covariance[p, p] += (1 - law.persistence**2) * law.persistent_variance[b]


@njit(cache=True)
def _multiply(matrix: Floats, law: StepLaw, scale: Floats, rows: Floats) -> None:
    """Multiply by F from the left in place, block by block."""
    size, columns = matrix.shape
    count = scale.size
    for i in range(count):
        for c in range(columns):
            matrix[size - count + i, c] += scale[i] * matrix[i, c]
            rows[i, c] = 0.0
        for j in range(count):
            for c in range(columns):
                rows[i, c] += law.transition[i, j] * matrix[j, c]
    for i in range(count):
        for c in range(columns):
            matrix[i, c] = rows[i, c]
    for p in range(count, size - count):
        for c in range(columns):
            matrix[p, c] *= law.persistence


@njit(cache=True)
def _transpose(matrix: Floats) -> None:
    for i in range(matrix.shape[0]):
        for j in range(i):
            upper = matrix[j, i]
            matrix[j, i] = matrix[i, j]
            matrix[i, j] = upper
