"""Excess calibration error: nothing for perfect probabilities, something for distorted ones."""

import numpy as np
import pytest

from trademl_assets.scoring.excess import excess_calibration_error, overlapping_normals
from trademl_assets.scoring.metrics import evaluate


def _forecast(generator: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities = generator.dirichlet(np.full(4, 1.5), size=rows)
    return probabilities, (probabilities.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1).clip(max=3)


def _sharpened(probabilities: np.ndarray, power: float) -> np.ndarray:
    return probabilities**power / (probabilities**power).sum(axis=1, keepdims=True)


def _judge(probabilities, labels, horizon=1, seed=0):
    starts = np.arange(len(labels)) * 1_000_000
    return excess_calibration_error(
        probabilities, labels, (starts, starts + horizon * 1_000_000), replicates=200, confidence=0.95, seed=seed
    )


def test_perfect_probabilities_rarely_show_an_excess_and_distorted_ones_always():
    generator = np.random.default_rng(0)
    drawn = [_forecast(generator, 1500) for _ in range(60)]
    assert sum(_judge(p, labels).low > 0 for p, labels in drawn) <= 5
    assert all(_judge(_sharpened(p, 1.5), labels).low > 0 for p, labels in drawn[:10])


def test_observed_is_the_top_label_calibration_error():
    probabilities, labels = _forecast(np.random.default_rng(1), 400)
    found = _judge(probabilities, labels)
    assert found.observed == pytest.approx(evaluate(probabilities, labels)["ece"])
    assert found.low <= found.excess <= found.high
    assert found.excess == pytest.approx(found.observed - found.expected)


def test_overlap_widens_what_a_perfect_model_may_show():
    probabilities, labels = np.tile([0.2, 0.6, 0.1, 0.1], (1500, 1)), np.ones(1500, dtype=np.int64)
    assert _judge(probabilities, labels, horizon=12).expected > 2 * _judge(probabilities, labels).expected


def test_drawn_labels_depend_on_each_other_as_overlapping_returns_do():
    starts = np.arange(50) * 10
    drawn = np.concatenate(list(overlapping_normals(starts, starts + 40, 20_000, np.random.default_rng(3))))
    correlation = np.corrcoef(drawn.T)
    assert drawn.std(axis=0) == pytest.approx(np.ones(50), abs=0.03)
    assert [correlation[0, lag] for lag in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=0.03)
