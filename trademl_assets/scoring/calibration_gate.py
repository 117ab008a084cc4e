"""Whether probabilities may be called honest: excess calibration errors of every class and regime, judged together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.splits import effective_samples
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.scoring.bins import bin_of, equal_width_edges
from trademl_assets.scoring.excess import overlapping_normals

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Instants = NDArray[np.int64]
compiled: Any = njit(cache=True, nogil=True)
ALL_REGIMES, TOP_LABEL = "all", "top label"
LEAST_SPREAD = 1e-12


class GateParameters(Parameters):
    """When probabilities are refused.

    A cell is a class, or the most probable one, in a regime, or in all; where there is a single regime, in all only.
    Without `minimum_effective` independent labels it is not judged. Else it fails where its calibration error exceeds
    what a perfect model shows by more than `tolerated_excess`, with a p below `level` after Holm's correction for all
    cells: a perfect model is refused at most with chance `level`. What a perfect model shows is drawn `replicates`
    times.
    """

    minimum_effective: float = Field(gt=0)
    level: float = Field(gt=0, lt=1)
    tolerated_excess: float = Field(ge=0, lt=1)
    replicates: int = Field(ge=100)


@dataclass(frozen=True)
class CalibrationCell:
    """One class in one regime.

    Attributes:
        regime: Its name, or "all".
        target: Class number as text, or "top label".
        effective: Independent labels of the regime times the mean probability of the class (1 for the top label).
        observed: Calibration error.
        excess: observed minus the mean of a perfect model.
        p_value: Of a perfect model showing as much, from its first three moments; 1 where not judged.
        adjusted: The same after Holm (1979).
        verdict: `passed`, `failed` or `not judged (support)`.
    """

    regime: str
    target: str
    effective: float
    observed: float
    excess: float
    p_value: float
    adjusted: float
    verdict: Literal["passed", "failed", "not judged (support)"]


def judge_calibration(
    probabilities: Floats,
    labels: Labels,
    spans_us: tuple[Instants, Instants],
    regimes: Sequence[str],
    parameters: GateParameters,
    *,
    seed: int,
) -> tuple[CalibrationCell, ...]:
    """Judge every class in every regime; the gate is passed where no cell failed.

    Labels of a perfect model are drawn from the probabilities through one Brownian motion over the label spans, so that
    overlapping labels depend on each other as returns do, and all cells are judged on the same draws.

    Args:
        probabilities: (N, C), classes ordered by return.
        labels: (N,).
        spans_us: Starts and ends of the labels (N,), sorted by start.
        regimes: (N,).
        parameters: Limits.
        seed: Of the draws.
    """
    names, group = np.unique(np.asarray(regimes, dtype=np.str_), return_inverse=True)
    group = group.astype(np.int64)
    edges = equal_width_edges()
    places = np.stack([bin_of(column, edges) for column in probabilities.T], axis=1)
    below = scipy.special.ndtri(np.minimum(np.cumsum(probabilities, axis=1)[:, :-1], 1.0))
    shape = (len(names), probabilities.shape[1] + 1, len(edges) - 1)
    claimed = _claims(probabilities, places, group, shape)
    sizes = np.append(np.bincount(group, minlength=len(names)), len(labels)).astype(np.float64)
    observed = _errors(_hits(labels, probabilities, places, group, shape)[None] - claimed, sizes)[0]
    generator = np.random.default_rng(seed)
    drawn = np.concatenate(
        [
            _errors(_drawn_hits(normals, below, probabilities.argmax(axis=1), (places, group), shape) - claimed, sizes)
            for normals in overlapping_normals(*spans_us, parameters.replicates, generator)
        ]
    )
    mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
    skew = ((drawn - mean) ** 3).mean(axis=0) / np.maximum(spread, LEAST_SPREAD) ** 3
    p_values = scipy.stats.pearson3.sf(observed, np.clip(skew, 0.0, None), mean, np.maximum(spread, LEAST_SPREAD))
    support = _support(probabilities, spans_us, group, len(names))
    judged = support >= parameters.minimum_effective
    judged[0] &= len(names) > 1  # a single regime is all of them: its cells count once
    adjusted = np.ones_like(p_values)
    adjusted[judged] = holm(p_values[judged])
    failed = judged & (adjusted < parameters.level) & (observed - mean > parameters.tolerated_excess)
    targets = [TOP_LABEL, *(str(number) for number in range(probabilities.shape[1]))]
    return tuple(
        CalibrationCell(
            regime=regime,
            target=target,
            effective=float(support[at]),
            observed=float(observed[at]),
            excess=float(observed[at] - mean[at]),
            p_value=float(p_values[at]) if judged[at] else 1.0,
            adjusted=float(adjusted[at]),
            verdict="failed" if failed[at] else "passed" if judged[at] else "not judged (support)",
        )
        for row, regime in enumerate([*names.tolist(), ALL_REGIMES])
        if row or len(names) > 1
        for column, target in enumerate(targets)
        for at in [(row, column)]
    )


def holm(p_values: Floats) -> Floats:
    """(K,) p values adjusted for all being looked at (Holm 1979)."""
    order = np.argsort(p_values)
    raised = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(raised)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


def _support(probabilities: Floats, spans_us: tuple[Instants, Instants], group: Labels, regimes: int) -> Floats:
    """(G + 1, C + 1) independent labels of a regime, times the mean probability of a class."""
    found = []
    for number in range(regimes + 1):
        rows = group == number if number < regimes else np.ones(len(group), dtype=bool)
        effective = effective_samples(spans_us[0][rows], spans_us[1][rows])
        found.append(effective * np.append(1.0, probabilities[rows].mean(axis=0)))
    return np.asarray(found)


def _errors(gaps: Floats, sizes: Floats) -> Floats:
    """(R, G + 1, C + 1) calibration errors of gaps (R, G, C + 1, bins), the last regime being all together."""
    together = np.concatenate([gaps, gaps.sum(axis=1, keepdims=True)], axis=1)
    return np.asarray(np.abs(together).sum(axis=3) / sizes[:, None])


def _claims(probabilities: Floats, places: Labels, group: Labels, shape: tuple[int, int, int]) -> Floats:
    """(G, C + 1, bins) summed probabilities; first those of the most probable class."""
    row, top = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    columns = [(places[row, top], probabilities[row, top]), *zip(places.T, probabilities.T, strict=True)]
    size, bins = shape[0] * shape[2], shape[2]
    summed = [np.bincount(group * bins + place, weights=values, minlength=size) for place, values in columns]
    return np.asarray(np.stack(summed).reshape(shape[1], shape[0], bins).swapaxes(0, 1), dtype=np.float64)


def _hits(labels: Labels, probabilities: Floats, places: Labels, group: Labels, shape: tuple[int, int, int]) -> Floats:
    found: Floats = np.zeros(shape)
    _add_hits(labels.astype(np.int64), probabilities.argmax(axis=1), places, group, found)
    return found


def _drawn_hits(
    normals: Floats,
    below: Floats,
    top: Labels,
    where: tuple[Labels, Labels],
    shape: tuple[int, int, int],
) -> Floats:
    """(R, G, C + 1, bins) hits of the labels that normals (R, N) stand for."""
    found = np.zeros((len(normals), *shape))
    for number, row in enumerate(normals):
        _add_hits(_labels_of(row, below), top, *where, found[number])
    return found


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _labels_of(normals: Floats, below: Floats) -> Labels:
    labels = np.empty(len(normals), dtype=np.int64)
    for n in range(len(normals)):
        label = 0
        while label < below.shape[1] and normals[n] > below[n, label]:
            label += 1
        labels[n] = label
    return labels


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _add_hits(labels: Labels, top: Labels, places: Labels, group: Labels, into: Floats) -> None:
    for n in range(len(labels)):
        label = labels[n]
        into[group[n], label + 1, places[n, label]] += 1
        if label == top[n]:
            into[group[n], 0, places[n, label]] += 1
