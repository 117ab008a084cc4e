"""From the merged state to class logits."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.parameters import DistributionHead, SoftmaxHead


class Mixture(NamedTuple):
    """A mixture of K normals in units of sigma: (N, K) log weights, means and log scales."""

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor


class SoftmaxLogits(nn.Module):
    """One linear logit a class.

    Args:
        features: Width of the merged state.
        classes: Number of classes.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, state: Tensor, sigma_bps: Tensor) -> Tensor:  # noqa: ARG002 -- heads share one signature
        """Return (N, C) logits."""
        logits: Tensor = self.linear(state)
        return logits


class MixtureOverBoundaries(nn.Module):
    """A mixture of normals in units of the sample's sigma, integrated over the class boundaries.

    The logits are log-probabilities, so that the softmax leaves them as they are and a class grid can be changed
    without training anew.

    Args:
        features: Width of the merged state.
        boundaries_bps: Class edges.
        parameters: Components and bounds.
    """

    boundaries_bps: Tensor
    initial_log_scales: Tensor

    def __init__(self, features: int, boundaries_bps: tuple[float, ...], parameters: DistributionHead) -> None:
        super().__init__()
        self.components = parameters.components
        self.largest_log_scale = parameters.largest_log_scale
        spread = parameters.initial_log_scale_spread if parameters.components > 1 else 0.0
        self.register_buffer("boundaries_bps", torch.tensor(boundaries_bps, dtype=torch.float64))
        self.register_buffer("initial_log_scales", torch.linspace(-spread, spread, parameters.components))
        self.linear = nn.Linear(features, 3 * parameters.components)
        nn.init.normal_(self.linear.weight, std=0.1 / math.sqrt(features))
        nn.init.zeros_(self.linear.bias)

    def mixture(self, state: Tensor) -> Mixture:
        """Return the mixture of each sample."""
        weights, means, scales = self.linear(state).chunk(3, dim=1)
        bound = self.largest_log_scale
        log_scales = bound * torch.tanh((scales + self.initial_log_scales) / bound)
        return Mixture(torch.log_softmax(weights, dim=1), means, log_scales)

    def forward(self, state: Tensor, sigma_bps: Tensor) -> Tensor:
        """Return (N, C) float32 log-probabilities of the classes."""
        mixture = self.mixture(state)
        edges = self.boundaries_bps / sigma_bps.double().clamp(min=torch.finfo(torch.float32).tiny)[:, None]
        z = (edges[:, None, :] - mixture.means.double()[..., None]) * torch.exp(-mixture.log_scales.double())[..., None]
        below, above = torch.special.log_ndtr(z[..., :1]), torch.special.log_ndtr(-z[..., -1:])
        classes = torch.cat([below, log_normal_interval(z[..., :-1], z[..., 1:]), above], dim=-1)
        logits: Tensor = torch.logsumexp(mixture.log_weights.double()[..., None] + classes, dim=1).float()
        return logits

    def log_density(self, state: Tensor, returns: Tensor) -> Tensor:
        """Return (N,) log densities at (N,) returns in units of sigma."""
        mixture = self.mixture(state)
        z = (returns[:, None] - mixture.means) * torch.exp(-mixture.log_scales)
        normal = -0.5 * (z**2 + math.log(2 * math.pi)) - mixture.log_scales
        density: Tensor = torch.logsumexp(mixture.log_weights + normal, dim=1)
        return density


def log_normal_interval(low: Tensor, high: Tensor) -> Tensor:
    """Return log(Phi(high) - Phi(low)) for low < high without cancellation: computed in the tail that is smaller."""
    flip = low > 0
    a, b = torch.where(flip, -high, low), torch.where(flip, -low, high)
    upper: Tensor = torch.special.log_ndtr(b)
    interval: Tensor = upper + torch.log(-torch.expm1(torch.special.log_ndtr(a) - upper))
    return interval


def build_head(
    features: int, inputs: ModelInputs, parameters: SoftmaxHead | DistributionHead
) -> SoftmaxLogits | MixtureOverBoundaries:
    """Return the head that the parameters name.

    Raises:
        ConfigError: The classes are not intervals of the return, and a distribution of it shall fill them.
    """
    if isinstance(parameters, SoftmaxHead):
        return SoftmaxLogits(features, inputs.classes)
    if inputs.boundaries_bps is None:
        raise ConfigError(
            "the distribution head forecasts the return, and the dataset's classes are not cut by the return in bps -> "
            "choose the softmax head, or labels.kind price_classes with edges in bps"
        )
    return MixtureOverBoundaries(features, inputs.boundaries_bps, parameters)
