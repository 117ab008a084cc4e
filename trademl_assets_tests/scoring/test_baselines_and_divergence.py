"""Baselines are proper, smoothed and know nothing of the future; divergence to a known optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy, norm

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring import baselines, divergence

EDGES = np.array([-10.0, 10.0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_every_baseline_is_a_distribution_without_zeros(seed, rows, bins):
    generator = np.random.default_rng(seed)
    labels, sigma = generator.integers(3, size=rows), np.round(generator.gamma(2.0, size=rows), 1)
    sigma[generator.random(rows) < 0.2] = np.nan
    prior = baselines.class_prior(labels, 3, 1.0)
    asked = np.array([0.0, 0.5, 100.0, np.nan])
    forecasts = [
        prior[None],
        baselines.fit_volatility_prior(sigma, labels, 3, bins, 1.0).predict(asked),
        baselines.fit_scaled_return_prior(sigma, generator.normal(size=rows), prior, EDGES, 1.0).predict(asked),
        baselines.fit_persistence(generator.integers(-1, 3, size=rows), labels, 3, 1.0).predict([-1, 0, 2]),
    ]
    for forecast in forecasts:
        assert (forecast > 0).all()
        np.testing.assert_allclose(forecast.sum(axis=1), 1.0)


def test_the_class_prior_counts_and_smooths():
    assert baselines.class_prior([0, 0, 2], 3, 3.0) == pytest.approx([0.5, 1 / 6, 1 / 3])
    with pytest.raises(EvaluationError, match="found none"):
        baselines.class_prior([], 3, 1.0)


def test_the_volatility_prior_finds_frequencies_bin_by_bin():
    sigma, labels = np.array([1.0] * 50 + [2.0] * 50), np.array([0] * 50 + [1] * 50)
    fitted = baselines.fit_volatility_prior(sigma, labels, 2, 2, 1e-9)
    np.testing.assert_allclose(fitted.predict([0.1, 1.0, 2.0, 9.0]), [[1, 0], [1, 0], [0, 1], [0, 1]], atol=1e-9)
    np.testing.assert_allclose(fitted.predict([np.nan]), [[0.5, 0.5]])


def test_the_scaled_return_prior_recovers_a_normal_at_any_volatility():
    generator = np.random.default_rng(0)
    sigma = generator.uniform(5, 20, size=200_000)
    returns = sigma * generator.standard_normal(len(sigma))
    fitted = baselines.fit_scaled_return_prior(sigma, returns, np.full(3, 1 / 3), EDGES, 1.0)
    for value in (6.0, 30.0):
        below = norm.cdf(EDGES / value)
        np.testing.assert_allclose(fitted.predict([value])[0], np.diff([0, *below, 1]), atol=0.004)


def test_persistence_sees_only_returns_that_were_complete_at_the_decision():
    ends, labels = np.array([10, 20, 30]), np.array([0, 1, 2])
    assert baselines.last_realised_class([5, 10, 19, 20, 99], ends, labels).tolist() == [baselines.UNKNOWN, 0, 0, 1, 2]
    shuffled = [2, 0, 1]
    assert baselines.last_realised_class([20], ends[shuffled], labels[shuffled]).tolist() == [1]


def test_persistence_earns_its_weight_from_training_rows():
    generator = np.random.default_rng(1)
    last = generator.integers(2, size=5000)
    labels = np.where(generator.random(5000) < 0.6, last, generator.integers(2, size=5000))
    assert baselines.fit_persistence(last, labels, 2, 1.0).stay == pytest.approx(0.6, abs=0.03)
    assert baselines.fit_persistence(last, 1 - last, 2, 1.0).stay == 0.0


def test_divergence_agrees_with_scipy_and_the_share_spans_zero_to_one():
    generator = np.random.default_rng(2)
    best, other, volatility = (softmax(generator.standard_normal((50, 4)), axis=1) for _ in range(3))
    assert divergence.mean_kl(best, other) == pytest.approx(entropy(best, other, axis=1).mean())
    assert divergence.share_of_best(best, best, volatility) == 1.0
    assert divergence.share_of_best(best, volatility, volatility) == 0.0
    assert np.isinf(divergence.mean_kl([[0.5, 0.5]], [[1.0, 0.0]]))
    with pytest.raises(EvaluationError, match="without signal"):
        divergence.share_of_best(best, other, best)
