import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.loss_parameters import Loss, keeps_probabilities
from trademl_assets.training.losses import binary, fit_class_weights, focal, log_wrong, ranked, sample_loss
from trademl_assets_tests.models.examples import batch_of

CLASSES = 4
EXPECTED_LOSSES = {
    "cross_entropy": {"kind": "cross_entropy", "class_weights": None, "label_smoothing": 0.0},
    "smoothed": {"kind": "cross_entropy", "class_weights": None, "label_smoothing": 0.2},
    "focal": {"kind": "focal", "gamma": 2.0, "class_weights": None},
    "binary": {"kind": "binary"},
    "ranked": {"kind": "ranked", "cross_entropy_share": 0.0},
    "ranked_mixed": {"kind": "ranked", "cross_entropy_share": 0.5},
}


def loss_of(**stated: Any) -> Loss:
    found: Loss = TypeAdapter(Loss).validate_json(json.dumps(stated))
    return found


def drawn(seed: int, count: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, CLASSES, generator=generator)
    return logits, torch.randint(CLASSES, (count,), generator=generator)


class Fixed(Network):
    """Gives the same logits whatever it reads."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, batch: SegmentBatch) -> Tensor:  # noqa: ARG002 -- the signature of a network
        return self.logits


def losses(logits: Tensor, labels: Tensor, weights: tuple[float, ...] | None = None, **stated: Any) -> Tensor:
    network = Fixed(logits)
    batch = batch_of(torch.zeros(1, 1, 1), [(0, 0)], [(0, 1)] * len(labels))
    object.__setattr__(batch, "labels", labels)
    found: Tensor = sample_loss(loss_of(**stated), network, weights)(network, batch).detach()
    return found


def test_weighted_and_smoothed_cross_entropy_equals_the_formula() -> None:
    logits, labels = drawn(1)
    weights, smoothing = torch.tensor([0.5, 1.0, 2.0, 0.7]), 0.1
    logs = torch.log_softmax(logits, dim=1)
    expected = [
        -(1 - smoothing) * weights[label] * row[label] - smoothing / CLASSES * (weights * row).sum()
        for row, label in zip(logs, labels, strict=True)
    ]
    found = losses(
        logits, labels, tuple(weights.tolist()), kind="cross_entropy", class_weights=None, label_smoothing=smoothing
    )
    torch.testing.assert_close(found, torch.stack(expected))
    plain = losses(logits, labels, kind="cross_entropy", class_weights=None, label_smoothing=0.0)
    torch.testing.assert_close(plain, nn.functional.cross_entropy(logits, labels, reduction="none"))


def test_focal_loss_equals_the_papers_formula() -> None:
    logits, labels = drawn(2)
    right = torch.softmax(logits, dim=1)[torch.arange(len(labels)), labels]
    weights = torch.tensor([0.5, 1.0, 2.0, 0.7])
    expected = -weights[labels] * (1 - right) ** 1.5 * torch.log(right)
    found = losses(logits, labels, tuple(weights.tolist()), kind="focal", gamma=1.5, class_weights=None)
    torch.testing.assert_close(found, expected)


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits, labels = drawn(3)
    expected = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(focal(logits, labels, None, 0.0), expected)


def test_binary_loss_equals_torchs_on_each_class_against_the_rest() -> None:
    logits, labels = drawn(4)
    probabilities = torch.softmax(logits.double(), dim=1)
    of_class = torch.log(probabilities) - torch.log1p(-probabilities)
    targets = nn.functional.one_hot(labels, CLASSES).double()
    expected = nn.functional.binary_cross_entropy_with_logits(of_class, targets, reduction="none").mean(dim=1)
    torch.testing.assert_close(binary(logits.double(), labels), expected)


def test_binary_loss_of_two_classes_is_their_cross_entropy() -> None:
    logits, labels = torch.randn(9, 2), torch.randint(2, (9,))
    expected = nn.functional.binary_cross_entropy_with_logits(
        logits[:, 1] - logits[:, 0], labels.float(), reduction="none"
    )
    torch.testing.assert_close(binary(logits, labels), expected)


def test_ranked_loss_equals_the_score_by_hand() -> None:
    logits, labels = drawn(5)
    probabilities = torch.softmax(logits, dim=1).numpy()
    expected = [
        np.mean([(row[: edge + 1].sum() - float(label <= edge)) ** 2 for edge in range(CLASSES - 1)])
        for row, label in zip(probabilities, labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(ranked(logits, labels, 0.0).numpy(), expected, rtol=1e-5)
    plain = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(ranked(logits, labels, 0.3), 0.3 * plain + 0.7 * ranked(logits, labels, 0.0))
    torch.testing.assert_close(ranked(logits, labels, 1.0), plain)


def test_ranked_loss_grows_with_the_distance_of_a_miss() -> None:
    sure = torch.tensor([[20.0, 0.0, 0.0, 0.0]]).expand(CLASSES, -1)
    found = ranked(sure, torch.arange(CLASSES), 0.0)
    torch.testing.assert_close(found, torch.arange(CLASSES) / (CLASSES - 1), atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(sorted(EXPECTED_LOSSES)),
    st.lists(st.floats(0.02, 1), min_size=CLASSES, max_size=CLASSES),
    st.integers(0, 10_000),
)
def test_losses_that_keep_probabilities_are_least_at_the_true_ones(name: str, raw: list[float], seed: int) -> None:
    stated = EXPECTED_LOSSES[name]
    truth = torch.tensor(raw, dtype=torch.float64) / sum(raw)
    other = torch.softmax(torch.log(truth) + torch.from_numpy(np.random.default_rng(seed).normal(0, 0.5, CLASSES)), 0)

    def expected(forecast: Tensor) -> float:
        logits = torch.log(forecast).expand(CLASSES, -1)
        return float(losses(logits, torch.arange(CLASSES), **stated) @ truth)

    if keeps_probabilities(loss_of(**stated)):
        assert expected(truth) <= expected(other) + 1e-12
    else:
        moved = torch.softmax(0.9 * torch.log(truth), 0)  # towards evenness, where smoothing and focus lead
        assert expected(moved) <= expected(truth) + 1e-12


def test_class_weights_shift_the_optimum_by_their_log() -> None:
    truth, weights = torch.tensor([0.1, 0.2, 0.3, 0.4]), (2.0, 1.0, 0.5, 1.5)
    logits = nn.Parameter(torch.zeros(CLASSES))
    optimiser = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = (
            nn.functional.cross_entropy(
                logits.expand(CLASSES, -1), torch.arange(CLASSES), weight=torch.tensor(weights), reduction="none"
            )
            @ truth
        )
        loss.backward()
        return loss

    optimiser.step(closure)
    undone = torch.softmax(logits.detach() - torch.log(torch.tensor(weights)), dim=0)
    torch.testing.assert_close(undone, truth, atol=1e-3, rtol=0)


def test_balanced_class_weights_equal_scikit_learns_and_have_a_mean_of_one() -> None:
    labels = np.random.default_rng(1).choice(CLASSES, 500, p=[0.1, 0.2, 0.3, 0.4])
    stated = loss_of(kind="cross_entropy", class_weights="balanced", label_smoothing=0.0)
    found = fit_class_weights(stated, labels, np.ones(500), CLASSES)
    assert found is not None
    np.testing.assert_allclose(found, compute_class_weight("balanced", classes=np.arange(CLASSES), y=labels))
    sample = np.random.default_rng(2).uniform(0.1, 2, 500)
    numbers = fit_class_weights(loss_of(kind="focal", gamma=1.0, class_weights=[1, 2, 3, 4]), labels, sample, CLASSES)
    assert numbers is not None
    np.testing.assert_allclose(np.average(np.asarray(numbers)[labels], weights=sample), 1.0)
    np.testing.assert_allclose(np.asarray(numbers) / numbers[0], [1, 2, 3, 4])


def test_class_weights_that_do_not_fit_the_classes_are_refused() -> None:
    balanced = loss_of(kind="cross_entropy", class_weights="balanced", label_smoothing=0.0)
    with pytest.raises(ConfigError, match="class 2 of 3 has no training weight"):
        fit_class_weights(balanced, np.array([0, 1, 1]), np.ones(3), 3)
    three = loss_of(kind="cross_entropy", class_weights=[1, 2, 3], label_smoothing=0.0)
    with pytest.raises(ConfigError, match="3 class_weights for 4 classes"):
        fit_class_weights(three, np.array([0, 1, 2, 3]), np.ones(4), 4)
    assert fit_class_weights(loss_of(kind="binary"), np.array([0]), np.ones(1), 2) is None


@pytest.mark.parametrize("stated", EXPECTED_LOSSES.values(), ids=EXPECTED_LOSSES)
def test_losses_and_gradients_stay_finite_where_the_network_is_sure(stated: dict[str, Any]) -> None:
    logits = nn.Parameter(torch.tensor([[80.0, -80.0, 0.0, 1.0], [0.0, 0.0, 0.0, 200.0]]))
    for labels in (torch.tensor([0, 3]), torch.tensor([1, 0])):
        network = Fixed(logits.detach().clone())
        batch = batch_of(torch.zeros(1, 1, 1), [(0, 0)], [(0, 1)] * 2)
        object.__setattr__(batch, "labels", labels)
        found = sample_loss(loss_of(**stated), network)(network, batch)
        assert torch.isfinite(found).all()
        found.sum().backward()
        assert network.logits.grad is not None
        assert torch.isfinite(network.logits.grad).all()


def test_one_minus_a_probability_keeps_its_digits() -> None:
    logits = torch.tensor([[60.0, 0.0, 1.0, -3.0]])
    exact = torch.log1p(-torch.softmax(logits.double(), dim=1))
    torch.testing.assert_close(log_wrong(logits)[:, 1:], exact.float()[:, 1:])
    assert float(log_wrong(logits)[0, 0]) == pytest.approx(float(torch.logsumexp(logits[0, 1:], 0)) - 60)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="does not match any of the expected tags"):
        loss_of(kind="hinge")
