"""From the merged state to class logits."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.answers import Answers, Asked
from trademl_assets.models.parameters import DistributionHead, SoftmaxHead


class Mixture(NamedTuple):
    """A mixture of K normals in units of sigma: (N, K) log weights, means and log scales."""

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor


class OutputsByHorizon(nn.Module):
    """One linear layer whose outputs each horizon has for itself.

    Args:
        features: Width of the merged state.
        outputs: Outputs of one horizon.
        horizons: Number of horizons.
    """

    def __init__(self, features: int, outputs: int, horizons: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.linear = nn.Linear(features, horizons * outputs)

    def of(self, state: Tensor, asked: Asked | None) -> Tensor:
        """Return (N, outputs) of the horizon that each decision asks for; None asks for the first."""
        every: Tensor = self.linear(state)
        if asked is None:
            return every[:, : self.outputs]
        by_horizon = every.reshape(len(every), -1, self.outputs)
        return by_horizon[torch.arange(len(every), device=every.device), asked.horizon]


class SoftmaxLogits(OutputsByHorizon):
    """One linear logit a class.

    Args:
        features: Width of the merged state.
        classes: Number of classes.
        horizons: Number of horizons.
    """

    def __init__(self, features: int, classes: int, horizons: int = 1) -> None:
        super().__init__(features, classes, horizons)

    def forward(
        self,
        state: Tensor,
        sigma_bps: Tensor,  # noqa: ARG002 -- heads share one signature
        asked: Asked | None = None,
    ) -> Tensor:
        """Return (N, C) logits."""
        return self.of(state, asked)


class MixtureOverBoundaries(OutputsByHorizon):
    """A mixture of normals in units of the sample's sigma, integrated over the class boundaries.

    The logits are log-probabilities, so that the softmax leaves them as they are and a class grid can be changed
    without training anew. The sigma of a sample is that of its instrument over its horizon, which carries the root of
    time; each horizon has a mixture of its own, since a forecast's share of the spread fades with time.

    Args:
        features: Width of the merged state.
        edges_bps: (labels, C - 1) class edges of each pair of target and horizon.
        parameters: Components and bounds.
        horizons: Number of horizons.
    """

    boundaries_bps: Tensor
    initial_log_scales: Tensor

    def __init__(self, features: int, edges_bps: Tensor, parameters: DistributionHead, horizons: int = 1) -> None:
        super().__init__(features, 3 * parameters.components, horizons)
        self.components = parameters.components
        self.largest_log_scale = parameters.largest_log_scale
        spread = parameters.initial_log_scale_spread if parameters.components > 1 else 0.0
        self.register_buffer("boundaries_bps", edges_bps.double()[0] if len(edges_bps) == 1 else edges_bps.double())
        self.register_buffer("initial_log_scales", torch.linspace(-spread, spread, parameters.components))
        nn.init.normal_(self.linear.weight, std=0.1 / math.sqrt(features))
        nn.init.zeros_(self.linear.bias)

    def mixture(self, state: Tensor, asked: Asked | None = None) -> Mixture:
        """Return the mixture of each sample."""
        weights, means, scales = self.of(state, asked).chunk(3, dim=1)
        bound = self.largest_log_scale
        log_scales = bound * torch.tanh((scales + self.initial_log_scales) / bound)
        return Mixture(torch.log_softmax(weights, dim=1), means, log_scales)

    def forward(self, state: Tensor, sigma_bps: Tensor, asked: Asked | None = None) -> Tensor:
        """Return (N, C) float32 log-probabilities of the classes."""
        mixture = self.mixture(state, asked)
        boundaries = self.boundaries_bps if asked is None else self.boundaries_bps[asked.label]
        edges = boundaries / sigma_bps.double().clamp(min=torch.finfo(torch.float32).tiny)[:, None]
        z = (edges[:, None, :] - mixture.means.double()[..., None]) * torch.exp(-mixture.log_scales.double())[..., None]
        below, above = torch.special.log_ndtr(z[..., :1]), torch.special.log_ndtr(-z[..., -1:])
        classes = torch.cat([below, log_normal_interval(z[..., :-1], z[..., 1:]), above], dim=-1)
        logits: Tensor = torch.logsumexp(mixture.log_weights.double()[..., None] + classes, dim=1).float()
        return logits

    def log_density(self, state: Tensor, returns: Tensor, asked: Asked | None = None) -> Tensor:
        """Return (N,) log densities at (N,) returns in units of sigma."""
        mixture = self.mixture(state, asked)
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
    features: int, answers: Answers, parameters: SoftmaxHead | DistributionHead
) -> SoftmaxLogits | MixtureOverBoundaries:
    """Return the head that the parameters name.

    Raises:
        ConfigError: The classes are not intervals of the return, and a distribution of it shall fill them.
    """
    horizons = len(answers.horizons_seconds)
    if isinstance(parameters, SoftmaxHead):
        return SoftmaxLogits(features, answers.classes, horizons)
    edges = answers.edges_bps()
    if edges is None:
        raise ConfigError(
            "the distribution head forecasts the return, and the dataset's classes are not cut by the return in bps -> "
            "choose the softmax head, or labels.kind price_classes with edges in bps"
        )
    return MixtureOverBoundaries(features, edges, parameters, horizons)
