"""Boosted trees as a reference: what plain features tell of the classes, without a network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.window_summaries import SummaryParameters
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class BoostingParameters(Parameters):
    """How the trees are grown.

    Attributes:
        summaries: What they are shown.
        rows_at_most: Training rows that are left, spread evenly; bounds the time.
        learning_rate: Share of every tree that is added.
        most_rounds: Trees of every class.
        patience_rounds: Rounds without a gain on the rows held back, after which the number of rounds is chosen.
        held_back_share: Share of the training rows, the latest, on which it is chosen.
        most_leaves: Of a tree.
        least_rows_a_leaf: Rows in the smallest leaf.
        l2: Penalty on the values of leaves.
        column_share: Features that a split chooses from.
    """

    summaries: SummaryParameters
    rows_at_most: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    most_rounds: int = Field(ge=1)
    patience_rounds: int = Field(ge=1)
    held_back_share: float = Field(gt=0, lt=1)
    most_leaves: int = Field(ge=2)
    least_rows_a_leaf: int = Field(ge=1)
    l2: float = Field(ge=0)
    column_share: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class Boosted:
    """Class probabilities from features.

    Attributes:
        rounds: Trees of every class; with 0 it knows the class frequencies only.
        prior: (C,) class frequencies of the training rows.
        smoothing: Weight of the prior in every forecast.
        trees: What was grown; None with 0 rounds.
    """

    rounds: int
    prior: Floats
    smoothing: float
    trees: "HistGradientBoostingClassifier | None"

    def predict(self, features: NDArray[np.floating]) -> Floats:
        """(n, C) probabilities of features (n, k)."""
        found = np.tile(self.prior, (len(features), 1))
        if self.trees is None or not len(features):
            return found
        grown = np.zeros_like(found)
        grown[:, self.trees.classes_] = self.trees.predict_proba(features)
        return self.smoothing * found + (1 - self.smoothing) * grown


def fit_boosting(
    features: NDArray[np.floating],
    labels: Labels,
    spans_us: tuple[NDArray[np.int64], NDArray[np.int64]],
    prior: Floats,
    parameters: BoostingParameters,
    *,
    pseudo_counts: float,
    seed: int,
) -> Boosted:
    """Choose the number of rounds on the latest training rows, then grow that many trees on all of them.

    Earlier rows whose label ends after the latest begin are left out of the choice.

    Args:
        features: (n, k) of training rows in time order; NaN where unknown.
        labels: (n,) classes.
        spans_us: Begin and end of the labels, (n,) each.
        prior: (C,) class frequencies, never 0.
        parameters: Of the trees.
        pseudo_counts: Samples of the prior that are mixed into every forecast.
        seed: Of the features that splits choose from.
    """
    begun, ended = spans_us
    first = int(len(labels) * (1 - parameters.held_back_share))
    earlier = np.flatnonzero(ended[:first] <= begun[min(first, len(begun) - 1)])
    known = np.unique(labels[earlier])
    later = first + np.flatnonzero(np.isin(labels[first:], known))
    smoothing = pseudo_counts / (len(labels) + pseudo_counts)
    nothing = Boosted(0, prior, smoothing, None)
    if len(known) < 2 or not len(later):  # noqa: PLR2004 -- two classes are the fewest that can be told apart
        return nothing
    stopped = _trees(parameters, parameters.most_rounds, seed, stops=True)
    stopped.fit(features[earlier], labels[earlier], X_val=features[later], y_val=labels[later])
    rounds = int(np.argmax(stopped.validation_score_))
    if not rounds:
        return nothing
    grown = _trees(parameters, rounds, seed, stops=False).fit(features, labels)
    return Boosted(rounds, prior, smoothing, grown)


def _trees(parameters: BoostingParameters, rounds: int, seed: int, *, stops: bool) -> "HistGradientBoostingClassifier":
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 -- slow to import, and seldom needed

    return HistGradientBoostingClassifier(
        learning_rate=parameters.learning_rate,
        max_iter=rounds,
        max_leaf_nodes=parameters.most_leaves,
        min_samples_leaf=parameters.least_rows_a_leaf,
        l2_regularization=parameters.l2,
        max_features=parameters.column_share,
        early_stopping=stops,
        n_iter_no_change=parameters.patience_rounds,
        tol=0.0,
        random_state=seed,
    )
