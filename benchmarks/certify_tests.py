"""How often tests reject what is true: noise with overlapping horizons whose volatility comes in clusters.

Nobody is better than anybody in any of these markets, so each rejection is an error: at a level of 5 % at most 8 %.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.measure import Outcome, Study
from trademl_assets.evaluation.confidence_set import confidence_set
from trademl_assets.evaluation.overfitting import probability_of_overfitting
from trademl_assets.evaluation.significance import diebold_mariano
from trademl_assets.evaluation.superior_ability import superior_ability

Floats = NDArray[np.float64]
compiled: Any = njit(cache=True)
DAYS, DECISIONS_A_DAY, OVERLAP = 60, 288, 6
"""Two months of decisions every five minutes, half an hour ahead."""
MODELS, REPLICATES, DRAWS, SEED = 6, 1000, 200, 20_240_917
LEVEL, LIMIT = 0.05, 0.08
GROUPS = 8
SHOCK, MEMORY = 0.05, 0.94
"""GARCH(1, 1) of single steps: half of a burst of volatility is gone after 69 steps, six hours of them."""
FREEDOM = 5
"""Of the shocks' Student distribution."""
DAILY_SPREAD = 0.6
"""Standard deviation of the log of a day's volatility."""


@dataclass(frozen=True)
class Market:
    """What kind of noise losses are.

    Attributes:
        name: Of the row.
        bursts: Whether volatility comes in bursts of hours, with heavy tails.
        half_life_days: Of the days' volatility; 0 for days that are alike.
        follows: Mean loss of a model for a volatility of one above its mean; the models' means differ in size and sign.
        promised: Whether tests hold their level here.
    """

    name: str
    bursts: bool
    half_life_days: float
    follows: float
    promised: bool


MARKETS = (
    Market("independent shocks", bursts=False, half_life_days=0, follows=0.0, promised=True),
    Market("bursts of hours", bursts=True, half_life_days=0, follows=0.0, promised=True),
    Market("bursts, and days of 10 days' half-life", bursts=True, half_life_days=10, follows=0.0, promised=True),
    Market("losses that follow days of 2 days' half-life", bursts=True, half_life_days=2, follows=0.05, promised=True),
    Market("losses that follow days of 5 days' half-life", bursts=True, half_life_days=5, follows=0.1, promised=False),
)


def benchmark(_folder: Path) -> Study:
    """Certify every test in every market."""
    lines, outcomes = [f"{'share of true nulls rejected':48s}" + "".join(f"{name:>10s}" for name in TESTS)], []
    for market in MARKETS:
        found = rejections(market, days=DAYS, a_day=DECISIONS_A_DAY, overlap=OVERLAP, replicates=REPLICATES)
        lines.append(f"{market.name:48s}" + "".join(f"{found[name]:10.3f}" for name in TESTS))
        if market.promised:
            outcomes += [Outcome(f"size/{name} in {market.name}", found[name], LIMIT) for name in CERTIFIED]
    return Study([*lines, ""], outcomes)


def rejections(market: Market, *, days: int, a_day: int, overlap: int, replicates: int) -> dict[str, float]:
    """Share of replicates in which a test rejects, and mean probability of overfitting."""
    totals = dict.fromkeys(TESTS, 0.0)
    for seed, losses in enumerate(draw(market, days=days, a_day=a_day, overlap=overlap, replicates=replicates)):
        for name, value in judge(losses, a_day=a_day, overlap=overlap, seed=seed).items():
            totals[name] += value / replicates
    return totals


def judge(losses: Floats, *, a_day: int, overlap: int, seed: int) -> Mapping[str, float]:
    """What the tests say of one draw; column 0 is the reference."""
    gains = losses[:, :1] - losses[:, 1:]
    daily = losses.reshape(-1, a_day, losses.shape[1]).mean(axis=1)
    found = confidence_set(losses, a_day, level=LEVEL, replicates=DRAWS, seed=seed)
    overfitting = probability_of_overfitting(daily, GROUPS).probability
    return {
        "DM": diebold_mariano(gains[:, 0], overlap, a_day).p_value < LEVEL,
        "DM plain": diebold_mariano(gains[:, 0], overlap).p_value < LEVEL,
        "SPA": superior_ability(gains, a_day, replicates=DRAWS, seed=seed).p_value < LEVEL,
        "MCS": len(found.members) < losses.shape[1],
        "PBO < 5 %": overfitting < LEVEL,
        "mean PBO": overfitting,
    }


CERTIFIED = ("DM", "SPA", "MCS")
TESTS = (*CERTIFIED, "DM plain", "PBO < 5 %", "mean PBO")


def draw(market: Market, *, days: int, a_day: int, overlap: int, replicates: int) -> Iterator[Floats]:
    """Losses (days * a_day, 1 + models) of replicates; all columns have the same mean."""
    generator = np.random.default_rng([SEED, int(market.half_life_days), int(market.bursts)])
    columns = MODELS + 1
    leaning = market.follows * np.linspace(1.0, 0.3, columns) * np.where(np.arange(columns) % 2, -1, 1)
    keep = 0.5 ** (1 / market.half_life_days) if market.half_life_days else 0.0
    spread = DAILY_SPREAD if market.half_life_days else 0.0
    rows = days * a_day + overlap - 1
    for _ in range(replicates):
        log = np.empty(days + 1)
        log[0] = generator.standard_normal()
        for day, shock in enumerate(generator.standard_normal(days)):
            log[day + 1] = keep * log[day] + np.sqrt(1 - keep**2) * shock
        volatility = np.repeat(np.exp(spread * log), a_day)[:rows]
        shocks = generator.standard_normal((rows, columns + 1))
        if market.bursts:
            heavy = generator.chisquare(FREEDOM, size=(rows, 1)) / (FREEDOM - 2)
            shocks = _burst(shocks / np.sqrt(heavy), SHOCK, MEMORY)
        steps = volatility[:, None] * (shocks[:, :1] + shocks[:, 1:]) / np.sqrt(2)
        sums = np.cumsum(np.concatenate([np.zeros((1, columns)), steps]), axis=0)
        overlapping = (sums[overlap:] - sums[:-overlap]) / np.sqrt(overlap)
        excess = volatility[: len(overlapping)] - np.exp(spread**2 / 2)
        yield overlapping + excess[:, None] * leaning


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _burst(shocks: Floats, shock: float, memory: float) -> Floats:
    """Shocks times the volatility of a GARCH(1, 1) that the first column drives."""
    found, variance = np.empty_like(shocks), 1.0
    for row in range(len(shocks)):
        found[row] = shocks[row] * np.sqrt(variance)
        variance = 1 - shock - memory + shock * found[row, 0] ** 2 + memory * variance
    return found
