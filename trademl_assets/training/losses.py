"""What a training minimises, of each sample, in nats."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.parameters import Loss

SampleLoss = Callable[[Network, SegmentBatch], Tensor]


def cross_entropy(network: Network, batch: SegmentBatch) -> Tensor:
    """(N,) negative log-probability of the class that came true."""
    return nn.functional.cross_entropy(network(batch), batch.labels, reduction="none")


def likelihood(network: Network, batch: SegmentBatch) -> Tensor:
    """(N,) negative log-density of the realised return in units of sigma."""
    return -network.log_density(batch)


def sample_loss(name: Loss, network: Network) -> SampleLoss:
    """Return the loss by name.

    Raises:
        ConfigError: The network has no density to take the likelihood of.
    """
    if name == "likelihood":
        if not network.has_density:
            raise ConfigError("loss: likelihood needs a head with a density -> choose head kind distribution")
        return likelihood
    return cross_entropy


def weighted_mean(losses: Tensor, batch: SegmentBatch, processes: int) -> Tensor:
    """Mean by weight over the whole step of optimisation, whose gradients are averaged over the processes."""
    return torch.sum(losses * batch.weights) * (processes / batch.total_weight)
