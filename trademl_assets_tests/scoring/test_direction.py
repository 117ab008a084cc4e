"""The direction score is the same question for all classes: cutting one sign finer or coarser changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from trademl_assets.scoring.direction import direction_log_losses, up_shares

FINE = np.array([-30.0, -10.0, 0.0, 10.0, 30.0])


def market(seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities over the six fine classes and returns that follow them."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(6), size=rows)
    label = (probabilities.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1).clip(max=5)
    low, high = np.r_[-60.0, FINE], np.r_[FINE, 60.0]
    return probabilities, low[label] + (high - low)[label] * generator.random(rows)


@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([-30.0, -10.0, 10.0, 30.0]), unique=True))
@settings(max_examples=40, deadline=None)
def test_merging_classes_of_one_sign_leaves_every_loss_as_it_is(seed, dropped):
    probabilities, returns = market(seed)
    kept = np.array([edge for edge in FINE if edge not in dropped])
    whose = np.searchsorted(kept, np.r_[-60.0, FINE], side="right")
    merged = np.stack([probabilities[:, whose == number].sum(axis=1) for number in range(len(kept) + 1)], axis=1)
    losses = [
        direction_log_losses(each, up_shares(np.searchsorted(edges, returns, side="right"), returns, len(edges) + 1),
                             returns)
        for each, edges in ((probabilities, FINE), (merged, kept))
    ]  # fmt: skip
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-9)


def test_two_classes_cut_at_zero_have_the_log_loss_of_scikit_learn():
    probabilities, returns = market(1)
    up = probabilities[:, 3:].sum(axis=1)
    found = direction_log_losses(np.stack([1 - up, up], axis=1), np.array([0.0, 1.0]), returns)
    assert found.mean() == pytest.approx(log_loss(returns >= 0, up))


def test_a_class_of_both_signs_counts_as_its_training_rows_did_and_an_empty_one_as_all():
    shares = up_shares([0, 1, 1, 1, 3], [-20.0, -1.0, 0.0, 2.0, 40.0], 4)
    assert shares.tolist() == pytest.approx([0.0, 2 / 3, 3 / 5, 1.0])
    assert direction_log_losses(np.array([[0.0, 1.0, 0.0, 0.0]]), shares, [3.0]) == pytest.approx([-np.log(2 / 3)])
    assert np.isfinite(direction_log_losses(np.eye(4)[[0]], shares, [3.0])).all()
