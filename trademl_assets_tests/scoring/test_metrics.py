"""Metrics against scikit-learn and torchmetrics, and the edges that oracles leave open."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torchmetrics.functional.classification import multiclass_calibration_error

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring import metrics
from trademl_assets.scoring.bins import bin_of, equal_mass_edges, equal_width_edges


def _draw(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.7), size=rows)
    return probabilities, generator.integers(classes, size=rows)


samples = st.tuples(st.integers(0, 2**32 - 1), st.integers(30, 400), st.integers(3, 8))


@given(samples)
@settings(max_examples=40, deadline=None)
def test_scores_agree_with_scikit_learn(drawn):
    probabilities, labels = _draw(*drawn)
    classes = range(probabilities.shape[1])
    chosen, found = probabilities.argmax(axis=1), metrics.evaluate(probabilities, labels)
    expected = {
        "log_loss": oracle.log_loss(labels, probabilities, labels=classes),
        "brier": oracle.brier_score_loss(labels, probabilities, labels=list(classes)),
        "accuracy": oracle.accuracy_score(labels, chosen),
        "balanced_accuracy": oracle.recall_score(labels, chosen, labels=np.unique(labels), average="macro"),
        "weighted_f1": oracle.f1_score(labels, chosen, average="weighted", zero_division=0),
        "top_2": oracle.top_k_accuracy_score(labels, probabilities, k=2, labels=list(classes)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(probabilities, labels), oracle.confusion_matrix(labels, chosen, labels=list(classes))
    )


@given(samples)
@settings(max_examples=40, deadline=None)
def test_calibration_errors_agree_with_torchmetrics(drawn):
    probabilities, labels = _draw(*drawn)
    found = metrics.evaluate(probabilities, labels)
    arguments = (torch.from_numpy(probabilities), torch.from_numpy(labels), probabilities.shape[1])
    for name, norm in (("ece", "l1"), ("mce", "max")):
        assert found[name] == pytest.approx(
            float(multiclass_calibration_error(*arguments, n_bins=15, norm=norm)), abs=1e-6
        )


def test_weights_count_like_repeated_samples():
    probabilities, labels = _draw(3, 60, 4)
    weights = np.random.default_rng(1).integers(1, 4, size=60)
    weighted = metrics.evaluate(probabilities, labels, weights)
    repeated = metrics.evaluate(np.repeat(probabilities, weights, axis=0), np.repeat(labels, weights))
    for name in ("ece_equal_mass", "mce_equal_mass"):
        weighted.pop(name)  # their bins hold equally many samples, whatever they weigh
    assert weighted == pytest.approx({name: repeated[name] for name in weighted})


def test_equal_mass_bins_hold_equally_many_and_keep_ties_together():
    values = np.random.default_rng(0).random(1500)
    curve = metrics.reliability_curve(values, np.zeros(1500), equal_mass_edges(values))
    assert curve.count.tolist() == [100.0] * 15
    assert metrics.reliability_curve(np.full(40, 0.3), np.zeros(40), equal_mass_edges(np.full(40, 0.3))).count == 40


def test_classwise_error_is_the_mean_over_classes_of_binary_calibration_errors():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    assert metrics.classwise_ece(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0.15)


def test_entropy_of_certainty_is_zero_and_of_ignorance_the_log_of_classes():
    assert metrics.entropies(np.array([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx([0.0, np.log(2)])


def test_a_value_on_an_edge_belongs_to_the_bin_above_and_one_to_the_last():
    assert bin_of(np.array([0.5]), np.array([0.0, 0.5, 1.0])).tolist() == [1]
    assert bin_of(np.array([0.0, 1.0]), equal_width_edges()).tolist() == [0, 14]


def test_direction_ignores_the_class_that_holds_both_signs():
    probabilities = np.array([[0.5, 0.1, 0.4], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    labels = np.array([0, 1, 0])
    found = metrics.evaluate(probabilities, labels, boundaries_bps=[-5.0, 5.0])
    assert found["directional_accuracy"] == pytest.approx(0.5)
    assert metrics.class_directions([-5.0, 0.0, 5.0]).tolist() == [-1, -1, 1, 1]
    assert "directional_accuracy" not in metrics.evaluate(probabilities, labels, boundaries_bps=[-5.0, -1.0])


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.6]], [0], "row 0 is no probability distribution"),
        ([[0.5, np.nan]], [0], "row 0 is no probability distribution"),
        ([[0.5, 0.5]], [2], "2 classes"),
        (np.empty((0, 2)), [], "do not fit"),
    ],
)
def test_impossible_input_is_refused(probabilities, labels, message):
    with pytest.raises(EvaluationError, match=message):
        metrics.evaluate(probabilities, labels)
