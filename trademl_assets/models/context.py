"""What hardly changes within a day: a narrow way into the merge for the clock and the long-term summary."""

import torch
from torch import Tensor, nn

from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.long_term import LongTermChannel
from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.parameters import DualChannelParameters


class Context(nn.Module):
    """Clock and long-term channel, joined by one narrow layer that begins at zero.

    A training of few days has few examples of whole days, so the layer is kept small, dropped out and given a decay of
    its own; what it has to say must be worth more than that.

    Args:
        read: The instruments that are read, with streams and statistics.
        parameters: Which of clock and long term are read; `context` must be given.

    Raises:
        ConfigError: The dataset lacks a stream, or the look-back is too short for the kernels.
    """

    def __init__(self, read: ReadInstruments, parameters: DualChannelParameters) -> None:
        super().__init__()
        assert parameters.context is not None  # noqa: S101 -- the parameters' own rule
        self.reads_clock = parameters.clock
        self.long_term = None if parameters.long_term is None else LongTermChannel(read, parameters.long_term)
        clock = read.inputs.stream("clock").shape[-1] if parameters.clock else 0
        summary = 0 if parameters.long_term is None else parameters.long_term.width
        self.width = parameters.context.width
        self.layer = nn.Linear(clock + summary, self.width, bias=False)
        nn.init.zeros_(self.layer.weight)
        self.dropout = nn.Dropout(parameters.context.dropout)

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (N, width)."""
        parts: list[Tensor] = []
        if self.long_term is not None and batch.days is not None:
            parts.append(self.long_term(batch.days)[batch.decision_day])
        if self.reads_clock and batch.clock is not None:
            parts.append(batch.clock)
        context: Tensor = self.dropout(self.layer(torch.cat(parts, dim=1)))
        return context
