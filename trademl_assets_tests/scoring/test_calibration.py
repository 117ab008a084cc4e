"""Laws of temperature scaling, and the limit below which nothing is fitted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring import calibration
from trademl_assets.scoring import temperature as temperature_laws
from trademl_assets.scoring.temperature import fit_temperature, shrink_temperature, temperature_log_loss
from trademl_assets_tests.scoring.limits import calibration_parameters

LIMITS = calibration_parameters()


def _draw(seed: int, rows: int = 300, classes: int = 4, scale: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = scale * generator.standard_normal((rows, classes))
    probabilities = temperature_laws.apply_temperature(logits, 1.0)
    labels = (probabilities.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_fitting_never_raises_the_loss_and_keeps_the_order(seed, distortion, random_labels):
    logits, labels = _draw(seed)
    labels = np.random.default_rng(seed).integers(4, size=len(labels)) if random_labels else labels
    temperature = temperature_laws.fit_temperature(logits * distortion, labels, 0.05, 20)
    before, after = (temperature_laws.temperature_log_loss(logits * distortion, labels, t) for t in (1.0, temperature))
    assert after <= before
    probabilities = temperature_laws.apply_temperature(logits * distortion, temperature)
    assert (probabilities.max(axis=1) == probabilities[np.arange(300), logits.argmax(axis=1)]).all()


@pytest.mark.parametrize("distortion", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_found(distortion):
    logits, labels = _draw(1, rows=60_000)
    assert temperature_laws.fit_temperature(logits * distortion, labels, 0.05, 20) == pytest.approx(
        distortion, rel=0.02
    )


def test_no_other_temperature_is_better():
    logits, labels = _draw(5, scale=3.0)
    best = temperature_laws.fit_temperature(logits, labels, 0.05, 20)
    losses = [temperature_laws.temperature_log_loss(logits, labels, best * factor) for factor in (0.999, 1.0, 1.001)]
    assert min(losses) == losses[1]


def test_temperature_agrees_with_scikit_learn():
    generator = np.random.default_rng(4)
    features = generator.standard_normal((800, 3))
    truth = (features @ generator.standard_normal((3, 4)) + 2 * generator.gumbel(size=(800, 4))).argmax(axis=1)
    model = LogisticRegression(C=100).fit(features[:200], truth[:200])
    logits = model.decision_function(features[200:])
    scaled = CalibratedClassifierCV(FrozenEstimator(model), method="temperature", ensemble=False)
    expected = scaled.fit(features[200:], truth[200:]).predict_proba(features[200:])
    temperature = temperature_laws.fit_temperature(logits, truth[200:], 0.05, 20)
    np.testing.assert_allclose(temperature_laws.apply_temperature(logits, temperature), expected, atol=1e-4)


def test_the_end_of_the_range_is_taken_where_certainty_is_right():
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert temperature_laws.fit_temperature(logits, [0, 1], 0.05, 20) == 0.05
    assert temperature_laws.fit_temperature(logits, [1, 0], 0.05, 20) == 20


def test_too_few_independent_labels_leave_the_probabilities_alone_and_say_so():
    logits, labels = _draw(2)
    few = calibration.calibrate(logits * 3, labels, 99.9, LIMITS)
    assert (few.kind, few.temperature, few.mark) == ("identity", 1.0, "uncalibrated")
    assert few.log_loss_after == few.log_loss_before
    np.testing.assert_array_equal(few.apply(logits), temperature_laws.apply_temperature(logits, 1.0))
    enough = calibration.calibrate(logits * 3, labels, 100.0, LIMITS)
    assert (enough.kind, enough.mark) == ("temperature", "")
    assert enough.log_loss_after < enough.log_loss_before
    assert calibration.Calibration.from_dict(enough.as_dict()) == enough


def test_an_ensemble_is_the_mean_probability_of_its_members():
    members = np.random.default_rng(0).standard_normal((3, 20, 4)) + np.array([0.0, 50.0, -50.0])[:, None, None]
    mean = np.mean([temperature_laws.apply_temperature(member, 1.0) for member in members], axis=0)
    np.testing.assert_allclose(np.exp(temperature_laws.ensemble_logits(members)), mean, rtol=1e-12)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(EvaluationError, match="finite logits"):
        temperature_laws.fit_temperature([[np.nan, 0.0]], [0], 0.05, 20)


def overconfident(n: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1, (n, 4))
    truth = np.array([rng.choice(4, p=row) for row in softmax(logits, axis=1)])
    return factor * logits, truth


def test_few_independent_labels_draw_the_temperature_towards_one():
    logits, truth = overconfident(4000, 1.5)
    fitted = fit_temperature(logits, truth, 0.05, 20)
    shrunk = [shrink_temperature(logits, truth, fitted, n, 0.2) for n in (1, 30, 100, 1000, 1e7)]
    assert 1.0 < shrunk[0] < 1.01
    assert shrunk == sorted(shrunk)
    assert shrunk[-1] == pytest.approx(fitted, rel=1e-4)


def test_shrinking_follows_the_posterior_of_a_normal_prior():
    logits, truth = overconfident(20_000, 1.2)
    fitted = fit_temperature(logits, truth, 0.05, 20)
    step = 1e-3
    losses = [temperature_log_loss(logits, truth, fitted * np.exp(k * step)) for k in (-1, 0, 1)]
    curvature = (losses[0] - 2 * losses[1] + losses[2]) / step**2
    expected = np.log(fitted) * 200 * curvature / (200 * curvature + 1 / 0.2**2)
    assert np.log(shrink_temperature(logits, truth, fitted, 200, 0.2)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.8])
def test_a_shrunk_temperature_never_raises_the_loss_it_was_fitted_on(factor: float):
    logits, truth = overconfident(1000, factor)
    fitted = fit_temperature(logits, truth, 0.05, 20)
    shrunk = shrink_temperature(logits, truth, fitted, 150, 0.2)
    assert temperature_log_loss(logits, truth, shrunk) <= temperature_log_loss(logits, truth, 1.0)
