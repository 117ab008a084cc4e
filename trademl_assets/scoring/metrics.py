"""How good probabilities are against the classes that came true: proper scores, hits, calibration errors.

Probabilities are (N, C) float64 whose rows sum to 1, labels (N,) integers in [0, C); classes are ordered from the
lowest to the highest return.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.bins import bin_of, equal_mass_edges, equal_width_edges
from trademl_assets.scoring.decomposition import decompose_brier
from trademl_assets.scoring.discrimination import class_areas, mean_areas

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
SUM_TOLERANCE = 1e-4
TOP_K = (2, 3)


@dataclass(frozen=True)
class ReliabilityCurve:
    """Predicted against observed frequency, bin by bin.

    Attributes:
        edges: (bins + 1,) edges of the bins; a value on an inner edge belongs to the bin above it.
        count: (bins,) weight in the bin.
        predicted: (bins,) mean predicted probability, NaN in an empty bin.
        observed: (bins,) share that came true, NaN in an empty bin.
    """

    edges: Floats
    count: Floats
    predicted: Floats
    observed: Floats

    def gaps(self) -> Floats:
        """(bins,) observed minus predicted, 0 in an empty bin."""
        return np.where(self.count > 0, self.observed - self.predicted, 0.0)

    def expected_error(self) -> float:
        """Mean absolute gap, weighted by the bins' weights (ECE)."""
        return float(np.abs(self.gaps()) @ self.count / self.count.sum())

    def maximal_error(self) -> float:
        """Largest absolute gap (MCE)."""
        return float(np.abs(self.gaps()).max())


def evaluate(
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    boundaries_bps: ArrayLike | None = None,
) -> dict[str, float]:
    """Return every scalar metric by name.

    Args:
        probabilities: (N, C), rows sum to 1.
        labels: (N,) classes that came true.
        weights: (N,) non-negative sample weights; None for equal ones.
        boundaries_bps: (C - 1,) class edges; needed for `directional_accuracy`.

    Returns:
        log_loss (nats), brier (0..2) and its parts brier_reliability, brier_resolution, brier_uncertainty and
        brier_within_bins (see `BrierParts`), accuracy, balanced_accuracy (mean recall of the classes present),
        weighted_f1, macro_f1, ece, mce (top label, equal-width bins), ece_equal_mass, mce_equal_mass, classwise_ece
        (mean over classes), entropy (mean, nats of the prediction), top_2 and top_3 where there are more classes than
        that (top_1 is the accuracy), auc_macro and auc_weighted (a class against the rest) where several classes came
        true, and directional_accuracy where it is defined.

    Raises:
        EvaluationError: Shapes, sums, labels or weights are impossible.
    """
    predicted, truth, share = _checked(probabilities, labels, weights)
    confidence, hit = predicted.max(axis=1), (predicted.argmax(axis=1) == truth).astype(np.float64)
    top = reliability_curve(confidence, hit, equal_width_edges(), share)
    mass = reliability_curve(confidence, hit, equal_mass_edges(confidence), share)
    matrix = confusion_matrix(predicted, truth, share)
    scores = class_scores(matrix)
    metrics = {
        "log_loss": float(share @ log_losses(predicted, truth)),
        "brier": float(share @ brier_scores(predicted, truth)),
        **decompose_brier(predicted, truth, share).named(),
        "accuracy": float(share @ hit),
        "balanced_accuracy": _balanced_accuracy(matrix),
        "weighted_f1": float(scores["f1"] @ scores["support"] / matrix.sum()),
        "macro_f1": float(scores["f1"].mean()),
        "ece": top.expected_error(),
        "mce": top.maximal_error(),
        "ece_equal_mass": mass.expected_error(),
        "mce_equal_mass": mass.maximal_error(),
        "classwise_ece": classwise_ece(predicted, truth, share),
        "entropy": float(share @ entropies(predicted)),
    }
    above = (predicted > predicted[np.arange(len(truth)), truth][:, None]).sum(axis=1)
    metrics |= {f"top_{k}": float(share @ (above < k)) for k in TOP_K if k < predicted.shape[1]}
    metrics |= mean_areas(class_areas(predicted, truth, share), scores["support"])
    direction = None if boundaries_bps is None else directional_accuracy(predicted, truth, boundaries_bps, share)
    return metrics if direction is None else metrics | {"directional_accuracy": direction}


def log_losses(probabilities: Floats, labels: Labels) -> Floats:
    """(N,) negative log probability (nats) of what came true; probabilities are clipped to machine precision."""
    chosen = probabilities[np.arange(len(labels)), labels]
    eps = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(chosen, eps, 1 - eps)))


