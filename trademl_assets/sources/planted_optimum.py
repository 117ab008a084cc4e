"""Best possible forecasts of the planted market: from parameters and decisions to the exact law of the return ahead.

What the grid shows of instruments that were observed (returns, books) is filtered (planted_filter.py); given the drifts
at a decision the return over the horizon is Gaussian, and so is its forecast.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import scipy
from numpy.typing import NDArray

from trademl_assets.sources.contract import Reading
from trademl_assets.sources.planted_dynamics import Dynamics, step_dynamics
from trademl_assets.sources.planted_filter import DayRecord, FilterState, Floats, Sight, StepLaw, filter_day
from trademl_assets.sources.planted_market import LatentDay, latent_day
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Steps = NDArray[np.int64]
WARM_UP_DAYS = 1
"""The filter starts this many days before the first decision's day: many half-lives of all it remembers."""


@dataclass(frozen=True)
class Filtered:
    """Drifts as known at N decisions.

    Attributes:
        mean: Shape (N, A).
        covariance: Shape (N, A, A).
    """

    mean: Floats
    covariance: Floats


def full_sight(parameters: PlantedMarketParameters) -> Sight:
    """Everything on the grid."""
    shape = (len(parameters.instruments), len(parameters.books.bands))
    return Sight(np.ones(shape[0], dtype=np.bool_), np.ones(shape, dtype=np.bool_))


def returns_sight(parameters: PlantedMarketParameters) -> Sight:
    """Returns of all instruments, no books."""
    everything = full_sight(parameters)
    return Sight(everything.returns, ~everything.bands)


def sight_of(parameters: PlantedMarketParameters, reading: Reading) -> Sight | None:
    """What a forecaster's reading shows of the drifts: rows of the full sight, those it does not read dropped.

    Args:
        parameters: The market.
        reading: What is read. Of returns, their path alone counts; the sizes at the best prices, which a microprice
            shows too, are counted with the books.

    Returns:
        The sight. None where the best forecast from it is not linear in what it shows: the reading ends within a band,
        or leaves the gate of the drift unknown.
    """
    everything = full_sight(parameters)
    if parameters.gate.strength and not reading.long_term:
        return None
    borders = np.cumsum([band.slots for band in parameters.books.bands])
    slots = parameters.slots if reading.book_slots is None else reading.book_slots
    shown = borders <= slots
    if slots < borders[-1] and slots not in (0, *borders):
        return None
    read = np.array([instrument.name in reading.instruments for instrument in parameters.instruments])
    return Sight(everything.returns & read & reading.returns, everything.bands & read[:, None] & shown)


def filter_drifts(parameters: PlantedMarketParameters, sight: Sight, decision_steps: Steps) -> Filtered:
    """Filter the drifts up to each decision.

    Args:
        parameters: The market.
        sight: What the forecaster reads.
        decision_steps: Steps counted from the first day's first instant, shape (N,), without repeats. A forecaster at
            step k knows everything up to k, k included.

    Returns:
        Mean and covariance of the drifts at each decision, given everything read since the warm-up began.
    """
    count = len(parameters.instruments)
    known = Filtered(np.empty((decision_steps.size, count)), np.empty((decision_steps.size, count, count)))
    if decision_steps.size == 0:
        return known
    steps = parameters.steps_per_day
    dynamics = step_dynamics(parameters)
    law = StepLaw(
        dynamics.transition,
        dynamics.innovation,
        dynamics.persistence,
        dynamics.persistent_sd**2,
        dynamics.white_sd**2,
        dynamics.loadings,
    )
    state = _stationary_state(parameters, dynamics)
    days, within = np.divmod(decision_steps, steps)
    first = max(0, int(days.min()) - WARM_UP_DAYS)
    last_mid: Floats | None = None
    for index in range(first, int(days.max()) + 1):
        latent = latent_day(parameters, parameters.first_day + timedelta(days=index))
        here = np.flatnonzero(days == index)
        wanted = np.zeros(steps, dtype=np.bool_)
        wanted[within[here]] = True
        means, covariances = filter_day(state, law, _record(parameters, dynamics, latent, last_mid), sight, wanted)
        rank = np.searchsorted(np.flatnonzero(wanted), within[here])
        known.mean[here], known.covariance[here] = means[rank], covariances[rank]
        last_mid = latent.log_mid[-1]
    return known


