"""Latent side of the planted market: drifts, mids, band statistics, gaps; from parameters to one `LatentDay` at a time.

Every day is drawn from its own seeds and the state at its first instant (the law is in planted_dynamics.py), so days
come out equal in whatever order they are asked for; day-start states are found once and kept in the process.
"""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trademl_assets.sources.planted_dynamics import step_dynamics
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Floats = NDArray[np.float64]
LATENT_STREAM, BOOK_STREAM, VOLUME_STREAM, START_STREAM = range(4)
"""Names of independent random streams; part of every seed."""


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
        jitter_us: Microseconds by which the stamp precedes the instant, shape (T, A); 0 at midnight, so that a day's
            stamps lie in it.
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
    for value in vars(latent).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
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
    dynamics, steps = step_dynamics(parameters), parameters.steps_per_day
    count, bands = len(parameters.instruments), len(parameters.books.bands)
    random = day_random(parameters, LATENT_STREAM, day)
    gate = _gate(parameters, state.log_volumes)
    sigma = dynamics.step_sigma_bps * parameters.volatility_level(day)
    innovation_sd = dynamics.persistent_sd * math.sqrt(1 - dynamics.persistence**2)
    shocks = _Shocks(
        drift=random.standard_normal((steps, count)) @ dynamics.unit_innovation_root.T,
        noise=random.standard_normal((steps, count)) @ np.linalg.cholesky(dynamics.noise_correlation).T,
        persistent=random.standard_normal((steps, count, bands)) * innovation_sd,
        white=random.standard_normal((steps, count, bands)) * dynamics.white_sd,
    )
    states = _States(state.drift.copy(), state.persistent.copy(), state.log_price.copy())
    paths = _Paths(np.empty((steps, count)), np.empty((steps, count)), np.empty((steps, count, bands)))
    law = _Law(
        transition=dynamics.transition,
        persistence=dynamics.persistence,
        loadings=dynamics.loadings,
        signal=parameters.drift.signal,
        sigma=sigma / 1e4,
        drift_weight=gate * math.sqrt(parameters.step_minutes),
    )
    _walk(states, law, shocks, paths)
    delivery = parameters.delivery
    jitter = random.integers(0, max(1, 1000 * delivery.jitter_milliseconds), (steps, count))
    jitter[0] = 0
    fate = random.random((steps, count))
    latent = LatentDay(
        day=day,
        log_mid=paths.log_price,
        drift=paths.drift,
        bands=paths.bands,
        missing=fate < delivery.missing_share,
        crossed=(fate >= delivery.missing_share) & (fate < delivery.missing_share + delivery.crossed_share),
        jitter_us=jitter,
        step_sigma_bps=sigma,
        gate=gate,
        volume=math.exp(state.log_volumes[-1]),
    )
    next_volume = _next_log_volume(parameters, day, state.log_volumes[-1])
    return latent, DayState(states.drift, states.persistent, states.log_price, (*state.log_volumes, next_volume))


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


class _States(NamedTuple):
    """As in `DayState`; changed in place."""

    drift: Floats
    persistent: Floats
    log_price: Floats


class _Law(NamedTuple):
    """`sigma` of a step's noise as a log return, shape (A,); a drift enters it times `drift_weight`."""

    transition: Floats
    persistence: float
    loadings: Floats
    signal: float
    sigma: Floats
    drift_weight: float


class _Shocks(NamedTuple):
    """Shapes (T, A), (T, A), (T, A, B), (T, A, B)."""

    drift: Floats
    noise: Floats
    persistent: Floats
    white: Floats


class _Paths(NamedTuple):
    """Shapes (T, A), (T, A), (T, A, B); filled in place."""

    log_price: Floats
    drift: Floats
    bands: Floats


@njit(cache=True)
def _walk(states: _States, law: _Law, shocks: _Shocks, paths: _Paths) -> None:
    """Walk through a day; the states end at the next day's first instant."""
    steps, count, bands = paths.bands.shape
    following = np.empty(count)
    for k in range(steps):
        for i in range(count):
            drift = law.signal * states.drift[i]
            paths.drift[k, i] = drift
            paths.log_price[k, i] = states.log_price[i]
            states.log_price[i] += law.sigma[i] * (law.drift_weight * drift + shocks.noise[k, i])
            for b in range(bands):
                paths.bands[k, i, b] = law.loadings[b] * drift + states.persistent[i, b] + shocks.white[k, i, b]
                states.persistent[i, b] = law.persistence * states.persistent[i, b] + shocks.persistent[k, i, b]
            following[i] = shocks.drift[k, i]
            for j in range(count):
                following[i] += law.transition[i, j] * states.drift[j]
        for i in range(count):
            states.drift[i] = following[i]
