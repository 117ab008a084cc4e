"""Conformal sets: the classes that together hold the truth as often as promised; split, and adapting to drift."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Instants = NDArray[np.int64]
Sets = NDArray[np.bool_]
Score = Literal["lac", "aps"]
compiled: Any = njit(cache=True, nogil=True)


class ConformalParameters(Parameters):
    """How sets of classes are formed.

    `score` is `lac` (least ambiguous sets) or `aps` (adaptive prediction sets, whose coverage is more even over easy
    and hard decisions). A set misses the truth in `miscoverage` of the decisions. The adaptive sets move their level by
    `adaptation_rate` a label and take quantiles of the last `window` labels. A set of more than `most_classes` classes
    says too little to act on: the model abstains.
    """

    score: Score
    miscoverage: float = Field(gt=0, lt=1)
    adaptation_rate: float = Field(gt=0, lt=1)
    window: int = Field(ge=10)
    most_classes: int = Field(ge=1)


def conformity_scores(probabilities: Floats, score: Score, draws: Floats) -> Floats:
    """(N, C) how strange each class would be: below the threshold it belongs to the set.

    `lac`: 1 - p (Sadinle, Lei and Wasserman 2019). `aps`: the probability of all more probable classes and a uniform
    share of its own (Romano, Sesia and Candes 2020).

    Args:
        probabilities: (N, C).
        score: Which.
        draws: (N,) uniform on [0, 1), for `aps`.
    """
    if score == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, np.cumsum(ranked, axis=1) - draws[:, None] * ranked, axis=1)
    return scores


def split_threshold(true_scores: Floats, miscoverage: float) -> float:
    """Score that ceil((n + 1)(1 - miscoverage)) of n calibration labels do not exceed; infinite where n is too small.

    With exchangeable decisions the sets below it hold the truth with probability in [1 - miscoverage,
    1 - miscoverage + 1 / (n + 1)] (Vovk, Gammerman and Shafer 2005).
    """
    rank = int(np.ceil((len(true_scores) + 1) * (1 - miscoverage)))
    return float("inf") if rank > len(true_scores) else float(np.partition(true_scores, rank - 1)[rank - 1])


def split_sets(
    calibration: tuple[Floats, Labels], probabilities: Floats, parameters: ConformalParameters, seed: int
) -> Sets:
    """(N, C) sets from the scores of a calibration block.

    Args:
        calibration: Probabilities (M, C) and labels (M,) of the block.
        probabilities: (N, C) of the decisions.
        parameters: Score and miscoverage.
        seed: Of the uniform draws.
    """
    known, labels = calibration
    generator = np.random.default_rng(seed)
    scores = conformity_scores(known, parameters.score, generator.random(len(known)))
    threshold = split_threshold(scores[np.arange(len(labels)), labels], parameters.miscoverage)
    return conformity_scores(probabilities, parameters.score, generator.random(len(probabilities))) <= threshold


@dataclass(frozen=True)
class AdaptiveSets:
    """Sets that follow a drift.

    Attributes:
        sets: (N, C).
        levels: (N,) miscoverage that each set was formed with.
    """

    sets: Sets
    levels: Floats


def adaptive_sets(
    probabilities: Floats,
    labels: Labels,
    spans_us: tuple[Instants, Instants],
    parameters: ConformalParameters,
    seed: int,
) -> AdaptiveSets:
    """Adaptive conformal inference (Gibbs and Candes 2021) with labels that are late.

    Before the decision at t0 the level has moved for every label with t1 <= t0, in the order of t1; the threshold is
    the quantile of the last `window` of their scores. No other label is looked at. While there are none, the set holds
    all classes.

    Args:
        probabilities: (N, C) in the order of t0; decisions before the judged ones may lead in.
        labels: (N,).
        spans_us: t0 and t1 of the labels (N,).
        parameters: Score, miscoverage, rate, window.
        seed: Of the uniform draws.

    Raises:
        EvaluationError: t0 is not sorted.
    """
    starts, ends = (np.asarray(span, dtype=np.int64) for span in spans_us)
    if (np.diff(starts) < 0).any():
        raise EvaluationError("adaptive sets need decisions in time order -> sort by t0")
    scores = conformity_scores(probabilities, parameters.score, np.random.default_rng(seed).random(len(labels)))
    sets, levels = _adapt(
        scores,
        np.asarray(labels, dtype=np.int64),
        starts,
        ends[np.argsort(ends, kind="stable")],
        np.argsort(ends, kind="stable"),
        parameters.miscoverage,
        parameters.adaptation_rate,
        parameters.window,
    )
    return AdaptiveSets(sets, levels)


@dataclass(frozen=True)
class SetQuality:
    """What sets are worth.

    Attributes:
        promised: Share of decisions whose set should hold the truth.
        coverage: Share whose set does.
        mean_size: Classes a set.
        abstained: Share of decisions with more than `most_classes` classes, or none.
        coverage_when_acting: Coverage where the model does not abstain; None where it always does.
        class_coverage: Coverage by true class; None for a class that did not occur.
    """

    promised: float
    coverage: float
    mean_size: float
    abstained: float
    coverage_when_acting: float | None
    class_coverage: tuple[float | None, ...]


def judge_sets(sets: Sets, labels: Labels, parameters: ConformalParameters) -> SetQuality:
    """Hold sets (N, C) against labels (N,)."""
    held = sets[np.arange(len(labels)), labels]
    silent = abstains(sets, parameters.most_classes)
    acting = held[~silent]
    return SetQuality(
        promised=1 - parameters.miscoverage,
        coverage=float(held.mean()),
        mean_size=float(sets.sum(axis=1).mean()),
        abstained=float(silent.mean()),
        coverage_when_acting=float(acting.mean()) if len(acting) else None,
        class_coverage=tuple(
            float(held[labels == number].mean()) if (labels == number).any() else None
            for number in range(sets.shape[1])
        ),
    )


def abstains(sets: Sets, most_classes: int) -> NDArray[np.bool_]:
    """(N,) whether a set says too little to act on: it is empty or holds more than `most_classes` classes."""
    size = sets.sum(axis=1)
    return np.asarray((size > most_classes) | (size == 0))


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _adapt(  # noqa: PLR0917 -- numba knows no keyword-only arguments
    scores: Floats,
    labels: Labels,
    starts: Instants,
    sorted_ends: Instants,
    by_end: NDArray[np.int64],
    miscoverage: float,
    rate: float,
    window: int,
) -> tuple[Sets, Floats]:
    rows, classes = scores.shape
    sets, levels = np.zeros((rows, classes), dtype=np.bool_), np.empty(rows)
    ordered, arrived = np.empty(window + 1), np.empty(rows)
    held, seen, level = 0, 0, miscoverage
    for n in range(rows):
        while seen < rows and sorted_ends[seen] <= starts[n]:
            known = by_end[seen]
            score = scores[known, labels[known]]
            missed = 0.0 if sets[known, labels[known]] else 1.0
            level += rate * (miscoverage - missed)
            arrived[seen] = score
            place = np.searchsorted(ordered[:held], score)
            for k in range(held, place, -1):
                ordered[k] = ordered[k - 1]
            ordered[place] = score
            held += 1
            if held > window:
                place = np.searchsorted(ordered[:held], arrived[seen - window])
                for k in range(place, held - 1):
                    ordered[k] = ordered[k + 1]
                held -= 1
            seen += 1
        levels[n] = level
        rank = int(np.ceil((held + 1) * (1 - level)))
        for c in range(classes):
            sets[n, c] = rank > held or (rank > 0 and scores[n, c] <= ordered[rank - 1])
    return sets, levels
