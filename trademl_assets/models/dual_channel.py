"""The dual-channel network: books and prices of a day at full resolution, daily vectors of months, and the clock.

Short term: streams, step features, patches, tokens, history. Long term: daily vectors, convolutions over days. Both
states, the clock and the trailing volatility at the decision are merged, and a head makes class logits of them.
"""

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.activations import activation
from trademl_assets.models.answers import Answers, RelativeVolatility, TargetGate
from trademl_assets.models.context import Context
from trademl_assets.models.encoders import build_encoder
from trademl_assets.models.heads import MixtureOverBoundaries, build_head
from trademl_assets.models.histories import build_history
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.mirror import Mirror, symmetric_inputs
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

    reads_steps_in_products = True
    takes_half_steps = True

    def __init__(self, parameters: DualChannelParameters, inputs: ModelInputs) -> None:
        super().__init__()
        self.streams = parameters.streams
        read = ReadInstruments(symmetric_inputs(inputs) if parameters.mirrored else inputs, parameters.instruments)
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
        self.answers = answers = Answers(inputs, parameters.answers)
        self.targets, self.horizons_seconds = answers.targets, answers.horizons_seconds
        self.mirror = Mirror(self.step_features, read, answers) if parameters.mirrored else None
        self.history = build_history(
            parameters.encoder.token_width,
            lookback // self.patch_steps,
            parameters.history,
            several_answers=answers.count > 1,
        )
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
        self.head = build_head(width, answers, parameters.head)
        self.has_density = isinstance(self.head, MixtureOverBoundaries)
        self.relative_volatility = RelativeVolatility(answers)
        embedding = parameters.answers.target_embedding_width
        self.gate = None if embedding is None else TargetGate(len(self.targets), embedding, parameters.history.width)
        initialise(self, parameters.initialisers)
        self._rules = WeightRules(self, parameters.regularisation)
        self.constrain()

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (N, C) logits."""
        logits: Tensor = self.head(self.merged(batch), batch.sigma_bps, self.answers.asked(batch))
        return logits

    def log_density(self, batch: SegmentBatch) -> Tensor:
        """Return (N,) log densities of the realised returns in units of sigma."""
        assert isinstance(self.head, MixtureOverBoundaries)  # noqa: S101 -- `has_density` was asked before
        return self.head.log_density(self.merged(batch), batch.returns_bps / batch.sigma_bps, self.answers.asked(batch))

    def merged(self, batch: SegmentBatch) -> Tensor:
        """Return (N, width) merged states, what the head reads."""
        state, asked = self.history(self.encoder(batch), batch), self.answers.asked(batch)
        if self.gate is not None:
            state = self.gate(state, batch.decision_target)
        parts = [state, self.relative_volatility(batch.sigma_bps, asked)]
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


def build_dual_channel(parameters: DualChannelParameters, inputs: ModelInputs) -> DualChannel:
    """Build the network with fresh weights from torch's global random state."""
    return DualChannel(parameters, inputs)
