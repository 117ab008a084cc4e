"""Log-loss of a model against its baselines, with intervals and tests that allow for overlapping horizons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.long_run import least_detectable_gain
from trademl_assets.evaluation.significance import DieboldMariano, bootstrap_means, diebold_mariano, interval
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dependence:
    """How far neighbouring decisions depend on each other.

    Attributes:
        overlap: Decisions whose horizons overlap: horizon over the median step, rounded up.
        block_samples: Mean length of a bootstrap block in decisions.
        block_seconds: The same in seconds.
        blocks: Blocks that the judged span holds.
    """

    overlap: int
    block_samples: float
    block_seconds: float
    blocks: float


@dataclass(frozen=True)
class Skill:
    """Mean log-loss of a baseline minus that of the model, in nats a decision: above 0 the model is better.

    Attributes:
        baseline: Its name.
        baseline_log_loss: Of the baseline.
        difference: The skill.
        low, high: Its stationary-block-bootstrap interval.
        relative: difference / baseline_log_loss.
        test: Diebold-Mariano test of the difference.
        least_detectable: Smallest true skill that would have been seen with the power asked for at this confidence.
    """

    baseline: str
    baseline_log_loss: float
    difference: float
    low: float
    high: float
    relative: float
    test: DieboldMariano
    least_detectable: float


def measure_dependence(
    t0_us: NDArray[np.int64], t1_us: NDArray[np.int64], block_horizons: float, minimum_block: timedelta
) -> Dependence:
    """Derive overlap and block length from label spans sorted by start (microseconds)."""
    horizon = float(np.median(t1_us - t0_us))
    step = float(np.median(np.diff(t0_us))) if len(t0_us) > 1 else horizon
    block = max(block_horizons * horizon, minimum_block / timedelta(microseconds=1))
    return Dependence(
        overlap=max(1, int(np.ceil(horizon / step))),
        block_samples=max(1.0, block / step),
        block_seconds=block / MICROSECONDS_PER_SECOND,
        blocks=len(t0_us) * step / block,
    )


def judge_skills(
    model_losses: Floats,
    baseline_losses: Mapping[str, Floats],
    dependence: Dependence,
    *,
    replicates: int,
    confidence: float,
    power: float,
    seed: int,
) -> tuple[Skill, ...]:
    """Judge a model's losses (N,) against each baseline's (N,), in the baselines' order, all with the same blocks."""
    names = tuple(baseline_losses)
    differences = np.stack([baseline_losses[name] - model_losses for name in names], axis=1)
    drawn = bootstrap_means(differences, dependence.block_samples, replicates, seed)
    skills = []
    for column, name in enumerate(names):
        mean, reference = float(differences[:, column].mean()), float(baseline_losses[name].mean())
        low, high = interval(drawn[:, column], confidence)
        gains = differences[:, column]
        test = diebold_mariano(gains, dependence.overlap, dependence.block_samples)
        detectable = least_detectable_gain(gains, dependence.block_samples, confidence=confidence, power=power)
        skills.append(Skill(name, reference, mean, low, high, mean / reference, test, detectable))
    return tuple(skills)
