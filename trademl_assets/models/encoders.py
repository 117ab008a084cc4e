"""The shared encoder: every step is encoded once, patches of steps become tokens."""

import torch
from torch import Tensor, nn

from trademl_assets.models.activations import activation
from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.short_term_parameters import (
    ConvolutionLayer,
    PatchParameters,
    StridedConvolutionParameters,
    TokenParameters,
)
from trademl_assets.models.step_products import StepLinear, as_read


class PatchEncoder(nn.Module):
    """From step features to tokens by dense layers.

    Args:
        instruments: Number of instruments A.
        features: Width F of an instrument's features at a step.
        parameters: Patch, widths, pooling.
    """

    def __init__(self, instruments: int, features: int, parameters: PatchParameters) -> None:
        super().__init__()
        self.steps = parameters.steps
        self.groups = instruments if parameters.shared_by_instruments else 1
        read = features if parameters.shared_by_instruments else instruments * features
        self.step = nn.Sequential(StepLinear(read, parameters.step_width), activation(parameters.step_activation))
        self.pools_mean = parameters.pooling == "mean"
        pooled = self.groups * parameters.step_width * (1 if self.pools_mean else parameters.steps)
        self.token = _token_layers(pooled, parameters)

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (V, n, token width): the tokens of every view, in time order."""
        encoded = self.step(batch.steps.reshape(*batch.steps.shape[:2], self.groups, -1)).flatten(2)
        patches = cut_patches(encoded, batch, self.steps)
        tokens: Tensor = self.token(patches.mean(dim=2) if self.pools_mean else patches.flatten(2))
        return tokens


class StridedConvolutionEncoder(nn.Module):
    """From step features to tokens by convolutions within each patch.

    The features of a step are the channels: those of one instrument where weights are shared, else of all of them, so
    that the first kernel reads across instruments.

    Args:
        instruments: Number of instruments A.
        features: Width F of an instrument's features at a step.
        parameters: Convolutions and token.
    """

    def __init__(self, instruments: int, features: int, parameters: StridedConvolutionParameters) -> None:
        super().__init__()
        self.steps = parameters.patch_steps
        self.groups = instruments if parameters.shared_by_instruments else 1
        channels = features if parameters.shared_by_instruments else instruments * features
        layers: list[nn.Module] = []
        for layer in parameters.layers:
            layers += [
                nn.ConstantPad1d(_padding(layer), 0.0),
                nn.Conv1d(channels, layer.channels, layer.kernel_steps, layer.stride_steps),
                activation(parameters.activation),
            ]
            channels = layer.channels
        self.convolutions = nn.Sequential(*layers)
        self.token = _token_layers(self.groups * channels, parameters)

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (V, n, token width): the tokens of every view, in time order."""
        patches = cut_patches(as_read(batch.steps), batch, self.steps)
        views, count = patches.shape[:2]
        by_group = patches.reshape(views * count, self.steps, self.groups, -1).permute(0, 2, 3, 1).flatten(0, 1)
        tokens: Tensor = self.token(self.convolutions(by_group).reshape(views, count, -1))
        return tokens


def build_encoder(
    instruments: int, features: int, parameters: PatchParameters | StridedConvolutionParameters
) -> PatchEncoder | StridedConvolutionEncoder:
    """Return the encoder that the parameters name."""
    if isinstance(parameters, StridedConvolutionParameters):
        return StridedConvolutionEncoder(instruments, features, parameters)
    return PatchEncoder(instruments, features, parameters)


def cut_patches(values: Tensor, batch: SegmentBatch, steps: int) -> Tensor:
    """Cut (B, L, width) values of steps into the (V, n, steps, width) patches of the views, zeros behind the last."""
    patches = (values.shape[1] - 1) // steps
    views = []
    for segment, phase in zip(batch.view_segment, batch.view_phase, strict=True):
        covered = values[segment, phase + 1 : phase + 1 + patches * steps]
        whole = covered.shape[0] // steps
        view = covered[: whole * steps].reshape(whole, steps, -1)
        views.append(nn.functional.pad(view, (0, 0, 0, 0, 0, patches - whole)))
    return torch.stack(views)


def _token_layers(width: int, parameters: TokenParameters) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, parameters.token_width),
        nn.LayerNorm(parameters.token_width) if parameters.token_norm else nn.Identity(),
        activation(parameters.token_activation),
        nn.Dropout(parameters.dropout),
    )


def _padding(layer: ConvolutionLayer) -> tuple[int, int]:
    """Zeros before and behind a patch, so that its length is divided by the stride exactly."""
    missing = layer.kernel_steps - layer.stride_steps
    return (missing - missing // 2, missing // 2)
