"""The dual-channel network: books and prices of a day at full resolution, daily vectors of months, and the clock.

Short term: streams, step features, patches, tokens, history. Long term: daily vectors, convolutions over days. Both
states, the clock and the trailing volatility at the decision are merged, and a head makes class logits of them.
"""

import math

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.activations import activation
from trademl_assets.models.context import Context
from trademl_assets.models.encoders import build_encoder
from trademl_assets.models.heads import MixtureOverBoundaries, build_head
from trademl_assets.models.histories import build_history
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.models.parameters import DualChannelParameters
from trademl_assets.models.step_features import StepFeatures
from trademl_assets.models.weight_rules import WeightRules, initialise


class DualChannel(Network):
    """The network.

    Args:
        parameters: Its shape.
        inputs: The dataset it reads.

    Raises:
        ConfigError: The parameters do not fit the dataset.
    """

    def __init__(self, parameters: DualChannelParameters, inputs: ModelInputs) -> None:
        super().__init__()
        self.streams = parameters.streams
        read = ReadInstruments(inputs, parameters.instruments)
        self.step_features = StepFeatures(read, parameters)
        self.patch_steps = parameters.encoder.patch_steps
        lookback = max(inputs.stream(name).lookback_steps for name in parameters.step_streams)
        if lookback % self.patch_steps:
            raise ConfigError(
                f"encoder: a patch of {self.patch_steps} steps does not divide the look-back of {lookback} steps -> "
                "change either"
            )
        self.encoder = build_encoder(
            self.step_features.instruments, self.step_features.instrument_width, parameters.encoder
        )
        self.history = build_history(parameters.encoder.token_width, lookback // self.patch_steps, parameters.history)
        window = self.history.window_tokens
        self.window_steps = None if window is None else window * self.patch_steps
        self.context = None if parameters.context is None else Context(read, parameters)
        width = parameters.history.width + 1 + (0 if self.context is None else self.context.width)
        layers: list[nn.Module] = []
        for wanted in parameters.merge.widths:
            layers += [
                nn.Linear(width, wanted),
                activation(parameters.merge.activation),
                nn.Dropout(parameters.merge.dropout),
            ]
            width = wanted
        self.merge = nn.Sequential(*layers)
        self.head = build_head(width, inputs, parameters.head)
        self.has_density = isinstance(self.head, MixtureOverBoundaries)
        self.log_reference_bps = _log_reference(inputs.boundaries_bps)
        initialise(self, parameters.initialisers)
        self._rules = WeightRules(self, parameters.regularisation)
        self.constrain()

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (N, C) logits."""
        logits: Tensor = self.head(self.merged(batch), batch.sigma_bps)
        return logits

    def log_density(self, batch: SegmentBatch) -> Tensor:
        """Return (N,) log densities of the realised returns in units of sigma."""
        assert isinstance(self.head, MixtureOverBoundaries)  # noqa: S101 -- `has_density` was asked before
        return self.head.log_density(self.merged(batch), batch.returns_bps / batch.sigma_bps)

    def merged(self, batch: SegmentBatch) -> Tensor:
        """Return (N, width) merged states, what the head reads."""
        parts = [
            self.history(self.encoder(batch), batch),
            (torch.log(batch.sigma_bps) - self.log_reference_bps)[:, None],
        ]
        if self.context is not None:
            parts.append(self.context(batch))
        merged: Tensor = self.merge(torch.cat(parts, dim=1))
        return merged

    def penalty(self) -> Tensor | None:
        """Return what the weights add to the loss; None without a penalty."""
        return self._rules.penalty(self)

    def constrain(self) -> None:
        """Bring the weights to what is asked of them."""
        self._rules.constrain(self)

    def context_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the context."""
        return [] if self.context is None else list(self.context.parameters())


def _log_reference(boundaries_bps: tuple[float, ...] | None) -> float:
    """Log of the boundaries' root mean square: sigma is read relative to the class grid, in bps where there is none."""
    if boundaries_bps is None:
        return 0.0
    square = sum(edge**2 for edge in boundaries_bps) / len(boundaries_bps)
    return 0.5 * math.log(square) if square > 0 else 0.0


def build_dual_channel(parameters: DualChannelParameters, inputs: ModelInputs) -> DualChannel:
    """Build the network with fresh weights from torch's global random state."""
    return DualChannel(parameters, inputs)