def brier_scores(probabilities: Floats, labels: Labels) -> Floats:
    """(N,) squared distance to the one-hot truth, 0..2 (Brier 1950)."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * chosen + 1)


def entropies(probabilities: Floats) -> Floats:
    """(N,) Shannon entropy in nats."""
    safe = np.where(probabilities > 0, probabilities, 1.0)
    return np.asarray(-(probabilities * np.log(safe)).sum(axis=1))


def confusion_matrix(probabilities: Floats, labels: Labels, weights: Floats | None = None) -> Floats:
    """(C, C) weight of samples with true class (row) and most probable class (column); counts without weights."""
    classes = probabilities.shape[1]
    cell = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(cell, weights=weights, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def class_scores(matrix: Floats) -> dict[str, Floats]:
    """(C,) precision, recall, f1 and support of every class from a confusion matrix; 0 where undefined."""
    true, chosen, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    return {
        "precision": _ratio(right, chosen),
        "recall": _ratio(right, true),
        "f1": _ratio(2 * right, true + chosen),
        "support": true,
    }


def reliability_curve(
    predicted: Floats, came_true: Floats, edges: Floats, weights: Floats | None = None
) -> ReliabilityCurve:
    """Compare predicted probabilities of one event each with whether it came true.

    Args:
        predicted: (N,) probabilities of the event.
        came_true: (N,) 1.0 where it came true, else 0.0.
        edges: (bins + 1,) edges of the bins.
        weights: (N,) sample weights; None for counts.
    """
    bins = max(len(edges) - 1, 1)
    place = bin_of(predicted, edges)
    weight = np.ones(len(predicted)) if weights is None else weights
    count: Floats = np.bincount(place, weights=weight, minlength=bins).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(place, weights=weight * predicted, minlength=bins) / count
        observed = np.bincount(place, weights=weight * came_true, minlength=bins) / count
    return ReliabilityCurve(edges, count, mean, observed)


def classwise_ece(probabilities: Floats, labels: Labels, weights: Floats | None = None) -> float:
    """Mean over classes of the calibration error of that class's probability (Nixon et al. 2019), equal-width bins."""
    edges = equal_width_edges()
    errors = [
        reliability_curve(column, (labels == number).astype(np.float64), edges, weights).expected_error()
        for number, column in enumerate(probabilities.T)
    ]
    return float(np.mean(errors))


def class_directions(boundaries_bps: ArrayLike) -> NDArray[np.int64]:
    """(C,) +1 for classes of returns >= 0, -1 for classes of returns <= 0, 0 for a class that holds both signs."""
    edges = np.asarray(boundaries_bps, dtype=np.float64)
    low, high = np.concatenate([[-np.inf], edges]), np.concatenate([edges, [np.inf]])
    return np.where(low >= 0, 1, np.where(high <= 0, -1, 0))


def directional_accuracy(
    probabilities: Floats, labels: Labels, boundaries_bps: ArrayLike, weights: Floats | None = None
) -> float | None:
    """Share of samples whose more probable direction came true.

    Samples whose true class holds both signs are left out.

    Returns:
        The share, or None where no class or no sample has a direction.
    """
    direction = class_directions(boundaries_bps)
    true = direction[labels]
    weight = np.where(true != 0, np.ones(len(labels)) if weights is None else weights, 0.0)
    if not (direction > 0).any() or not (direction < 0).any() or weight.sum() == 0:
        return None
    up, down = (probabilities[:, direction == sign].sum(axis=1) for sign in (1, -1))
    return float(weight @ (np.where(up > down, 1, -1) == true) / weight.sum())


def as_arrays(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Labels]:
    """Return probabilities (N, C) float64 and labels (N,) int64 after checking them.

    Raises:
        EvaluationError: They are empty, of unequal length, no distributions, or a label is no class.
    """
    predicted, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if predicted.ndim != 2 or truth.shape != predicted.shape[:1] or not len(truth):  # noqa: PLR2004 -- samples x classes
        raise EvaluationError(
            f"probabilities {predicted.shape} and labels {truth.shape} do not fit -> give shapes (N, C) and (N,)"
        )
    wrong = ~np.isfinite(predicted).all(axis=1) | (predicted < 0).any(axis=1)
    wrong |= np.abs(predicted.sum(axis=1) - 1) > SUM_TOLERANCE
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise EvaluationError(f"row {row} is no probability distribution: {predicted[row].tolist()} -> normalise it")
    if truth.min() < 0 or truth.max() >= predicted.shape[1]:
        raise EvaluationError(f"labels span {truth.min()}..{truth.max()} but there are {predicted.shape[1]} classes")
    return predicted, truth


def _checked(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Labels, Floats]:
    predicted, truth = as_arrays(probabilities, labels)
    weight = np.ones(len(truth)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != truth.shape or not np.isfinite(weight).all() or (weight < 0).any() or weight.sum() <= 0:
        raise EvaluationError("weights must be one finite, non-negative number a sample, and not all zero")
    return predicted, truth, weight / weight.sum()


def _balanced_accuracy(matrix: Floats) -> float:
    present = matrix.sum(axis=1) > 0
    return float(np.mean(matrix.diagonal()[present] / matrix.sum(axis=1)[present]))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def as_json(values: Floats) -> list[float | None]:
    """Floats as JSON has them: NaN becomes None."""
    return [None if np.isnan(value) else float(value) for value in values]


def curve_json(curve: ReliabilityCurve) -> dict[str, Any]:
    """A reliability curve as JSON values."""
    return {
        "edges": curve.edges.tolist(),
        "count": curve.count.tolist(),
        "predicted": as_json(curve.predicted),
        "observed": as_json(curve.observed),
    }
