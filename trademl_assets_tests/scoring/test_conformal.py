"""Conformal sets hold what they promise, follow a drift, and never look at a label that has not ended."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.conformal import (
    ConformalParameters,
    abstains,
    adaptive_sets,
    conformity_scores,
    judge_sets,
    split_sets,
    split_threshold,
)


def parameters(**changes) -> ConformalParameters:
    values = {"score": "aps", "miscoverage": 0.1, "adaptation_rate": 0.01, "window": 500, "most_classes": 2}
    return ConformalParameters.model_validate(values | changes)


def draw(seed: int, rows: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that claim `sharpness` times too much, and labels."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.standard_normal((rows, 5))
    below = softmax(logits, axis=1).cumsum(axis=1) < generator.random((rows, 1))
    return softmax(sharpness * logits, axis=1), below.sum(axis=1).clip(max=4)


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_split_sets_cover_exchangeable_decisions_within_one_percent(score: str, sharpness: float):
    chosen, found = parameters(score=score), []
    for seed in range(20):
        probabilities, labels = draw(seed, 10_000, sharpness)
        sets = split_sets((probabilities[:5000], labels[:5000]), probabilities[5000:], chosen, seed)
        found.append(judge_sets(sets, labels[5000:], chosen).coverage)
    assert np.mean(found) == pytest.approx(0.9, abs=0.01)
    assert np.std(found) < 0.015


def test_adaptive_sets_cover_exchangeable_decisions_within_one_percent():
    probabilities, labels = draw(3, 6000)
    starts = np.arange(6000)
    found = adaptive_sets(probabilities, labels, (starts, starts + 6), parameters(), 0)
    assert judge_sets(found.sets[1000:], labels[1000:], parameters()).coverage == pytest.approx(0.9, abs=0.01)


def test_a_drift_breaks_split_sets_and_adaptive_ones_recover():
    calm, calm_labels = draw(4, 4000)
    broken, broken_labels = draw(5, 4000, sharpness=4.0)
    split = judge_sets(split_sets((calm, calm_labels), broken, parameters(), 0), broken_labels, parameters())
    both, labels = np.concatenate([calm, broken]), np.concatenate([calm_labels, broken_labels])
    starts = np.arange(8000)
    adaptive = adaptive_sets(both, labels, (starts, starts + 6), parameters(), 0).sets[4500:]
    assert split.coverage < 0.8
    assert judge_sets(adaptive, labels[4500:], parameters()).coverage == pytest.approx(0.9, abs=0.015)


@given(st.integers(0, 2**32 - 1), st.integers(2, 119), st.integers(1, 40), st.sampled_from(["lac", "aps"]))
@settings(max_examples=60, deadline=None)
def test_no_label_counts_before_it_has_ended(seed: int, decision: int, horizon: int, score: str):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(4), size=120)
    labels = generator.integers(4, size=120)
    starts = np.cumsum(generator.integers(0, 3, size=120))
    ends = starts + generator.integers(1, horizon + 1, size=120)
    chosen = parameters(score=score, window=20, adaptation_rate=0.05)
    unknown = ends > starts[decision]
    other = np.where(unknown, generator.integers(4, size=120), labels)
    first, second = (adaptive_sets(probabilities, each, (starts, ends), chosen, 1) for each in (labels, other))
    upto = np.searchsorted(starts, starts[decision], side="right")
    assert (first.sets[:upto] == second.sets[:upto]).all()
    assert (first.levels[:upto] == second.levels[:upto]).all()


def test_adaptive_sets_equal_the_recursion_written_out():
    probabilities, labels = draw(6, 200)
    starts, chosen = np.arange(200), parameters(score="lac", window=30, adaptation_rate=0.05)
    found = adaptive_sets(probabilities, labels, (starts, starts + 4), chosen, 0)
    level, scores = 0.1, 1 - probabilities
    for n in range(200):
        if n >= 4:
            level += 0.05 * (0.1 - (0.0 if found.sets[n - 4, labels[n - 4]] else 1.0))
        known = np.arange(max(0, n - 4 - 30 + 1), max(0, n - 4 + 1))
        past = np.sort(scores[known, labels[known]])
        rank = int(np.ceil((len(past) + 1) * (1 - level)))
        threshold = np.inf if rank > len(past) else past[rank - 1] if rank > 0 else -np.inf
        assert found.levels[n] == pytest.approx(level)
        assert (found.sets[n] == (scores[n] <= threshold)).all()


def test_scores_follow_their_definitions():
    probabilities = np.array([[0.5, 0.2, 0.3]])
    np.testing.assert_allclose(conformity_scores(probabilities, "lac", np.zeros(1)), [[0.5, 0.8, 0.7]])
    np.testing.assert_allclose(conformity_scores(probabilities, "aps", np.zeros(1)), [[0.5, 1.0, 0.8]])
    np.testing.assert_allclose(conformity_scores(probabilities, "aps", np.ones(1)), [[0.0, 0.8, 0.5]])
    assert split_threshold(np.arange(1.0, 10.0), 0.1) == 9
    assert split_threshold(np.arange(1.0, 9.0), 0.1) == np.inf


def test_the_model_abstains_where_a_set_says_too_little():
    sets = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=bool)
    assert abstains(sets, 2).tolist() == [False, False, True, True]
    found = judge_sets(sets, np.array([0, 2, 2, 0]), parameters())
    assert (found.coverage, found.abstained, found.coverage_when_acting) == (0.5, 0.5, 0.5)
    assert found.class_coverage == (0.5, None, 0.5)
    assert judge_sets(sets[2:], np.array([0, 0]), parameters()).coverage_when_acting is None


def test_decisions_out_of_order_are_refused():
    probabilities, labels = draw(0, 3)
    with pytest.raises(EvaluationError, match="time order"):
        adaptive_sets(probabilities, labels, (np.array([2, 1, 3]), np.array([4, 4, 4])), parameters(), 0)
