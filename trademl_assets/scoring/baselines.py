"""Forecasts that need no model: the class prior, the prior given trailing volatility, persistence; all smoothed."""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.scoring.boosting import BoostingParameters

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
UNKNOWN = -1
"""Class of a decision before any horizon return was realised."""


class BaselineParameters(Parameters):
    """How baselines are fitted on training rows.

    `volatility_bins` equally filled bins of trailing sigma; `pseudo_counts` samples of the broader distribution are
    added everywhere (uniform to the class prior, the prior to each bin), so that no class has probability 0.
    `logistic_penalty` times half the squared weights of standardised features holds the logistic regression back.
    `boosting`: gradient boosting on summaries of the windows; None leaves it out.
    """

    volatility_bins: int = Field(ge=1)
    pseudo_counts: float = Field(gt=0)
    logistic_penalty: float = Field(gt=0)
    boosting: BoostingParameters | None


def class_prior(labels: ArrayLike, classes: int, pseudo_counts: float) -> Floats:
    """(C,) frequencies of the training labels, smoothed by `pseudo_counts` samples spread evenly.

    Raises:
        EvaluationError: No training labels.
    """
    truth = np.asarray(labels, dtype=np.int64)
    if not len(truth):
        raise EvaluationError("a class prior needs training labels, found none -> widen the training blocks")
    counts = np.bincount(truth, minlength=classes).astype(np.float64)
    return np.asarray((counts + pseudo_counts / classes) / (len(truth) + pseudo_counts))


@dataclass(frozen=True)
class VolatilityPrior:
    """Class frequencies given the bin of trailing sigma.

    Attributes:
        edges: (B - 1,) inner edges of the bins, in the unit of sigma.
        frequencies: (B, C).
        prior: (C,) used where sigma is unknown.
    """

    edges: Floats
    frequencies: Floats
    prior: Floats

    def predict(self, sigma: ArrayLike) -> Floats:
        """(N, C) probabilities for trailing sigma (N,); NaN gets the class prior."""
        value = np.asarray(sigma, dtype=np.float64)
        chosen = self.frequencies[np.searchsorted(self.edges, value, side="right")]
        return np.where(np.isnan(value)[:, None], self.prior, chosen)


