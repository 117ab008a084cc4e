"""A fast, honest learner for controls: multinomial logistic regression, chosen on later training rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from numpy.typing import NDArray

from trademl_assets.scoring.baselines import class_prior
from trademl_assets.scoring.metrics import log_losses

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
CHOOSING_SHARE = 0.2
"""Share of the training rows, the latest, on which the penalty is chosen."""
MOST_ITERATIONS = 200
TOLERANCE = 1e-7
"""Relative gain of an iteration below which the search ends: far finer than any skill that could be told."""


@dataclass(frozen=True)
class MultinomialLogistic:
    """Class probabilities from features.

    Attributes:
        center, scale: (k,) of the features in training.
        weights: (k, C); all zero in a model that knows the class frequencies only.
        offsets: (C,).
    """

    center: Floats
    scale: Floats
    weights: Floats
    offsets: Floats

    def predict(self, features: NDArray[np.floating]) -> Floats:
        """(n, C) probabilities of features (n, k)."""
        scores = (features - self.center) / self.scale @ self.weights + self.offsets
        return np.asarray(np.exp(scores - scipy.special.logsumexp(scores, axis=1, keepdims=True)))


def fit_logistic(
    features: NDArray[np.floating], labels: Labels, classes: int, penalty: float, pseudo_counts: float
) -> MultinomialLogistic:
    """Minimise the mean log-loss plus penalty / 2 times the squared weights; an infinite penalty leaves the prior.

    Args:
        features: (n, k), standardised here.
        labels: (n,) classes.
        classes: C.
        penalty: Of weights of standardised features; offsets are free.
        pseudo_counts: Smoothing of the class frequencies that the search begins from.
    """
    center, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (features - center) / scale
    offsets = np.log(class_prior(labels, classes, pseudo_counts))
    width = standard.shape[1]
    if np.isinf(penalty) or not width:
        return MultinomialLogistic(center, scale, np.zeros((width, classes)), offsets)
    truth, place = np.eye(classes)[labels], np.arange(len(labels))

    def loss(packed: Floats) -> tuple[float, Floats]:
        weights, free = packed[:-classes].reshape(width, classes), packed[-classes:]
        scores = standard @ weights + free
        scores -= scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        total = odds.sum(axis=1, keepdims=True)
        residual = (odds / total - truth) / len(labels)
        value = float(np.log(total).mean() - scores[place, labels].mean() + penalty / 2 * (weights**2).sum())
        gradient = np.concatenate([(standard.T @ residual + penalty * weights).ravel(), residual.sum(axis=0)])
        return value, gradient

    begin = np.concatenate([np.zeros(width * classes), offsets])
    found = scipy.optimize.minimize(
        loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": MOST_ITERATIONS, "ftol": TOLERANCE}
    ).x
    return MultinomialLogistic(center, scale, found[:-classes].reshape(width, classes), found[-classes:])


def fit_honestly(
    features: NDArray[np.floating],
    labels: Labels,
    spans_us: tuple[NDArray[np.int64], NDArray[np.int64]],
    classes: int,
    *,
    groups: Sequence[NDArray[np.int64]],
    penalties: Sequence[float],
    pseudo_counts: float,
) -> MultinomialLogistic:
    """Choose columns and penalty on the latest training rows, or no weights at all; then fit on all of them.

    Earlier rows whose label ends after the latest begin are left out of the choice.

    Args:
        features: (n, k) of training rows in time order.
        labels: (n,) classes.
        spans_us: Begin and end of the labels, (n,) each.
        classes: C.
        groups: Columns that are tried alone, beside all of them together.
        penalties: To choose from.
        pseudo_counts: As `fit_logistic`.
    """
    begun, ended = spans_us
    first = int(len(labels) * (1 - CHOOSING_SHARE))
    earlier = np.flatnonzero(ended[:first] <= begun[min(first, len(begun) - 1)])
    if not len(earlier):
        return fit_logistic(features, labels, classes, np.inf, pseudo_counts)

    def fit(rows: NDArray[np.int64] | slice, columns: NDArray[np.int64], penalty: float) -> MultinomialLogistic:
        model = fit_logistic(features[rows][:, columns], labels[rows], classes, penalty, pseudo_counts)
        return _widened(model, columns, features.shape[1])

    every = np.arange(features.shape[1])
    best, least = (every, np.inf), np.inf
    for columns, penalty in [(every, np.inf), *product([every, *groups], penalties)]:
        later = log_losses(fit(earlier, columns, penalty).predict(features[first:]), labels[first:]).mean()
        if later < least:
            best, least = (columns, penalty), float(later)
    return fit(slice(None), *best)


def _widened(model: MultinomialLogistic, columns: NDArray[np.int64], width: int) -> MultinomialLogistic:
    """The same model of all `width` columns, which has no weight for those it was not fitted on."""
    center, scale, weights = np.zeros(width), np.ones(width), np.zeros((width, len(model.offsets)))
    center[columns], scale[columns], weights[columns] = model.center, model.scale, model.weights
    return MultinomialLogistic(center, scale, weights, model.offsets)
