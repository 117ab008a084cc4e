"""How much of the attainable skill was reached, where a planted market knows the optimum; with a day bootstrap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.significance import interval
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.divergence import kl_divergences
from trademl_assets.scoring.metrics import log_losses

Floats = NDArray[np.float64]
OPTIMUM_KEYS = ("optimum", "returns_only", "volatility")
CEILING = "ceiling"
"""Name of the best forecast that reads no more than the model; it is there where it is known."""
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True)
class BestPossible:
    """Share of the best possible: 1 - mean KL(p*||q) / mean KL(p*||volatility prior), without label noise.

    Attributes:
        share: Of the model.
        low, high: Its interval by resampling whole days.
        returns_only_share: Ceiling of a model that knows the returns alone.
        margin: share - returns_only_share; above 0 the book is being read.
        margin_low, margin_high: Interval of the margin, from the same days.
        ceiling: Share of the best forecast that reads no more than the model; None where it is not known.
        attainable_nats: mean KL(p*||volatility prior).
        optimum_log_loss: Log-loss of the optimum on the labels that came true.
        days: Days of the test block.
    """

    share: float
    low: float
    high: float
    returns_only_share: float
    margin: float
    margin_low: float
    margin_high: float
    ceiling: float | None
    attainable_nats: float
    optimum_log_loss: float
    days: int


def judge_against_optimum(
    probabilities: Floats,
    labels: NDArray[np.int64],
    t0_us: NDArray[np.int64],
    optimum: Mapping[str, Floats],
    *,
    minimum_attainable_nats: float,
    replicates: int,
    confidence: float,
    seed: int,
) -> BestPossible | None:
    """Compare a model with the optimum of a planted market; None for a market without signal.

    Args:
        probabilities: (N, C) of the model.
        labels: (N,).
        t0_us: (N,) decision times, microseconds.
        optimum: `optimum`, `returns_only`, `volatility` and perhaps `ceiling`, each (N, C).
        minimum_attainable_nats: Mean KL(p*||volatility prior) below which there is nothing to reach.
        replicates: Resamples of days.
        confidence: Of the intervals.
        seed: Seed of the resampling.

    Raises:
        EvaluationError: A forecast is missing or of another shape.
    """
    columns = divergences(probabilities, optimum)
    losses = np.stack([columns[name] for name in ("model", "returns_only", "volatility")], axis=1)
    if losses[:, 2].mean() < minimum_attainable_nats:
        return None
    days, day_of = np.unique(np.asarray(t0_us) // MICROSECONDS_PER_DAY, return_inverse=True)
    daily = np.zeros((len(days), losses.shape[1]))
    np.add.at(daily, day_of, losses)
    drawn = np.random.default_rng(seed).integers(len(days), size=(replicates, len(days)))
    sums = daily[drawn].sum(axis=1)
    shares, totals = 1 - sums[:, :2] / sums[:, 2:], daily.sum(axis=0)
    share, returns_only = (float(1 - totals[column] / totals[2]) for column in (0, 1))
    ceiling = float(1 - columns[CEILING].sum() / totals[2]) if CEILING in columns else None
    low, high = interval(shares[:, 0], confidence)
    margin_low, margin_high = interval(shares[:, 0] - shares[:, 1], confidence)
    return BestPossible(
        share=share,
        low=low,
        high=high,
        returns_only_share=returns_only,
        margin=share - returns_only,
        margin_low=margin_low,
        margin_high=margin_high,
        ceiling=ceiling,
        attainable_nats=float(losses[:, 2].mean()),
        optimum_log_loss=float(log_losses(np.asarray(optimum["optimum"]), np.asarray(labels)).mean()),
        days=len(days),
    )


def divergences(probabilities: Floats, optimum: Mapping[str, Floats]) -> dict[str, Floats]:
    """KL(p*||q) in nats at each decision, (N,), of `model` and of every forecast beside the optimum.

    Args:
        probabilities: (N, C) of the model.
        optimum: As `judge_against_optimum`.

    Raises:
        EvaluationError: A forecast is missing or of another shape.
    """
    for key in dict.fromkeys((*OPTIMUM_KEYS, *optimum)):
        found = optimum[key].shape if key in optimum else "nothing"
        if found != probabilities.shape:
            raise EvaluationError(f"optimal probabilities {key!r}: expected shape {probabilities.shape}, found {found}")
    best = np.asarray(optimum["optimum"], dtype=np.float64)
    others = {name: each for name, each in optimum.items() if name != "optimum"}
    return {name: kl_divergences(best, each) for name, each in {"model": probabilities, **others}.items()}