def fit_volatility_prior(
    sigma: ArrayLike, labels: ArrayLike, classes: int, bins: int, pseudo_counts: float
) -> VolatilityPrior:
    """Fit class frequencies in equally filled bins of trailing sigma.

    Args:
        sigma: (N,) trailing sigma of the training rows, NaN where unknown.
        labels: (N,) their classes.
        classes: C.
        bins: Bins; fewer where sigma has fewer distinct values.
        pseudo_counts: Samples of the class prior added to each bin.
    """
    value, truth = np.asarray(sigma, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    prior = class_prior(truth, classes, pseudo_counts)
    known = ~np.isnan(value)
    if not known.any():
        return VolatilityPrior(np.empty(0), prior[None, :], prior)
    edges = np.unique(np.quantile(value[known], np.linspace(0, 1, bins + 1)[1:-1]))
    cell = np.searchsorted(edges, value[known], side="right") * classes + truth[known]
    counts = np.bincount(cell, minlength=(len(edges) + 1) * classes).reshape(-1, classes).astype(np.float64)
    smoothed = counts + pseudo_counts * prior
    return VolatilityPrior(edges, smoothed / smoothed.sum(axis=1, keepdims=True), prior)


@dataclass(frozen=True)
class ScaledReturnPrior:
    """Class probabilities if the return is trailing sigma times a draw from the training rows' scaled returns.

    One distribution is pooled over all volatilities, so it is estimated far better than frequencies bin by bin.

    Attributes:
        scaled: (M,) sorted training returns over their sigma.
        boundaries_bps: (C - 1,) class edges.
        prior: (C,) class prior, used where sigma is unknown and as smoothing.
        pseudo_counts: Samples of the class prior mixed in.
    """

    scaled: Floats
    boundaries_bps: Floats
    prior: Floats
    pseudo_counts: float

    def predict(self, sigma: ArrayLike) -> Floats:
        """(N, C) probabilities for trailing sigma (N,) in bps; the class prior where it is NaN or not positive."""
        value = np.asarray(sigma, dtype=np.float64)[:, None]
        known = value > 0
        edges = self.boundaries_bps / np.where(known, value, 1.0)
        below = np.searchsorted(self.scaled, edges, side="left").astype(np.float64)
        ends = np.broadcast_to([0.0, float(len(self.scaled))], (len(value), 2))
        counts = np.diff(np.concatenate([ends[:, :1], below, ends[:, 1:]], axis=1), axis=1)
        mixed = (counts + self.pseudo_counts * self.prior) / (len(self.scaled) + self.pseudo_counts)
        return np.where(known, mixed, self.prior)


def fit_scaled_return_prior(
    sigma: ArrayLike, returns_bps: ArrayLike, prior: Floats, boundaries_bps: ArrayLike, pseudo_counts: float
) -> ScaledReturnPrior:
    """Pool the training rows' returns over trailing sigma.

    Args:
        sigma: (N,) trailing sigma of the training rows in bps over the horizon; rows without it are left out.
        returns_bps: (N,) their returns over the horizon.
        prior: (C,) class prior.
        boundaries_bps: (C - 1,) class edges.
        pseudo_counts: Samples of the class prior mixed in.
    """
    value, returns = np.asarray(sigma, dtype=np.float64), np.asarray(returns_bps, dtype=np.float64)
    known = value > 0
    scaled = np.sort(returns[known] / value[known])
    return ScaledReturnPrior(scaled, np.asarray(boundaries_bps, dtype=np.float64), prior, pseudo_counts)


def last_realised_class(t0: ArrayLike, label_t1: ArrayLike, labels: ArrayLike) -> Labels:
    """(N,) class of the last horizon return that was complete at each decision time, `UNKNOWN` where there was none.

    Args:
        t0: (N,) decision times (microseconds).
        label_t1: (M,) ends of known labels, of any part: what was realised by t0 is known at t0.
        labels: (M,) their classes.
    """
    ends = np.asarray(label_t1, dtype=np.int64)
    order = np.argsort(ends, kind="stable")
    place = np.searchsorted(ends[order], np.asarray(t0, dtype=np.int64), side="right") - 1
    truth = np.asarray(labels, dtype=np.int64)
    return np.where(place >= 0, truth[order][np.maximum(place, 0)], UNKNOWN)


@dataclass(frozen=True)
class Persistence:
    """The last realised class with a fitted probability of its own, the rest by the class prior.

    Attributes:
        stay: Weight of the last class, in [0, 1).
        prior: (C,) class prior.
    """

    stay: float
    prior: Floats

    def predict(self, last_class: ArrayLike) -> Floats:
        """(N, C) probabilities for the last realised class (N,); the class prior where it is `UNKNOWN`."""
        last = np.asarray(last_class, dtype=np.int64)
        hot = np.eye(len(self.prior))[np.maximum(last, 0)]
        return np.where((last == UNKNOWN)[:, None], self.prior, self.stay * hot + (1 - self.stay) * self.prior)


def fit_persistence(last_class: ArrayLike, labels: ArrayLike, classes: int, pseudo_counts: float) -> Persistence:
    """Fit the weight of the last class by maximum likelihood on training rows; 0 where persistence says nothing.

    Args:
        last_class: (N,) last realised class of the training rows, `UNKNOWN` allowed.
        labels: (N,) their classes.
        classes: C.
        pseudo_counts: Smoothing of the class prior.
    """
    last, truth = np.asarray(last_class, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    prior = class_prior(truth, classes, pseudo_counts)
    known = last != UNKNOWN
    if not known.any():
        return Persistence(0.0, prior)
    base, same = prior[truth[known]], (last == truth)[known].astype(np.float64)
    ceiling = 1 - pseudo_counts / (int(known.sum()) + pseudo_counts)

    def loss(stay: float) -> float:
        return float(-np.log(stay * same + (1 - stay) * base).mean())

    found = scipy.optimize.minimize_scalar(loss, bounds=(0.0, ceiling), method="bounded", options={"xatol": 1e-9})
    return Persistence(float(found.x) if found.fun < loss(0.0) else 0.0, prior)
