"""Losses of whole networks and steps, each against a library that knows nothing of torch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.metrics import log_loss

from trademl_assets.models.dual_channel import DualChannel
from trademl_assets.models.heads import MixtureOverBoundaries
from trademl_assets.models.network import SegmentBatch
from trademl_assets.training.losses import sample_loss, weighted_mean
from trademl_assets_tests.models.examples import batch_of, network, pooled_inputs, raw_streams
from trademl_assets_tests.training.test_losses import loss_of

ALL = {"horizons": "all", "targets": "all", "target_embedding_width": 2}
PLACES = [(0, 9), (0, 14), (1, 10), (1, 12), (0, 18)]


def case(**changes: Any) -> tuple[DualChannel, SegmentBatch]:
    """A network and decisions of unequal weights, of both targets over both horizons."""
    made = network(3, pooled_inputs(), answers=ALL, **changes)
    with torch.no_grad():
        steps = torch.stack([made.step_features(raw_streams(101, seed)) for seed in (1, 2)])
        made.head.linear.weight.normal_(std=0.5)
    batch = batch_of(steps, [(0, 0), (1, 2)], PLACES)
    weights = torch.tensor([0.3, 2.0, 1.0, 0.7, 1.4])
    asked = {"decision_target": torch.tensor([0, 1, 1, 0, 1]), "decision_horizon": torch.tensor([0, 0, 1, 1, 0])}
    return made, replace(batch, **asked, weights=weights, total_weight=float(weights.sum()))


def test_the_likelihood_is_that_of_the_return_in_units_of_its_own_sigma() -> None:
    made, batch = case()
    with torch.no_grad():
        found = sample_loss(loss_of(kind="likelihood"), made)(made, batch).numpy()
        assert isinstance(made.head, MixtureOverBoundaries)
        mixture = made.head.mixture(made.merged(batch), made.answers.asked(batch))
    weights, means, scales = (each.double().numpy() for each in mixture)
    returns = (batch.returns_bps.double() / batch.sigma_bps.double()).numpy()
    densities = norm.logpdf(returns[:, None], means, np.exp(scales))
    np.testing.assert_allclose(found, -logsumexp(weights + densities, axis=1), rtol=1e-4)


@pytest.mark.parametrize("head", [{"kind": "softmax"}, None], ids=["softmax", "distribution"])
def test_a_step_is_the_mean_by_sample_and_class_weights(head: dict[str, str] | None) -> None:
    made, batch = case(**({} if head is None else {"head": head}))
    of_classes = (0.5, 1.0, 2.0, 0.7, 3.0, 1.5)
    with torch.no_grad():
        stated = loss_of(kind="cross_entropy", class_weights=None, label_smoothing=0.0)
        found = float(weighted_mean(sample_loss(stated, made, of_classes)(made, batch), batch, 1))
        probabilities = torch.softmax(made(batch).double(), dim=1).numpy()
    labels, sample = batch.labels.numpy(), batch.weights.double().numpy()
    both = sample * np.asarray(of_classes)[labels]
    expected = log_loss(labels, probabilities, sample_weight=both, labels=range(6)) * both.sum() / sample.sum()
    assert found == pytest.approx(expected, rel=1e-5)
    unweighted = log_loss(labels, probabilities, labels=range(6))
    assert abs(found - unweighted) > 0.01


def test_shares_of_a_step_add_up_to_it() -> None:
    made, batch = case()
    losses = sample_loss(loss_of(kind="focal", gamma=1.5, class_weights=None), made)
    with torch.no_grad():
        of_each = losses(made, batch)
        whole = weighted_mean(of_each, batch, 1)
        shares = [weighted_mean(of_each[of], replace(batch, weights=batch.weights[of]), 3) for of in
                  (slice(0, 2), slice(2, 3), slice(3, 5))]  # fmt: skip
    torch.testing.assert_close(torch.stack(shares).mean(), whole)