def horizon_law(parameters: PlantedMarketParameters, target: int, step: int, horizon: int) -> tuple[Floats, float]:
    """Law of an instrument's return over the `horizon` steps after `step`, given the drifts at `step`.

    Returns:
        Weights w, shape (A,), and variance v: the return in bps is w . drifts plus Gaussian noise of variance v.
        Volatility and gate of every step are known, the next day's too where the horizon crosses midnight.
    """
    dynamics = step_dynamics(parameters)
    weights, variance = np.zeros(len(parameters.instruments)), 0.0
    for future in range(step + horizon - 1, step - 1, -1):
        latent = latent_day(parameters, parameters.first_day + timedelta(days=future // parameters.steps_per_day))
        variance += float(weights @ dynamics.innovation @ weights + latent.step_sigma_bps[target] ** 2)
        weights = dynamics.transition.T @ weights
        weights[target] += _drift_scale(parameters, latent)[target]
    return weights, variance


def horizon_laws(parameters: PlantedMarketParameters, target: int, steps: Steps, horizon: int) -> tuple[Floats, Floats]:
    """`horizon_law` of many steps, shapes (N, A) and (N,); it depends on the day and the steps left of it alone."""
    days, within = np.divmod(steps, parameters.steps_per_day)
    kinds = np.stack([days, np.minimum(parameters.steps_per_day - within, horizon)], axis=1)
    _, first, inverse = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    laws = [horizon_law(parameters, target, int(steps[position]), horizon) for position in first]
    weights = np.array([law[0] for law in laws]).reshape(-1, len(parameters.instruments))
    return weights[inverse.ravel()], np.array([law[1] for law in laws])[inverse.ravel()]


def predict_return(known: Filtered, laws: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Mean and variance of the return in bps, shape (N,) each, from the drifts as known and the horizon's laws."""
    weights, variance = laws
    mean = np.einsum("na,na->n", weights, known.mean)
    return mean, variance + np.einsum("na,nab,nb->n", weights, known.covariance, weights)


def predict_without_drift(parameters: PlantedMarketParameters, laws: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The same knowing volatility alone: mean zero, the drift's own variance included."""
    size, stationary = laws[1].size, step_dynamics(parameters).stationary
    return predict_return(Filtered(np.zeros((size, len(stationary))), np.tile(stationary, (size, 1, 1))), laws)


def class_probabilities(mean: Floats, variance: Floats, boundaries: Floats) -> Floats:
    """Integrate Gaussians over classes.

    Args:
        mean: Shape (N,).
        variance: Shape (N,).
        boundaries: Ascending, shape (C - 1,), in the mean's unit.

    Returns:
        Probabilities of shape (N, C); rows sum to one.
    """
    below = scipy.special.ndtr((boundaries - mean[:, None]) / np.sqrt(variance)[:, None])
    edge = np.zeros((mean.size, 1))
    return np.diff(np.hstack([edge, below, edge + 1]), axis=1)


def _record(
    parameters: PlantedMarketParameters, dynamics: Dynamics, latent: LatentDay, last_mid: Floats | None
) -> DayRecord:
    before = latent.log_mid[:1] if last_mid is None else last_mid[None]
    sigma = latent.step_sigma_bps
    return DayRecord(
        returns=1e4 * np.diff(np.vstack([before, latent.log_mid]), axis=0),
        bands=latent.bands,
        observed=latent.observed,
        scale=_drift_scale(parameters, latent),
        noise=dynamics.noise_correlation * np.outer(sigma, sigma),
    )


def _drift_scale(parameters: PlantedMarketParameters, latent: LatentDay) -> Floats:
    """Bps of a step's return per unit of drift, shape (A,)."""
    return latent.step_sigma_bps * (latent.gate * float(np.sqrt(parameters.step_minutes)))


def _stationary_state(parameters: PlantedMarketParameters, dynamics: Dynamics) -> FilterState:
    count, bands = len(parameters.instruments), len(parameters.books.bands)
    size = count * (2 + bands)
    covariance = np.zeros((size, size))
    covariance[:count, :count] = dynamics.stationary
    noises = np.arange(count, count * (1 + bands))
    covariance[noises, noises] = np.tile(dynamics.persistent_sd**2, count)
    return FilterState(np.zeros(size), covariance, np.zeros(count, dtype=np.bool_))
