"""Areas under curves, Murphy's parts and sums of metrics against scikit-learn, torchmetrics and netcal."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torchmetrics.functional.classification import multiclass_auroc, multiclass_calibration_error

from trademl_assets.scoring import metrics
from trademl_assets.scoring.decomposition import decompose_brier
from trademl_assets.scoring.discrimination import class_areas
from trademl_assets.scoring.metric_sums import sum_metrics

NETCAL = {
    "ece": 0.24060667476639194,
    "mce": 0.5697200028513378,
    "ece_equal_mass": 0.2406066747663922,
    "mce_equal_mass": 0.5078283982349048,
}
"""ECE and MCE of netcal 1.4.0 with 15 bins of equal width and of equal mass on `netcal_example`; recorded, as netcal
needs pyro, gpytorch and tensorboard to be installed."""


def draw(seed: int, rows: int, classes: int, digits: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.7), size=rows).round(digits)
    labels = np.concatenate([np.arange(classes), generator.integers(classes, size=rows - classes)])
    return probabilities / probabilities.sum(axis=1, keepdims=True), labels


samples = st.tuples(st.integers(0, 2**32 - 1), st.integers(30, 300), st.integers(3, 8), st.sampled_from([1, 12]))


@given(samples)
@settings(max_examples=40, deadline=None)
def test_areas_and_f1_agree_with_the_oracles_with_and_without_ties(drawn):
    probabilities, labels = draw(*drawn)
    classes = probabilities.shape[1]
    found = metrics.evaluate(probabilities, labels)
    for average in ("macro", "weighted"):
        expected = oracle.roc_auc_score(labels, probabilities, multi_class="ovr", average=average)
        assert found[f"auc_{average}"] == pytest.approx(expected, abs=1e-9)
    areas = multiclass_auroc(torch.from_numpy(probabilities), torch.from_numpy(labels), classes, average="none")
    np.testing.assert_allclose(class_areas(probabilities, labels), areas, atol=1e-6)
    f1 = oracle.f1_score(labels, probabilities.argmax(axis=1), labels=range(classes), average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(f1, abs=1e-9)


def test_areas_count_weights_like_repeated_samples():
    probabilities, labels = draw(1, 80, 4, 1)
    weights = np.random.default_rng(0).integers(1, 4, size=80)
    weighted = class_areas(probabilities, labels, weights.astype(float))
    repeated = class_areas(np.repeat(probabilities, weights, axis=0), np.repeat(labels, weights))
    np.testing.assert_allclose(weighted, repeated)


def test_a_class_that_nobody_has_has_no_area():
    areas = class_areas(np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]), np.array([1, 0]))
    assert areas.tolist()[:2] == [1.0, 1.0]
    assert np.isnan(areas[2])
    assert "auc_macro" not in metrics.evaluate([[0.5, 0.5]], [0])


@given(samples)
@settings(max_examples=40, deadline=None)
def test_the_parts_add_up_to_the_brier_score(drawn):
    probabilities, labels = draw(*drawn)
    parts = decompose_brier(probabilities, labels)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert whole == pytest.approx(metrics.evaluate(probabilities, labels)["brier"], abs=1e-12)
    assert parts.uncertainty == pytest.approx(1 - ((np.bincount(labels) / len(labels)) ** 2).sum())
    assert min(parts.reliability, parts.resolution) >= 0


def test_the_class_frequencies_have_no_resolution_and_certainty_that_is_right_no_reliability():
    labels = np.array([0, 1, 1, 2, 2, 2])
    frequencies = np.tile(np.bincount(labels) / 6, (6, 1))
    plain, sure = decompose_brier(frequencies, labels), decompose_brier(np.eye(3)[labels], labels)
    assert (plain.reliability, plain.resolution) == pytest.approx((0, 0), abs=1e-15)
    assert (sure.reliability, sure.within_bins) == pytest.approx((0, 0), abs=1e-12)
    assert sure.resolution == pytest.approx(sure.uncertainty)


@given(samples, st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_sums_of_cells_give_every_metric(drawn, cell):
    probabilities, labels = draw(*drawn)
    edges = np.linspace(-9, 9, probabilities.shape[1] - 1)
    expected = metrics.evaluate(probabilities, labels, boundaries_bps=edges)
    summed = sum_metrics(probabilities, labels, cell, edges)
    found = summed.metrics(summed.sums.sum(axis=0, keepdims=True))
    assert {name: found[name][0] for name in expected} == pytest.approx(expected, abs=1e-10)
    scores = metrics.class_scores(metrics.confusion_matrix(probabilities, labels))
    for name in ("precision", "recall", "f1"):
        assert [found[f"{name}_{c}"][0] for c in range(probabilities.shape[1])] == pytest.approx(scores[name].tolist())


def netcal_example() -> tuple[np.ndarray, np.ndarray]:
    """Two thousand rows of four classes without any chance, so that they stay as they were recorded."""
    row = np.arange(1, 2001)[:, None]
    weights = (row * np.sqrt([2.0, 3.0, 5.0, 7.0]) % 1) ** 2 + 0.01
    return weights / weights.sum(axis=1, keepdims=True), (row[:, 0] * np.sqrt(11.0) * 10 % 4).astype(np.int64)


def test_calibration_errors_agree_with_netcal_as_recorded():
    probabilities, labels = netcal_example()
    found = metrics.evaluate(probabilities, labels)
    assert {name: found[name] for name in NETCAL} == pytest.approx(NETCAL, abs=1e-6)
    expected = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), 4, 15, "l1")
    assert found["ece"] == pytest.approx(float(expected), abs=1e-6)
