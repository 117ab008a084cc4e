"""Latent side of the planted market: drifts, mids, band statistics, gaps. From parameters and a seed to one `LatentDay` at a time.

The drift m of the instruments (in minute sigmas a minute) is a VAR(1), the exact discretisation of
    dm_0 = -a m_0 dt + noise,    dm_i = -b (m_i - share * m_0) dt + noise,
with noises that give every drift the stationary standard deviation `signal`. Over a step of d minutes from instant k to k + 1
    return = sigma * level(day) * (gate(day) * m_k * d + sqrt(d) * e_k),    e correlated between instruments,
and the mean over a band's n slots of log(bid quantity / ask quantity) at instant k is
    loading * m_k + persistent_k + white_k,    variances share * sd^2 / n and (1 - share) * sd^2 / n.
That mean is all a band knows of the drift: slots deviate from it independently of it.
"""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov

from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Floats = NDArray[np.float64]
LATENT_STREAM, BOOK_STREAM, VOLUME_STREAM, START_STREAM = range(4)
"""Names of independent random streams; part of every seed."""


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


@dataclass(frozen=True)
class DayState:
    """The market at the first instant of a day.

    Attributes:
        drift: Drifts in units of `signal`, shape (A,).
        persistent: Persistent band noises, shape (A, B).
        log_price: Log price relative to the start of history, shape (A,).
        log_volumes: Log volume factors of history up to and with the day.
    """

    drift: Floats
    persistent: Floats
    log_price: Floats
    log_volumes: tuple[float, ...]


