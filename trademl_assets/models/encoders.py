"""The shared encoder: every step is encoded once, patches of steps become tokens, tokens are read recurrently."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.parameters import Activation, HistoryParameters, PatchParameters

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: Activation) -> nn.Module:
    """Return an activation by name."""
    return _ACTIVATIONS[name]()


class PatchEncoder(nn.Module):
    """From step features to tokens.

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
        self.step = nn.Sequential(nn.Linear(read, parameters.step_width), activation(parameters.step_activation))
        self.pools_mean = parameters.pooling == "mean"
        pooled = self.groups * parameters.step_width * (1 if self.pools_mean else parameters.steps)
        self.token = nn.Sequential(
            nn.Linear(pooled, parameters.token_width),
            nn.LayerNorm(parameters.token_width) if parameters.token_norm else nn.Identity(),
            activation(parameters.token_activation),
            nn.Dropout(parameters.dropout),
        )

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (V, n, token width): the tokens of every view, in time order."""
        encoded = self.step(batch.steps.reshape(*batch.steps.shape[:2], self.groups, -1)).flatten(2)
        patches = cut_patches(encoded, batch, self.steps)
        tokens: Tensor = self.token(patches.mean(dim=2) if self.pools_mean else patches.flatten(2))
        return tokens


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


class RecurrentHistory(nn.Module):
    """An LSTM over tokens: one state for every decision.

    Args:
        token_width: Width of a token.
        window_tokens: Tokens that a decision reads with `window`.
        parameters: Kind and size.
    """

    def __init__(self, token_width: int, window_tokens: int, parameters: HistoryParameters) -> None:
        super().__init__()
        self.anchored = parameters.kind == "anchored"
        self.window_tokens = window_tokens
        self.lstm = nn.LSTM(token_width, parameters.width, parameters.layers, batch_first=True)
        self.dropout = nn.Dropout(parameters.dropout)
        forget = slice(parameters.width, 2 * parameters.width)  # torch stacks input, forget, cell and output gates
        with torch.no_grad():
            for layer in range(parameters.layers):
                getattr(self.lstm, f"bias_ih_l{layer}")[forget] = parameters.initial_forget_bias
                getattr(self.lstm, f"bias_hh_l{layer}")[forget] = 0.0

    def forward(self, tokens: Tensor, batch: SegmentBatch) -> Tensor:
        """Return (N, width) states of decisions from (V, n, token width) tokens.

        A decision before the first whole patch of an anchored view has the initial state, which is zero.
        """
        if self.anchored:
            outputs, _ = self.lstm(tokens)
            from_start = nn.functional.pad(outputs, (0, 0, 1, 0))
            states = from_start[batch.decision_view, batch.decision_patches]
        else:
            offsets = torch.arange(-self.window_tokens, 0, device=tokens.device)
            positions = batch.decision_patches[:, None] + offsets
            outputs, _ = self.lstm(tokens[batch.decision_view[:, None], positions])
            states = outputs[:, -1]
        dropped: Tensor = self.dropout(states)
        return dropped
