"""The linear-Gaussian law of the planted market; from parameters to the matrices of one step.

The drift m of the instruments (in minute sigmas a minute) is a VAR(1), the exact discretisation of
    dm_0 = -a m_0 dt + noise,    dm_i = -b (m_i - share * m_0) dt + noise,
with noises that give every drift the stationary standard deviation `signal`. Over the d minutes from instant k to k + 1
    return = minute sigma * level(day) * (gate(day) * m_k * d + sqrt(d) * e_k),    e correlated between instruments,
and the mean over a band's n slots of log(bid quantity / ask quantity) at instant k is
    loading * m_k + persistent_k + white_k,    variances share * sd^2 / n and (1 - share) * sd^2 / n.
That mean is all a band knows of the drift: its slots deviate from it independently of it.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dynamics:
    """The linear-Gaussian law of one step, for A instruments and B bands.

    Attributes:
        transition: Step matrix of the drifts, shape (A, A).
        stationary: Stationary covariance of the drifts, shape (A, A).
        innovation: Covariance of a step's drift innovation, shape (A, A).
        unit_stationary_root: Cholesky root of `stationary` at signal 1.
        unit_innovation_root: Cholesky root of `innovation` at signal 1.
        noise_correlation: Correlation of the return noises, shape (A, A).
        step_sigma_bps: Standard deviation of a step's return noise at volatility level 1, shape (A,).
        loadings: Of the bands, shape (B,).
        persistent_sd: Stationary standard deviation of a band's persistent noise, shape (B,).
        white_sd: Standard deviation of a band's white noise, shape (B,).
        persistence: AR coefficient of a step of the persistent noise.
    """

    transition: Floats
    stationary: Floats
    innovation: Floats
    unit_stationary_root: Floats
    unit_innovation_root: Floats
    noise_correlation: Floats
    step_sigma_bps: Floats
    loadings: Floats
    persistent_sd: Floats
    white_sd: Floats
    persistence: float


@lru_cache(maxsize=8)
def step_dynamics(parameters: PlantedMarketParameters) -> Dynamics:
    """Derive the law of one step."""
    drift, books, count = parameters.drift, parameters.books, len(parameters.instruments)
    leader_rate = math.log(2) / drift.leader_half_life_minutes
    follower_rate = math.log(2) / drift.follower_half_life_minutes
    generator = -follower_rate * np.eye(count)
    generator[1:, 0] = follower_rate * drift.follower_share
    generator[0, 0] = -leader_rate
    # Of a follower's unit variance, the part that the filtered leader brings; its own noise brings the rest.
    brought = drift.follower_share**2 * follower_rate / (leader_rate + follower_rate)
    diffusion = np.diag([2 * leader_rate] + [2 * follower_rate * (1 - brought)] * (count - 1))
    stationary = scipy.linalg.solve_continuous_lyapunov(generator, -diffusion)
    transition = scipy.linalg.expm(generator * parameters.step_minutes)
    innovation = stationary - transition @ stationary @ transition.T
    slots = np.array([band.slots for band in books.bands], dtype=np.float64)
    variance = books.slot_noise_sd**2 / slots
    sigmas = np.array([instrument.minute_volatility_bps for instrument in parameters.instruments])
    return Dynamics(
        transition=transition,
        stationary=drift.signal**2 * stationary,
        innovation=drift.signal**2 * innovation,
        unit_stationary_root=np.linalg.cholesky(stationary),
        unit_innovation_root=np.linalg.cholesky(innovation),
        noise_correlation=(1 - drift.noise_correlation) * np.eye(count) + drift.noise_correlation,
        step_sigma_bps=sigmas * math.sqrt(parameters.step_minutes),
        loadings=np.array([band.loading for band in books.bands]),
        persistent_sd=np.sqrt(books.persistent_share * variance),
        white_sd=np.sqrt((1 - books.persistent_share) * variance),
        persistence=0.5 ** (parameters.step_minutes / books.persistent_half_life_minutes),
    )
