"""Replicates of metrics from sums of cells equal those of the decisions that were drawn, and cover the truth."""

import numpy as np
import pytest

from trademl_assets.evaluation.bootstrap import bootstrap_metrics, cell_of, draw_counts, metric_intervals
from trademl_assets.scoring import metrics
from trademl_assets.scoring.bins import equal_mass_edges
from trademl_assets.scoring.metric_sums import sum_metrics


def draw(seed: int, rows: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=rows)
    below = probabilities.cumsum(axis=1) < generator.random((rows, 1))
    return probabilities, below.sum(axis=1).clip(max=classes - 1)


def test_replicates_are_the_metrics_of_the_decisions_drawn():
    probabilities, labels = draw(0, 1010)
    cell = cell_of(100.0)
    found = bootstrap_metrics(probabilities, labels, 100.0, replicates=20, seed=4, boundaries_bps=[-3, 0, 3])
    counts = draw_counts(-(-1010 // cell), 100.0 / cell, 20, 4).astype(int)
    edges = equal_mass_edges(probabilities.max(axis=1))
    for number, count in enumerate(counts):
        rows = np.repeat(np.arange(1010), np.repeat(count, cell)[:1010])
        drawn, truth = probabilities[rows], labels[rows]
        expected = metrics.evaluate(drawn, truth, boundaries_bps=[-3, 0, 3])
        hit = (drawn.argmax(axis=1) == truth).astype(float)
        mass = metrics.reliability_curve(drawn.max(axis=1), hit, edges)  # bins stay those of all decisions
        expected |= {"ece_equal_mass": mass.expected_error(), "mce_equal_mass": mass.maximal_error()}
        areas = {name: expected.pop(name) for name in ("auc_macro", "auc_weighted")}
        assert {name: found[name][number] for name in expected} == pytest.approx(expected, abs=1e-10)
        assert {name: found[name][number] for name in areas} == pytest.approx(areas, abs=0.01)


def test_every_replicate_draws_as_many_cells_as_there_are_in_blocks_of_the_length_asked_for():
    counts = draw_counts(300, 10.0, 400, 1)
    assert (counts.sum(axis=1) == 300).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(300), abs=0.25)
    together = np.mean([np.corrcoef(row[:-1], row[1:])[0, 1] for row in counts])
    assert together > 0.5


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = {"log_loss": 0, "accuracy": 0, "auc_weighted": 0}
    whole = metrics.evaluate(*draw(99, 200_000))
    for seed in range(100):
        found = metric_intervals(*draw(seed, 600), 5.0, replicates=200, confidence=0.9, seed=seed)
        for name in inside:
            inside[name] += found[name][0] <= whole[name] <= found[name][1]
    assert all(80 <= count <= 98 for count in inside.values()), inside


def test_a_class_that_is_missing_from_some_replicates_leaves_the_other_metrics_defined():
    probabilities, labels = draw(3, 200)
    labels = np.where(labels == 3, 0, labels)
    labels[0] = 3
    found = metric_intervals(probabilities, labels, 5.0, replicates=100, confidence=0.9, seed=0)
    assert all(np.isfinite(ends).all() for ends in found.values())
    labels[0] = 0
    assert "auc_3" not in metric_intervals(probabilities, labels, 5.0, replicates=100, confidence=0.9, seed=0)


def test_sums_do_not_depend_on_where_cells_end():
    probabilities, labels = draw(4, 501)
    one, many = (sum_metrics(probabilities, labels, cell).sums.sum(axis=0) for cell in (501, 7))
    np.testing.assert_allclose(one, many, atol=1e-9)
