"""Boosted trees find what a line cannot, find nothing in noise, and learn nothing from rows that overlap the choice."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from trademl_assets.datasets.window_summaries import SummaryParameters
from trademl_assets.scoring.baselines import class_prior
from trademl_assets.scoring.boosting import Boosted, BoostingParameters, fit_boosting
from trademl_assets.scoring.metrics import log_losses

SUMMARIES = SummaryParameters(
    book_bands=1, book_looks=1, book_spans_seconds=(1,), return_spans_seconds=(1,), long_term_spans_days=(1,)
)
PARAMETERS = BoostingParameters(
    summaries=SUMMARIES,
    rows_at_most=10_000,
    learning_rate=0.2,
    most_rounds=30,
    patience_rounds=3,
    held_back_share=0.25,
    most_leaves=4,
    least_rows_a_leaf=20,
    l2=1.0,
    column_share=1.0,
)


def fit(features: np.ndarray, labels: np.ndarray, classes: int = 3, horizon: int = 1) -> Boosted:
    begun = np.arange(len(labels))
    prior = class_prior(labels, classes, 1.0)
    return fit_boosting(features, labels, (begun, begun + horizon), prior, PARAMETERS, pseudo_counts=1.0, seed=0)


def signal(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The class is told by the product of two features."""
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((rows, 4))
    score = features[:, 0] * features[:, 1] + 0.5 * generator.standard_normal(rows)
    return features, np.digitize(score, [-0.3, 0.3])


def test_what_lies_in_a_product_is_found():
    found, (asked, truth) = fit(*signal(0, 2000)), signal(1, 2000)
    probabilities = found.predict(asked)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert log_losses(probabilities, truth).mean() < log_losses(np.tile(found.prior, (2000, 1)), truth).mean() - 0.15


def test_noise_is_left_alone():
    generator = np.random.default_rng(2)
    found = [fit(generator.standard_normal((600, 6)), generator.integers(3, size=600)) for _ in range(10)]
    truth = generator.integers(3, size=4000)
    losses = [log_losses(each.predict(generator.standard_normal((4000, 6))), truth).mean() for each in found]
    assert np.mean(losses) < np.log(3) + 0.02
    assert sum(each.rounds == 0 for each in found) >= 2


def test_labels_that_reach_into_the_rows_held_back_do_not_choose_the_rounds():
    features, labels = signal(3, 800)
    assert fit(features, labels, horizon=599).rounds == 0  # a single row ends in time
    assert fit(features, labels, horizon=100).rounds > 0


def test_a_class_that_was_never_seen_keeps_its_share_of_the_prior():
    features, labels = signal(4, 1000)
    found = fit(features, labels, classes=4)
    probabilities = found.predict(features)
    assert probabilities.shape == (1000, 4)
    assert probabilities[:, 3] == pytest.approx(found.smoothing * found.prior[3])


@pytest.mark.parametrize("labels", [np.zeros(50, np.int64), np.array([1])])
def test_without_two_classes_the_frequencies_are_foretold(labels):
    found = fit(np.random.default_rng(5).standard_normal((len(labels), 2)), labels)
    assert found.predict(np.zeros((2, 2))).tolist() == [found.prior.tolist()] * 2


def test_threads_change_nothing():
    features, labels = signal(6, 1500)
    features[::7, 2] = np.nan
    answers = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            answers.append(fit(features, labels).predict(features))
    assert answers[0].tobytes() == answers[1].tobytes()
