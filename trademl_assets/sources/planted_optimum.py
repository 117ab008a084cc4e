"""Best possible forecasts of the planted market: exact Kalman filter on what the grid shows, Gaussian predictive, class probabilities.

State of A instruments and B bands, n = A * (2 + B): drifts m (A), persistent band noises p (A * B, instrument-major) and q (A), each
instrument's return in bps since its last observed instant. One step is linear-Gaussian (planted_market.py); an observed instrument shows q
exactly, whereupon q restarts at zero, and its band means, which are sufficient for the books: loading * m + p + white noise. A missing
snapshot shows nothing of that instrument. Formulas: Kalman 1960; measurements enter one scalar at a time (their noises are independent).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtr

from trademl_assets.sources.planted_market import Dynamics, Floats, LatentDay, latent_day, step_dynamics
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

WARM_UP_DAYS = 1
"""The filter starts this many days before the first decision's day. Its memory is a few half-lives of the drift."""


@dataclass(frozen=True)
class Sight:
    """Which rows of information a forecaster reads.

    Attributes:
        returns: Per instrument, shape (A,).
        bands: Per instrument and band, shape (A, B).
    """

    returns: NDArray[np.bool_]
    bands: NDArray[np.bool_]


@dataclass(frozen=True)
class Filtered:
    """Drifts as known at given steps.

    Attributes:
        mean: Shape (N, A).
        covariance: Shape (N, A, A).
    """

    mean: Floats
    covariance: Floats


def full_sight(parameters: PlantedMarketParameters) -> Sight:
    """Everything on the grid."""
    shape = (len(parameters.instruments), len(parameters.books.bands))
    return Sight(np.ones(shape[0], dtype=bool), np.ones(shape, dtype=bool))


def own_sight(parameters: PlantedMarketParameters, target: int) -> Sight:
    """Returns and book of one instrument."""
    sight = full_sight(parameters)
    own = np.arange(len(parameters.instruments)) == target
    return Sight(sight.returns & own, sight.bands & own[:, None])


def returns_sight(parameters: PlantedMarketParameters) -> Sight:
    """Returns of all instruments, no books."""
    sight = full_sight(parameters)
    return Sight(sight.returns, ~sight.bands)


def filter_drifts(parameters: PlantedMarketParameters, sight: Sight, decision_steps: NDArray[np.int64]) -> Filtered:
    """Filter the drifts up to each decision.

    Args:
        parameters: The market.
        sight: What the forecaster reads.
        decision_steps: Steps counted from the first day's first instant, shape (N,). A forecaster at step k knows all up to and with k.

    Returns:
        Mean and covariance of the drifts at each decision, given everything read since the first day or the warm-up.
    """
    dynamics = step_dynamics(parameters)
    count, bands = len(parameters.instruments), len(parameters.books.bands)
    mean, covariance = _stationary_start(dynamics, count, bands)
    seen = np.zeros(count, dtype=np.bool_)
    results = Filtered(np.empty((decision_steps.size, count)), np.empty((decision_steps.size, count, count)))
    previous: LatentDay | None = None
    for index, day, latent in _days_of(parameters, decision_steps):
        last_mid = latent.log_mid[0] if previous is None else previous.log_mid[-1]
        returns = 1e4 * np.diff(np.vstack([last_mid, latent.log_mid]), axis=0)
        wanted = np.zeros(parameters.steps_per_day, dtype=np.bool_)
        lies_here = decision_steps // parameters.steps_per_day == index
        wanted[decision_steps[lies_here] % parameters.steps_per_day] = True
        first = previous or latent
        scale = _drift_scale(parameters, latent)
        first_scale = _drift_scale(parameters, first)
        means, covariances = _filter_day(
            mean,
            covariance,
            seen,
            previous is not None,
            dynamics.transition,
            dynamics.innovation,
            dynamics.persistence,
            dynamics.persistent_sd**2,
            dynamics.white_sd**2,
            dynamics.loadings,
            np.stack([first_scale, scale]),
            np.stack([_noise(dynamics, first), _noise(dynamics, latent)]),
            returns,
            latent.bands,
            latent.observed,
            sight.returns,
            sight.bands,
            wanted,
        )
        positions = np.searchsorted(np.flatnonzero(wanted), decision_steps[lies_here] % parameters.steps_per_day)
        results.mean[lies_here], results.covariance[lies_here] = means[positions], covariances[positions]
        previous = latent
    return results


