"""Which of a dataset's instruments a network reads: the columns of its streams, and their statistics."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs

_BY_INSTRUMENT = ("book", "price", "mask", "long_term")
"""Streams whose last axis holds all columns of one instrument, then the next's."""


class ReadInstruments:
    """The instruments that a network reads.

    Args:
        inputs: The dataset.
        names: Instruments, in any order; None reads all, as they stand.

    Raises:
        ConfigError: The dataset lacks one.
    """

    def __init__(self, inputs: ModelInputs, names: Sequence[str] | None) -> None:
        unknown = [name for name in names or () if name not in inputs.instruments]
        if unknown:
            raise ConfigError(
                f"the model reads the instruments {unknown}, the dataset has {list(inputs.instruments)} -> name some "
                "of those, or null for all"
            )
        self._columns: dict[str, Tensor] = {}
        self.inputs = inputs
        """What a network is told of them alone."""
        if names is None:
            return
        streams = dict(inputs.streams)
        for name in (name for name in _BY_INSTRUMENT if name in inputs.streams):
            fields = inputs.streams[name].shape[-1] // len(inputs.instruments)
            chosen = [fields * inputs.instruments.index(read) + field for read in names for field in range(fields)]
            streams[name] = inputs.streams[name].of_columns(chosen)
            self._columns[name] = torch.tensor(chosen)
        self.inputs = replace(inputs, streams=streams, instruments=tuple(names))

    def columns(self, stream: str) -> Tensor | None:
        """Return positions on the last axis of a stream; None where all are read."""
        return self._columns.get(stream)
