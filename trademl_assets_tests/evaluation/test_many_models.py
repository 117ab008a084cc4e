"""Superior ability, confidence set and overfitting: as arch computes them, honest in size, and able to see."""

import numpy as np
import pytest

from trademl_assets.evaluation.confidence_set import confidence_set, eliminate
from trademl_assets.evaluation.mean_errors import stationary_variance
from trademl_assets.evaluation.overfitting import probability_of_overfitting
from trademl_assets.evaluation.significance import bootstrap_means
from trademl_assets.evaluation.superior_ability import superior_ability
from trademl_assets.foundation.errors import EvaluationError

ARCH_VARIANCES = [0.034803312414135514, 0.08823084479906966, 0.04736853694663117, 0.3478446804195697]
ARCH_ORDER, ARCH_P_VALUES = [3, 4, 1, 2, 0], [1.0, 0.353, 0.353, 0.0, 0.0]
"""arch 8.0.0: SPA._loss_diff_var, and MCS(method="max", reps=20000) of `recorded_losses`, blocks of 10."""


def recorded_losses() -> np.ndarray:
    """Two hundred rows of five models without any chance, so that they stay as they were recorded."""
    rows = np.arange(1, 201)[:, None]
    phase = np.cos(rows * 0.37 * np.array([1, 2, 3, 4, 5.0]))
    noise = np.sin(rows * np.array([1.3, 2.1, 0.7, 3.3, 1.9]) + phase)
    return 1.0 + 0.5 * noise + np.array([0.0, 0.03, 0.02, 0.12, 0.2])


def dependent(generator: np.random.Generator, days: int, models: int) -> np.ndarray:
    """Noise with memory, shared by the models and their own."""
    shocks = generator.standard_normal((days + 20, models + 1))
    for day in range(1, len(shocks)):
        shocks[day] += 0.3 * shocks[day - 1]
    return shocks[20:, :1] + shocks[20:, 1:]


def test_the_variance_is_that_of_arch_and_of_the_bootstrap():
    losses = recorded_losses()
    gains = losses[:, [1]] - losses[:, [0, 2, 3, 4]]
    np.testing.assert_allclose(stationary_variance(gains, 10), ARCH_VARIANCES, rtol=1e-10)
    drawn = bootstrap_means(gains, 10, 20_000, 1).var(axis=0) * len(gains)
    np.testing.assert_allclose(stationary_variance(gains, 10), drawn, rtol=0.05)


def test_models_leave_the_set_as_in_arch():
    losses = recorded_losses()
    plain = bootstrap_means(losses, 10, 20_000, 1) - losses.mean(axis=0)
    order, p_values = eliminate(losses.mean(axis=0), plain)
    assert order == ARCH_ORDER
    assert p_values.tolist() == pytest.approx(ARCH_P_VALUES, abs=0.015)
    assert confidence_set(losses, 10, level=0.2, replicates=2000, seed=1).members == (0, 1, 2)


def test_equal_models_stay_together_and_p_values_never_fall():
    order, p_values = eliminate(np.array([1.0, 1.0, 1.0]), np.random.default_rng(0).standard_normal((99, 3)))
    assert p_values.tolist() == [1.0, 1.0, 1.0]
    found = confidence_set(recorded_losses(), 10, level=0.1, replicates=500, seed=0)
    assert sorted(order) == [0, 1, 2]
    assert [found.p_values[model] for model in found.order] == sorted(found.p_values)


def test_noise_is_rejected_at_about_the_level_over_a_thousand_replicates():
    generator, rejected = np.random.default_rng(7), {"superior": 0, "set": 0}
    for seed in range(1000):
        losses = dependent(generator, 240, 6)
        gains = losses[:, :1] - losses[:, 1:]
        rejected["superior"] += superior_ability(gains, 8, replicates=200, seed=seed).p_value < 0.05
        rejected["set"] += len(confidence_set(losses, 8, level=0.05, replicates=200, seed=seed).members) < 6
    assert rejected["superior"] <= 80, rejected
    assert rejected["set"] <= 80, rejected
    assert min(rejected.values()) >= 5, rejected


def test_a_better_model_among_bad_ones_is_seen_by_the_consistent_p_value():
    losses = dependent(np.random.default_rng(1), 300, 8) + np.array([0, -0.5, 3, 3, 3, 3, 3, 3.0])
    found = superior_ability(losses[:, :1] - losses[:, 1:], 8, replicates=1000, seed=0)
    assert found.best == 0
    assert found.p_value < 0.02
    assert found.p_lower <= found.p_value <= found.p_upper
    assert confidence_set(losses, 8, level=0.05, replicates=1000, seed=0).members == (1,)


def test_a_model_that_equals_the_reference_is_no_proof():
    gains = np.zeros((50, 2))
    assert superior_ability(gains, 5, replicates=100, seed=0).p_value == 1.0


def test_choosing_among_noise_is_overfitting_half_of_the_time_and_choosing_skill_is_not():
    generator = np.random.default_rng(2)
    noise = [probability_of_overfitting(generator.standard_normal((96, 20)), 8).probability for _ in range(60)]
    skill = generator.standard_normal((96, 20)) - np.linspace(0, 2, 20)
    assert np.mean(noise) == pytest.approx(0.5, abs=0.08)
    assert probability_of_overfitting(skill, 8).probability < 0.05


def test_ranks_on_the_other_half_follow_their_definition():
    losses = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    found = probability_of_overfitting(losses, 2)
    assert found.logits.tolist() == pytest.approx([np.log((0.5 + 0.5) / 3.0)] * 2)
    assert found.probability == 1.0


@pytest.mark.parametrize(("shape", "groups"), [((10, 5), 3), ((6, 5), 8), ((20, 1), 4)])
def test_too_little_for_symmetric_splits_is_refused(shape, groups):
    with pytest.raises(EvaluationError, match="finite losses"):
        probability_of_overfitting(np.zeros(shape), groups)
