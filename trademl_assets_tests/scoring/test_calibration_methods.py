"""Each way to calibrate repairs what was planted for it; the choice leaves alone what is right."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring import calibration_methods
from trademl_assets.scoring.affine import fit_affine
from trademl_assets.scoring.calibration import IDENTITY, Calibration, calibrate
from trademl_assets.scoring.calibration_methods import METHODS, Sample
from trademl_assets.scoring.metrics import log_losses
from trademl_assets.scoring.temperature import apply_temperature
from trademl_assets_tests.scoring.limits import calibration_parameters

ALONE = {
    name: calibration_parameters(minimum_effective={"temperature": 100.0, name: 100.0}) for name in METHODS.names()
}
MIXING = 1.2 * np.eye(4) + 0.3 * np.roll(np.eye(4), 1, axis=0)
DISTORTIONS = {
    "temperature": lambda logits: 1.5 * logits,
    "vector": lambda logits: logits * [1.0, 1.5, 0.6, 1.0] + [0.3, 0.0, -0.3, 0.0],
    "dirichlet": lambda logits: log_softmax(logits, axis=1) @ np.linalg.inv(MIXING),
    "isotonic": lambda logits: np.sign(logits) * np.abs(logits) ** 1.8,
}


def draw(seed: int, rows: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((rows, classes))
    below = softmax(logits, axis=1).cumsum(axis=1) < generator.random((rows, 1))
    return logits, below.sum(axis=1).clip(max=classes - 1)


def loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(log_losses(probabilities, labels).mean())


@pytest.mark.parametrize("name", DISTORTIONS)
def test_what_was_planted_is_repaired_on_other_labels(name: str):
    logits, labels = draw(0, 24_000)
    bent, seen = DISTORTIONS[name](logits), slice(0, 12_000)
    found = calibrate(bent[seen], labels[seen], 12_000, ALONE[name])
    after = found.apply(bent[12_000:])
    broken, right = (loss(apply_temperature(each[12_000:], 1), labels[12_000:]) for each in (bent, logits))
    left = 0.6 if name == "isotonic" else 0.25  # class by class it cannot repair all of a bent softmax
    assert loss(after, labels[12_000:]) - right < left * (broken - right)


@pytest.mark.parametrize(("name", "others"), [("temperature", ("vector",)), ("vector", ()), ("isotonic", ())])
def test_the_choice_falls_on_what_foretells_unseen_folds(name: str, others: tuple[str, ...]):
    logits, labels = draw(1, 6000)
    found = calibrate(DISTORTIONS[name](logits), labels, 6000, calibration_parameters())
    assert found.kind in {name, *others, "dirichlet", "regime_temperature"} - (
        {"dirichlet"} if name != "vector" else set()
    )
    assert found.candidates[found.kind] == min(found.candidates.values())
    assert set(found.candidates) == {IDENTITY, *METHODS.names()}


def test_perfect_probabilities_are_left_alone():
    for seed in range(4):
        logits, labels = draw(10 + seed, 4000)
        after = calibrate(logits, labels, 4000, calibration_parameters()).apply(logits)
        assert np.abs(after - apply_temperature(logits, 1.0)).max() < 0.03


def test_the_supported_methods_grow_with_independent_labels():
    logits, labels = draw(2, 2500)
    kinds = [calibrate(2 * logits, labels, n, calibration_parameters()) for n in (99, 100, 1999, 2000)]
    assert [found.mark for found in kinds] == ["uncalibrated", "", "", ""]
    assert [found.kind for found in kinds[:3]] == [IDENTITY, "temperature", "temperature"]
    assert [len(found.candidates) for found in kinds] == [0, 0, 0, 6]


@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS.names()), st.floats(0.1, 8))
@settings(max_examples=40, deadline=None)
def test_no_method_raises_the_loss_of_the_labels_it_was_fitted_on(seed: int, name: str, sharpness: float):
    generator = np.random.default_rng(seed)
    logits, labels = sharpness * generator.standard_normal((150, 3)), generator.integers(3, size=150)
    regimes = generator.choice(["calm", "wild"], size=150).tolist()
    found = calibrate(logits, labels, 150, ALONE[name], regimes=regimes)
    after = loss(found.apply(logits, regimes), labels)
    assert after <= loss(apply_temperature(logits, 1.0), labels) + 1e-12
    assert found.log_loss_after == pytest.approx(after, abs=1e-12)


def test_a_method_that_does_harm_is_undone_and_said_so(monkeypatch: pytest.MonkeyPatch):
    logits, labels = draw(3, 500)
    harmful = calibration_methods.Method(
        lambda *_: {"temperature": 9.0}, METHODS.get("temperature").apply, METHODS.get("temperature").describe
    )
    monkeypatch.setitem(METHODS._known, "temperature", harmful)
    found = calibrate(logits, labels, 500, calibration_parameters())
    assert (found.kind, found.log_loss_after) == (IDENTITY, found.log_loss_before)
    assert "temperature raised the log-loss" in found.note


def test_class_weights_of_the_training_loss_are_undone_first():
    logits, labels = draw(4, 20_000)
    weights = (0.5, 2.0, 1.0, 3.0)
    found = calibrate(logits + np.log(weights), labels, 150, calibration_parameters(), class_weights=weights)
    np.testing.assert_allclose(found.apply(logits + np.log(weights)), apply_temperature(logits, 1.0), atol=0.01)
    few = calibrate(logits + np.log(weights), labels, 50, calibration_parameters(), class_weights=weights)
    np.testing.assert_allclose(few.apply(logits + np.log(weights)), apply_temperature(logits, 1.0), atol=1e-12)
    with pytest.raises(EvaluationError, match="class weights"):
        calibrate(logits, labels, 150, calibration_parameters(), class_weights=(1.0, 0.0, 1.0, 1.0))


def test_a_regime_has_its_own_temperature_where_it_has_labels_and_the_common_one_elsewhere():
    logits, labels = draw(5, 12_000)
    regimes = np.where(np.arange(12_000) % 2 == 0, "calm", "wild")
    regimes[:50] = "rare"
    bent = logits * np.where(regimes == "wild", 2.0, 1.0)[:, None]
    found = calibrate(bent, labels, 12_000, ALONE["regime_temperature"], regimes=regimes.tolist())
    assert found.kind == "regime_temperature"
    assert found.fitted["regimes"]["wild"] == pytest.approx(2.0, rel=0.08)
    assert found.fitted["regimes"]["calm"] == pytest.approx(1.0, rel=0.08)
    assert "rare" not in found.fitted["regimes"]
    np.testing.assert_allclose(
        found.apply(bent[:1], ["never seen"]), apply_temperature(bent[:1], found.fitted["temperature"])
    )


@pytest.mark.parametrize("name", METHODS.names())
def test_what_was_fitted_survives_json(name: str):
    logits, labels = draw(6, 900)
    regimes = ["calm", "wild", "calm"] * 300
    found = calibrate(1.6 * logits + [0.4, 0, 0, 0], labels, 900, ALONE[name], regimes=regimes)
    again = Calibration.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again == found
    assert (again.apply(logits, regimes) == found.apply(logits, regimes)).all()
    assert found.description


def test_the_affine_fit_agrees_with_scikit_learn():
    features = np.random.default_rng(7).standard_normal((1500, 3))
    _, labels = draw(7, 1500)
    pull = np.full((4, 4), 1 / (2.0 * 1500))
    pull[:, -1] = 0.0
    found = fit_affine(features, labels, np.zeros((4, 4)), pull, np.ones((4, 4), dtype=bool))
    oracle = LogisticRegression(C=2.0, tol=1e-10, max_iter=2000).fit(features, labels)
    scores = features @ found[:, :-1].T + found[:, -1]
    np.testing.assert_allclose(softmax(scores, axis=1), oracle.predict_proba(features), atol=1e-6)


def test_isotonic_steps_agree_with_scikit_learn():
    logits, labels = draw(8, 2000, 2)
    found = METHODS.get("isotonic").fit(Sample(logits, np.full(2000, "")), labels, 2000, ALONE["isotonic"])
    own = softmax(logits, axis=1)[:, 1]
    oracle = IsotonicRegression(out_of_bounds="clip").fit(own, labels)
    asked = np.random.default_rng(0).random(500)
    corners = found["classes"][1]
    np.testing.assert_allclose(np.interp(asked, corners["at"], corners["level"]), oracle.predict(asked), atol=1e-9)


def test_labels_that_reach_into_a_fold_are_not_used_to_foretell_it():
    logits, labels = draw(9, 3000)
    starts = np.arange(3000)
    whole = calibrate(1.4 * logits, labels, 3000, calibration_parameters(), spans_us=(starts, starts + 1))
    assert whole == calibrate(1.4 * logits, labels, 3000, calibration_parameters())
    overlapping = calibrate(1.4 * logits, labels, 3000, calibration_parameters(), spans_us=(starts, starts + 400))
    assert overlapping.candidates != whole.candidates
