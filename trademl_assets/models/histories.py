"""From tokens to one state a decision: recurrently, by causal convolutions, or by moving averages."""

import math

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.activations import activation
from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.short_term_parameters import (
    CausalConvolutionParameters,
    MovingAverageParameters,
    RecurrentParameters,
)


class RecurrentHistory(nn.Module):
    """An LSTM over tokens: one state for every decision.

    Args:
        token_width: Width of a token.
        lookback_tokens: Tokens that a decision reads with `window`.
        parameters: Kind and size.
        several_answers: Whether several decisions may stand at one place, which is then read once.
    """

    def __init__(
        self, token_width: int, lookback_tokens: int, parameters: RecurrentParameters, *, several_answers: bool
    ) -> None:
        super().__init__()
        self.anchored = parameters.kind == "anchored"
        self.lookback_tokens = lookback_tokens
        self.several_answers = several_answers
        self.window_tokens = None if self.anchored else lookback_tokens
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
            states = self._windows(tokens, batch.decision_view, batch.decision_patches)
        dropped: Tensor = self.dropout(states)
        return dropped

    def _windows(self, tokens: Tensor, view: Tensor, patches: Tensor) -> Tensor:
        places, of_decision = torch.stack([view, patches], dim=1), None
        if self.several_answers:
            places, of_decision = torch.unique(places, dim=0, return_inverse=True)
        offsets = torch.arange(-self.lookback_tokens, 0, device=tokens.device)
        outputs, _ = self.lstm(tokens[places[:, :1], places[:, 1:] + offsets])
        states: Tensor = outputs[:, -1]
        return states if of_decision is None else states[of_decision]


class CausalBlock(nn.Module):
    """One dilated causal convolution around which its input passes unchanged.

    Args:
        parameters: Width, kernel, activation, dropout.
        dilation: Distance between the kernel's tokens.
    """

    def __init__(self, parameters: CausalConvolutionParameters, dilation: int) -> None:
        super().__init__()
        self.reach = (parameters.kernel_tokens - 1) * dilation
        self.convolution = nn.Conv1d(parameters.width, parameters.width, parameters.kernel_tokens, dilation=dilation)
        self.activation = activation(parameters.activation)
        self.dropout = nn.Dropout1d(parameters.block_dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Return (V, width, n) of the same; position j reads j - reach to j."""
        read = self.convolution(nn.functional.pad(values, (self.reach, 0)))
        passed: Tensor = values + self.dropout(self.activation(read))
        return passed


class ConvolutionalHistory(nn.Module):
    """Causal convolutions over tokens: one state for every decision, of exactly its receptive field.

    Args:
        token_width: Width of a token.
        lookback_tokens: Tokens of the look-back, which the receptive field must not exceed.
        parameters: Blocks.

    Raises:
        ConfigError: The receptive field exceeds the look-back.
    """

    def __init__(self, token_width: int, lookback_tokens: int, parameters: CausalConvolutionParameters) -> None:
        super().__init__()
        self.window_tokens = parameters.receptive_field
        if self.window_tokens > lookback_tokens:
            raise ConfigError(
                f"history: a kernel of {parameters.kernel_tokens} at dilations {list(parameters.dilations)} reads "
                f"{self.window_tokens} tokens, the look-back holds {lookback_tokens} -> leave out a dilation or "
                "lengthen the dataset's look-back"
            )
        self.enter = nn.Conv1d(token_width, parameters.width, 1)
        self.blocks = nn.Sequential(*(CausalBlock(parameters, dilation) for dilation in parameters.dilations))
        self.dropout = nn.Dropout(parameters.dropout)

    def forward(self, tokens: Tensor, batch: SegmentBatch) -> Tensor:
        """Return (N, width) states of decisions from (V, n, token width) tokens.

        Every decision must have `window_tokens` tokens behind it; what is padded before the first is then never read.
        """
        outputs = self.blocks(self.enter(tokens.transpose(1, 2))).transpose(1, 2)
        dropped: Tensor = self.dropout(outputs[batch.decision_view, batch.decision_patches - 1])
        return dropped


class AveragedHistory(nn.Module):
    """Exponential moving averages of tokens at several half-lives, mixed by one dense layer.

    What a linear filter with a few time constants knows, and little else that noise could be fitted with.

    Args:
        token_width: Width of a token.
        lookback_tokens: Tokens of the look-back, which the window must not exceed.
        parameters: Half-lives, window, width.

    Raises:
        ConfigError: The window exceeds the look-back.
    """

    def __init__(self, token_width: int, lookback_tokens: int, parameters: MovingAverageParameters) -> None:
        super().__init__()
        self.window_tokens = parameters.window_tokens
        if self.window_tokens > lookback_tokens:
            raise ConfigError(
                f"history: window_tokens is {self.window_tokens}, the look-back holds {lookback_tokens} -> shorten the "
                "window or lengthen the dataset's look-back"
            )
        half_lives = torch.tensor(parameters.half_life_tokens).log()[:, None].repeat(1, token_width)
        self.log_half_lives = nn.Parameter(half_lives.flatten(), requires_grad=parameters.learned)
        self.mix = nn.Linear(half_lives.numel(), parameters.width)
        self.dropout = nn.Dropout(parameters.dropout)

    def forward(self, tokens: Tensor, batch: SegmentBatch) -> Tensor:
        """Return (N, width) states of decisions from (V, n, token width) tokens.

        Every decision must have `window_tokens` tokens behind it; what is padded before the first is then never read.
        """
        averaged = self.averages(tokens)[batch.decision_view, batch.decision_patches - 1]
        mixed: Tensor = self.dropout(self.mix(averaged))
        return mixed

    def averages(self, tokens: Tensor) -> Tensor:
        """Return (V, n, half-lives * token width): position j averages the last `window_tokens` tokens up to j.

        A sum over twice as many tokens is that over the later half and the decayed one over the half before.
        """
        log_decay = -math.log(2) * torch.exp(-self.log_half_lives)
        summed, length = tokens.repeat(1, 1, len(log_decay) // tokens.shape[2]), 1
        while length < self.window_tokens:
            earlier = nn.functional.pad(summed[:, : max(summed.shape[1] - length, 0)], (0, 0, length, 0))
            summed = summed + torch.exp(length * log_decay) * earlier[:, : summed.shape[1]]
            length *= 2
        weight: Tensor = torch.expm1(log_decay) / torch.expm1(self.window_tokens * log_decay)
        return summed * weight


def build_history(
    token_width: int,
    lookback_tokens: int,
    parameters: RecurrentParameters | CausalConvolutionParameters | MovingAverageParameters,
    *,
    several_answers: bool,
) -> RecurrentHistory | ConvolutionalHistory | AveragedHistory:
    """Return the history that the parameters name.

    Raises:
        ConfigError: It reads more tokens than the look-back holds.
    """
    if isinstance(parameters, MovingAverageParameters):
        return AveragedHistory(token_width, lookback_tokens, parameters)
    if isinstance(parameters, CausalConvolutionParameters):
        return ConvolutionalHistory(token_width, lookback_tokens, parameters)
    return RecurrentHistory(token_width, lookback_tokens, parameters, several_answers=several_answers)
