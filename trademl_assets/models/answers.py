"""Which labels of a dataset a network forecasts, and how one state serves several instruments and horizons."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.parameters import AnswerParameters


class Asked(NamedTuple):
    """What (N,) decisions ask for: positions of their pair of target and horizon, of the target and of the horizon."""

    label: Tensor
    target: Tensor
    horizon: Tensor


class Answers:
    """The labels that a network forecasts.

    Args:
        inputs: The dataset.
        parameters: Which of its targets and horizons.
    """

    def __init__(self, inputs: ModelInputs, parameters: AnswerParameters) -> None:
        self.targets = inputs.targets if parameters.targets == "all" else inputs.targets[:1]
        self.horizons_seconds = inputs.horizons_seconds if parameters.horizons == "all" else inputs.horizons_seconds[:1]
        self.classes = inputs.classes
        self._edges = inputs.edges_bps

    @property
    def count(self) -> int:
        """Pairs of target and horizon."""
        return len(self.targets) * len(self.horizons_seconds)

    def edges_bps(self) -> Tensor | None:
        """Return (count, C - 1) float64 class edges, all horizons of a target, then the next's; None without any."""
        if self._edges is None:
            return None
        chosen = [each[: len(self.horizons_seconds)] for each in self._edges[: len(self.targets)]]
        return torch.tensor(chosen, dtype=torch.float64).flatten(0, 1)

    def asked(self, batch: SegmentBatch) -> Asked | None:
        """Return what the decisions ask for; None where there is one answer only."""
        if self.count == 1:
            return None
        label = batch.decision_target * len(self.horizons_seconds) + batch.decision_horizon
        return Asked(label, batch.decision_target, batch.decision_horizon)


class TargetGate(nn.Module):
    """Scales and shifts a state by the embedding of the instrument that is asked for (Perez et al. 2018, FiLM).

    It begins as the identity, so that all instruments begin alike.

    Args:
        targets: Number of instruments.
        embedding_width: Width of their embedding.
        width: Width of the state.
    """

    def __init__(self, targets: int, embedding_width: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(targets, embedding_width)
        self.layer = nn.Linear(embedding_width, 2 * width)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, state: Tensor, target: Tensor) -> Tensor:
        """Return (N, width) of the same, for (N,) positions of instruments."""
        scale, shift = self.layer(self.embedding(target)).chunk(2, dim=1)
        gated: Tensor = state * (1 + scale) + shift
        return gated


class RelativeVolatility(nn.Module):
    """Log sigma relative to the class grid that is asked for, in bps where there is none.

    Args:
        answers: The labels that are forecast.
    """

    log_references: Tensor

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        edges = answers.edges_bps()
        references = [0.0] * answers.count if edges is None else [_log_reference(each) for each in edges.tolist()]
        self.register_buffer("log_references", torch.tensor(references), persistent=False)

    def forward(self, sigma_bps: Tensor, asked: Asked | None) -> Tensor:
        """Return (N, 1) for (N,) sigmas."""
        reference = self.log_references if asked is None else self.log_references[asked.label]
        relative: Tensor = torch.log(sigma_bps) - reference
        return relative[:, None]


def refuse_unanswered(inputs: ModelInputs, targets: tuple[str, ...]) -> None:
    """Refuse a network that forecasts fewer instruments than a pooled dataset labels.

    Raises:
        ConfigError: It leaves one out.
    """
    left_out = [name for name in inputs.targets if name not in targets]
    if left_out:
        raise ConfigError(
            f"the dataset pools labels of {', '.join(inputs.targets)}, and the model does not forecast "
            f"{', '.join(left_out)} -> write answers.targets: all, or a dataset with pooled_with: []"
        )


def _log_reference(edges: list[float]) -> float:
    """Log of the edges' root mean square."""
    square = sum(edge**2 for edge in edges) / len(edges)
    return 0.5 * math.log(square) if square > 0 else 0.0