@dataclass(frozen=True)
class LatentDay:
    """What the market was at each of the T instants of a day, before any rounding.

    Attributes:
        day: The day.
        log_mid: Log mids, shape (T, A).
        drift: Drifts in minute sigmas a minute, shape (T, A).
        bands: Band means of log(bid quantity / ask quantity), shape (T, A, B).
        missing: No snapshot exists, shape (T, A).
        crossed: The snapshot is crossed, shape (T, A).
        jitter_us: Microseconds by which the stamp precedes the instant, shape (T, A); 0 at midnight, so that a day's stamps lie in it.
        step_sigma_bps: Standard deviation of a step's return noise on this day, shape (A,).
        gate: Factor of the drift in this day's returns.
        volume: Volume factor of the day.
    """

    day: date
    log_mid: Floats
    drift: Floats
    bands: Floats
    missing: NDArray[np.bool_]
    crossed: NDArray[np.bool_]
    jitter_us: NDArray[np.int64]
    step_sigma_bps: Floats
    gate: float
    volume: float

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Steps whose snapshot exists and survives quality checks, shape (T, A)."""
        return ~(self.missing | self.crossed)


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
    stationary = solve_continuous_lyapunov(generator, -diffusion)
    transition = expm(generator * parameters.step_minutes)
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


def day_random(parameters: PlantedMarketParameters, stream: int, day: date, *more: int) -> np.random.Generator:
    """Make the random generator of one stream on one day, independent of all others."""
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence([parameters.seed, stream, day.toordinal(), *more]))
    )


@lru_cache(maxsize=16)
def latent_day(parameters: PlantedMarketParameters, day: date) -> LatentDay:
    """Draw one day of the latent market.

    Args:
        parameters: The market.
        day: A day from `history_first_day` on.

    Returns:
        The day; equal for equal arguments, whichever days were drawn before.
    """
    states = _chain(parameters)
    _extend(parameters, states, day)
    anchor = states[parameters.history_days].log_price
    state = states[(day - parameters.history_first_day).days]
    latent, _ = _draw_day(parameters, day, state)
    prices = np.log([instrument.initial_price for instrument in parameters.instruments])
    latent.log_mid[...] += prices - anchor
    for shared in (
        latent.log_mid,
        latent.drift,
        latent.bands,
        latent.missing,
        latent.crossed,
        latent.jitter_us,
        latent.step_sigma_bps,
    ):
        shared.setflags(write=False)
    return latent


@lru_cache(maxsize=2)
def _chain(parameters: PlantedMarketParameters) -> list[DayState]:
    """Day-start states from the start of history on; grows as later days are asked for."""
    count, bands = len(parameters.instruments), len(parameters.books.bands)
    dynamics = step_dynamics(parameters)
    random = day_random(parameters, START_STREAM, parameters.history_first_day)
    start = DayState(
        drift=dynamics.unit_stationary_root @ random.standard_normal(count),
        persistent=dynamics.persistent_sd * random.standard_normal((count, bands)),
        log_price=np.zeros(count),
        log_volumes=(parameters.volume.sd * random.standard_normal(),),
    )
    return [start]


def _extend(parameters: PlantedMarketParameters, states: list[DayState], day: date) -> None:
    last = max(day, parameters.first_day)
    while len(states) <= (last - parameters.history_first_day).days:
        current = parameters.history_first_day + timedelta(days=len(states) - 1)
        _, following = _draw_day(parameters, current, states[-1])
        states.append(following)


def _draw_day(parameters: PlantedMarketParameters, day: date, state: DayState) -> tuple[LatentDay, DayState]:
    dynamics = step_dynamics(parameters)
    steps, count, bands = parameters.steps_per_day, len(parameters.instruments), len(parameters.books.bands)
    random = day_random(parameters, LATENT_STREAM, day)
    gate = _gate(parameters, state.log_volumes)
    sigma = dynamics.step_sigma_bps * parameters.volatility_level(day)
    drift, persistent, log_price = state.drift.copy(), state.persistent.copy(), state.log_price.copy()
    log_mid, drifts, band_means = np.empty((steps, count)), np.empty((steps, count)), np.empty((steps, count, bands))
    _walk(
        drift,
        persistent,
        log_price,
        dynamics.transition,
        random.standard_normal((steps, count)) @ dynamics.unit_innovation_root.T,
        random.standard_normal((steps, count)) @ np.linalg.cholesky(dynamics.noise_correlation).T,
        random.standard_normal((steps, count, bands))
        * (dynamics.persistent_sd * math.sqrt(1 - dynamics.persistence**2)),
        random.standard_normal((steps, count, bands)) * dynamics.white_sd,
        dynamics.persistence,
        dynamics.loadings,
        parameters.drift.signal,
        sigma / 1e4,
        gate * math.sqrt(parameters.step_minutes),
        log_mid,
        drifts,
        band_means,
    )
    delivery = parameters.delivery
    jitter = random.integers(0, max(1, 1000 * delivery.jitter_milliseconds), (steps, count))
    jitter[0] = 0
    fate = random.random((steps, count))
    latent = LatentDay(
        day=day,
        log_mid=log_mid,
        drift=drifts,
        bands=band_means,
        missing=fate < delivery.missing_share,
        crossed=(fate >= delivery.missing_share) & (fate < delivery.missing_share + delivery.crossed_share),
        jitter_us=jitter,
        step_sigma_bps=sigma,
        gate=gate,
        volume=math.exp(state.log_volumes[-1]),
    )
    return latent, DayState(
        drift, persistent, log_price, (*state.log_volumes, _next_log_volume(parameters, day, state.log_volumes[-1]))
    )


def _gate(parameters: PlantedMarketParameters, log_volumes: tuple[float, ...]) -> float:
    """Gate of the last day of `log_volumes`, from the days before it; open without any."""
    gate, before = parameters.gate, np.exp(log_volumes[:-1])
    if before.size == 0:
        return 1.0
    ratio = np.mean(before[-gate.short_days :]) / np.mean(before[-gate.long_days :])
    return 1 + gate.strength * math.tanh(math.log(ratio) / gate.scale)


def _next_log_volume(parameters: PlantedMarketParameters, day: date, log_volume: float) -> float:
    persistence = 0.5 ** (1 / parameters.volume.half_life_days)
    shock = day_random(parameters, VOLUME_STREAM, day).standard_normal()
    return float(persistence * log_volume + math.sqrt(1 - persistence**2) * parameters.volume.sd * shock)


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _walk(
    drift: Floats,
    persistent: Floats,
    log_price: Floats,
    transition: Floats,
    drift_shocks: Floats,
    return_shocks: Floats,
    band_shocks: Floats,
    band_white: Floats,
    persistence: float,
    loadings: Floats,
    signal: float,
    sigma: Floats,
    drift_weight: float,
    log_mid: Floats,
    drifts: Floats,
    band_means: Floats,
) -> None:
    """Walk through a day in place: states end at the next day's first instant, the last three arrays receive every instant."""
    steps, count = log_mid.shape
    bands = loadings.size
    following = np.empty(count)
    for k in range(steps):
        for i in range(count):
            drifts[k, i] = signal * drift[i]
            log_mid[k, i] = log_price[i]
            log_price[i] += sigma[i] * (drift_weight * drifts[k, i] + return_shocks[k, i])
            for b in range(bands):
                band_means[k, i, b] = loadings[b] * drifts[k, i] + persistent[i, b] + band_white[k, i, b]
                persistent[i, b] = persistence * persistent[i, b] + band_shocks[k, i, b]
        for i in range(count):
            total = drift_shocks[k, i]
            for j in range(count):
                total += transition[i, j] * drift[j]
            following[i] = total
        drift[:] = following