def horizon_law(parameters: PlantedMarketParameters, target: int, step: int, horizon: int) -> tuple[Floats, float]:
    """Law of the return over the `horizon` steps after `step`, given the drifts at `step`.

    Returns:
        Weights w, shape (A,), and variance v: the return in bps is w . drifts + Gaussian noise of variance v. Volatility and gate of every
        step are known, those of the next day too where the horizon crosses midnight.
    """
    dynamics = step_dynamics(parameters)
    weights, variance = np.zeros(len(parameters.instruments)), 0.0
    for future in range(step + horizon - 1, step - 1, -1):
        scale, noise = _step_law(parameters, target, future // parameters.steps_per_day)
        variance += weights @ dynamics.innovation @ weights + noise
        weights = dynamics.transition.T @ weights
        weights[target] += scale
    return weights, float(variance)


def class_probabilities(mean: Floats, variance: Floats, boundaries: Floats) -> Floats:
    """Integrate Gaussians over classes.

    Args:
        mean: Shape (N,).
        variance: Shape (N,).
        boundaries: Ascending, shape (C - 1,).

    Returns:
        Probabilities of shape (N, C); rows sum to one.
    """
    below = ndtr((boundaries - mean[:, None]) / np.sqrt(variance)[:, None])
    edges = np.zeros((mean.size, 1))
    return np.diff(np.hstack([edges, below, edges + 1]), axis=1)


def _days_of(
    parameters: PlantedMarketParameters, decision_steps: NDArray[np.int64]
) -> Iterator[tuple[int, date, LatentDay]]:
    if decision_steps.size == 0:
        return
    first = max(0, int(decision_steps.min()) // parameters.steps_per_day - WARM_UP_DAYS)
    for index in range(first, int(decision_steps.max()) // parameters.steps_per_day + 1):
        day = parameters.first_day + timedelta(days=index)
        yield index, day, latent_day(parameters, day)


def _step_law(parameters: PlantedMarketParameters, target: int, day_index: int) -> tuple[float, float]:
    latent = latent_day(parameters, parameters.first_day + timedelta(days=day_index))
    return float(_drift_scale(parameters, latent)[target]), float(latent.step_sigma_bps[target] ** 2)


def _drift_scale(parameters: PlantedMarketParameters, latent: LatentDay) -> Floats:
    """Bps of a step's return per unit of drift, shape (A,)."""
    return latent.step_sigma_bps * (latent.gate * np.sqrt(parameters.step_minutes))


def _noise(dynamics: Dynamics, latent: LatentDay) -> Floats:
    return dynamics.noise_correlation * np.outer(latent.step_sigma_bps, latent.step_sigma_bps)


def _stationary_start(dynamics: Dynamics, count: int, bands: int) -> tuple[Floats, Floats]:
    size = count * (2 + bands)
    covariance = np.zeros((size, size))
    covariance[:count, :count] = dynamics.stationary
    noises = np.arange(count, count * (1 + bands))
    covariance[noises, noises] = np.tile(dynamics.persistent_sd**2, count)
    return np.zeros(size), covariance


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _filter_day(
    mean: Floats,
    covariance: Floats,
    seen: NDArray[np.bool_],
    propagate_first: bool,  # noqa: FBT001 -- numba takes no keyword-only arguments
    transition: Floats,
    innovation: Floats,
    persistence: float,
    persistent_variance: Floats,
    white_variance: Floats,
    loadings: Floats,
    scales: Floats,
    noises: Floats,
    returns: Floats,
    band_means: Floats,
    observed: NDArray[np.bool_],
    reads_returns: NDArray[np.bool_],
    reads_bands: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """Filter one day in place and hand out the drifts' mean and covariance at the wanted steps.

    `scales` and `noises` hold the law of the step into the day's first instant, then the law of the day's own steps.
    """
    steps, count, bands = band_means.shape
    first_q = count * (1 + bands)
    found = 0
    for k in range(steps):
        found += wanted[k]
    means, covariances = np.empty((found, count)), np.empty((found, count, count))
    gain = np.empty(mean.size)
    found = 0
    for k in range(steps):
        if k > 0 or propagate_first:
            law = min(k, 1)
            _propagate(
                mean,
                covariance,
                transition,
                innovation,
                persistence,
                persistent_variance,
                scales[law],
                noises[law],
                bands,
            )
        for i in range(count):
            q = first_q + i
            # q is kept as its distance from what really happened, so that a return across a gap is the sum of its steps.
            mean[q] -= returns[k, i]
            if not observed[k, i]:
                continue
            if reads_returns[i] and seen[i]:
                _measure(mean, covariance, gain, q, -1, 0.0, 0.0, 0.0)
            for b in range(bands):
                if reads_bands[i, b]:
                    _measure(
                        mean,
                        covariance,
                        gain,
                        count + i * bands + b,
                        i,
                        loadings[b],
                        white_variance[b],
                        band_means[k, i, b],
                    )
            mean[q] = 0.0
            covariance[q, :] = 0.0
            covariance[:, q] = 0.0
            seen[i] = True
        if wanted[k]:
            means[found] = mean[:count]
            covariances[found] = covariance[:count, :count]
            found += 1
    return means, covariances


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _propagate(
    mean: Floats,
    covariance: Floats,
    transition: Floats,
    innovation: Floats,
    persistence: float,
    persistent_variance: Floats,
    scale: Floats,
    noise: Floats,
    bands: int,
) -> None:
    """Move mean and covariance one step ahead in place: x' = F x + noise, S' = F S F^T + Q, by the blocks of F."""
    size, count = mean.size, scale.size
    first_q = count * (1 + bands)
    drifts = np.empty((count, size + 1))
    for i in range(count):
        mean[first_q + i] += scale[i] * mean[i]
        covariance[first_q + i, :] += scale[i] * covariance[i, :]
    for i in range(count):
        drifts[i, :] = 0.0
        for j in range(count):
            drifts[i, size] += transition[i, j] * mean[j]
            for c in range(size):
                drifts[i, c] += transition[i, j] * covariance[j, c]
    mean[count:first_q] *= persistence
    covariance[count:first_q, :] *= persistence
    for i in range(count):
        mean[i] = drifts[i, size]
        covariance[i, :] = drifts[i, :size]
    # The same from the right.
    for c in range(size):
        for i in range(count):
            covariance[c, first_q + i] += scale[i] * covariance[c, i]
        for i in range(count):
            total = 0.0
            for j in range(count):
                total += transition[i, j] * covariance[c, j]
            drifts[i, 0] = total
        for i in range(count):
            covariance[c, i] = drifts[i, 0]
        for p in range(count, first_q):
            covariance[c, p] *= persistence
    fresh = 1 - persistence * persistence
    for i in range(count):
        for j in range(count):
            covariance[i, j] += innovation[i, j]
            covariance[first_q + i, first_q + j] += noise[i, j]
        for b in range(bands):
            p = count + i * bands + b
            covariance[p, p] += fresh * persistent_variance[b]


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _measure(
    mean: Floats,
    covariance: Floats,
    gain: Floats,
    row: int,
    drift: int,
    loading: float,
    variance: float,
    value: float,
) -> None:
    """Update in place by a scalar x[row] + loading * x[drift] + noise of `variance` (no drift where its index is negative)."""
    size = mean.size
    for c in range(size):
        gain[c] = covariance[c, row]
        if drift >= 0:
            gain[c] += loading * covariance[c, drift]
    total = variance + gain[row]
    residual = value - mean[row]
    if drift >= 0:
        total += loading * gain[drift]
        residual -= loading * mean[drift]
    for c in range(size):
        mean[c] += gain[c] / total * residual
    for c in range(size):
        factor = gain[c] / total
        for d in range(size):
            covariance[c, d] -= factor * gain[d]
