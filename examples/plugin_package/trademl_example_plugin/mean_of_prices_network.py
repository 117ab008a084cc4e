"""The network of `mean_of_prices`."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trademl_assets.models.inputs import ModelInputs, StreamInput
from trademl_assets.models.network import Network, SegmentBatch
from trademl_example_plugin.mean_of_prices import MeanOfPricesParameters


class ScaledStreams:
    """Streams side by side, each centred and scaled as the dataset was fitted."""

    def __init__(self, streams: Mapping[str, StreamInput]) -> None:
        self.streams = tuple(streams)
        self.width = sum(len(stream.columns) for stream in streams.values())
        self._inputs = streams

    def identity(self) -> str:
        """Name all that the values follow from but the raw streams; "v1" is raised where this code gives others."""
        stated = [(name, stream.shape, stream.columns, stream.clip) for name, stream in self._inputs.items()]
        numbers = b"".join(stream.center.tobytes() + stream.scale.tobytes() for stream in self._inputs.values())
        return hashlib.sha256(f"mean_of_prices v1 {stated}".encode() + numbers).hexdigest()

    def __call__(self, raw: dict[str, Tensor]) -> Tensor:
        """Return (T, width) float32."""
        return torch.cat([_scaled(raw[name], stream) for name, stream in self._inputs.items()], dim=1)


class MeanOfPrices(Network):
    """Class logits from the mean of the last steps."""

    def __init__(self, parameters: MeanOfPricesParameters, inputs: ModelInputs) -> None:
        super().__init__()
        self.streams = parameters.streams
        self.step_features = ScaledStreams({name: inputs.stream(name) for name in self.streams})
        self.targets, self.horizons_seconds = inputs.targets[:1], inputs.horizons_seconds[:1]
        self.patch_steps = self.window_steps = parameters.steps
        self.layer = nn.Linear(self.step_features.width, inputs.classes)

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (N, C) logits."""
        segment = torch.tensor(batch.view_segment, device=batch.steps.device)[batch.decision_view]
        phase = torch.tensor(batch.view_phase, device=batch.steps.device)[batch.decision_view]
        first = phase + 1 + (batch.decision_patches - 1) * self.patch_steps
        positions = first[:, None] + torch.arange(self.patch_steps, device=batch.steps.device)
        logits: Tensor = self.layer(batch.steps[segment[:, None], positions].mean(dim=1))
        return logits


def build(parameters: MeanOfPricesParameters, inputs: ModelInputs) -> MeanOfPrices:
    """Build the network with fresh weights from torch's global random state."""
    return MeanOfPrices(parameters, inputs)


def _scaled(values: Tensor, stream: StreamInput) -> Tensor:
    center, scale = torch.from_numpy(stream.center), torch.from_numpy(stream.scale)
    return ((values - center) / scale).clamp(-stream.clip, stream.clip)
