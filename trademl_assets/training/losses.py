"""What a training minimises, of each sample."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.class_grids import grouped
from trademl_assets.training.loss_parameters import (
    BinaryLoss,
    CrossEntropyLoss,
    FocalLoss,
    LikelihoodLoss,
    Loss,
    RankedLoss,
    stated_class_weights,
)

SampleLoss = Callable[[Network, SegmentBatch], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None, label_smoothing: float) -> Tensor:
    """(N,) negative log-probability of the class that came true, times its class weight, in nats."""
    return nn.functional.cross_entropy(
        logits, labels, weight=class_weights, reduction="none", label_smoothing=label_smoothing
    )


def focal(logits: Tensor, labels: Tensor, class_weights: Tensor | None, gamma: float) -> Tensor:
    """(N,) cross entropy times (1 - p)^gamma of the probability p of the class that came true."""
    log_probabilities = torch.log_softmax(logits, dim=1)
    log_right = log_probabilities.gather(1, labels[:, None])[:, 0]
    wrong = log_wrong(logits).gather(1, labels[:, None])[:, 0]
    losses = -log_right * torch.exp(gamma * wrong)
    return losses if class_weights is None else losses * class_weights[labels]


def binary(logits: Tensor, labels: Tensor) -> Tensor:
    """(N,) mean over the classes of the binary cross entropy of each against the rest."""
    right, wrong = torch.log_softmax(logits, dim=1), log_wrong(logits)
    came_true = nn.functional.one_hot(labels, logits.shape[1]).bool()
    return -torch.where(came_true, right, wrong).mean(dim=1)


def ranked(logits: Tensor, labels: Tensor, cross_entropy_share: float) -> Tensor:
    """(N,) ranked probability score over the C - 1 edges of ordered classes, cross entropy mixed in."""
    edges = torch.arange(logits.shape[1] - 1, device=logits.device)
    below = (torch.arange(logits.shape[1], device=logits.device)[:, None] <= edges).to(logits.dtype)
    cumulative = torch.softmax(logits, dim=1) @ below  # a cumsum would not be deterministic on a GPU
    score = torch.square(cumulative - below[labels]).mean(dim=1)
    if cross_entropy_share == 0:
        return score
    mixed = cross_entropy_share * nn.functional.cross_entropy(logits, labels, reduction="none")
    return mixed + (1 - cross_entropy_share) * score


def log_wrong(logits: Tensor) -> Tensor:
    """(N, C) log of one minus each class's probability, from the other classes' logits, so that nothing cancels."""
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].masked_fill(own, -torch.inf)
    wrong: Tensor = torch.logsumexp(others, dim=2) - torch.logsumexp(logits, dim=1, keepdim=True)
    return wrong


def likelihood(network: Network, batch: SegmentBatch) -> Tensor:
    """(N,) negative log-density of the realised return in units of sigma."""
    return -network.log_density(batch)


def sample_loss(
    loss: Loss,
    network: Network,
    class_weights: tuple[float, ...] | None = None,
    groups: Sequence[int] | None = None,
) -> SampleLoss:
    """Return the loss that the parameters name.

    Args:
        loss: Its parameters.
        network: What it is taken of.
        class_weights: As `fit_class_weights` returned them.
        groups: (C,) class that each of the network's classes counts for; None where it is the same.

    Raises:
        ConfigError: The network has no density to take the likelihood of.
    """
    if isinstance(loss, LikelihoodLoss):
        if not network.has_density:
            raise ConfigError("loss: likelihood needs a head with a density -> choose head kind distribution")
        return likelihood
    of_logits = _of_logits(loss)

    def classified(network: Network, batch: SegmentBatch) -> Tensor:
        logits, labels = grouped(network(batch), batch.labels, groups)
        weights = None if class_weights is None else logits.new_tensor(class_weights)
        return of_logits(logits, labels, weights)

    return classified


def fit_class_weights(
    loss: Loss, labels: NDArray[np.int64], weights: NDArray[np.float64], classes: int
) -> tuple[float, ...] | None:
    """Return the class weights of a loss, scaled to a mean of one over the training weight; None where it has none.

    Args:
        loss: Parameters of the loss.
        labels: (N,) training classes.
        weights: (N,) their sample weights.
        classes: Number of classes C.

    Raises:
        ConfigError: There are not as many as classes, or a class without training weight shall be balanced.
    """
    stated = stated_class_weights(loss)
    if stated is None:
        return None
    share = np.bincount(labels, weights=weights, minlength=classes) / weights.sum()
    if stated == "balanced":
        if (share == 0).any():
            raise ConfigError(
                f"loss: class {int(np.argmin(share))} of {classes} has no training weight and cannot be balanced -> "
                "write class_weights as numbers, or cut the classes otherwise"
            )
        factors = 1.0 / share
    elif len(stated) != classes:
        raise ConfigError(f"loss: {len(stated)} class_weights for {classes} classes -> write one for each class")
    else:
        factors = np.asarray(stated)
    return tuple(float(factor) for factor in factors / (factors @ share))


def without_class_weights(logits: Tensor, class_weights: tuple[float, ...] | None) -> Tensor:
    """(…, C) logits from which the shift by the class weights is taken: a network so trained gives w * p for p."""
    return logits if class_weights is None else logits - torch.log(logits.new_tensor(class_weights))


def weighted_mean(losses: Tensor, batch: SegmentBatch, processes: int) -> Tensor:
    """Mean by weight over the whole step of optimisation, whose gradients are averaged over the processes."""
    return torch.sum(losses * batch.weights) * (processes / batch.total_weight)


def _of_logits(
    loss: CrossEntropyLoss | FocalLoss | BinaryLoss | RankedLoss,
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    match loss:
        case CrossEntropyLoss():
            return partial(cross_entropy, label_smoothing=loss.label_smoothing)
        case FocalLoss():
            return partial(focal, gamma=loss.gamma)
        case BinaryLoss():
            return lambda logits, labels, _weights: binary(logits, labels)
        case RankedLoss():
            share = loss.cross_entropy_share
            return lambda logits, labels, _weights: ranked(logits, labels, share)
