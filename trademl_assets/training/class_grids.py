"""Trains a network on the classes of another grid than its dataset's, and sums what it forecasts to the dataset's."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor

from trademl_assets.datasets.class_view import ClassGrid, cut_anew
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network
from trademl_assets.training.parameters import TrainingParameters


def with_chosen_classes(dataset: Dataset, training: TrainingParameters) -> tuple[Dataset, ClassGrid | None]:
    """Return the dataset as a network is trained on it, and the grid of its classes; None where they are its own.

    Raises:
        ConfigError: The grid does not fit the dataset's classes or its training rows.
    """
    if training.class_grid is None:
        return dataset, None
    return cut_anew(dataset, training.class_grid, training.class_grids[training.class_grid])


def refuse_unsummable(grid: ClassGrid | None, network: Network, where: str) -> None:
    """Refuse a network whose classes, those of the grid, do not make up the dataset's.

    One that forecasts the return itself says how likely any interval is, whatever it was trained on.

    Args:
        grid: The grid; None for none.
        network: The network.
        where: Its model and dataset.

    Raises:
        ConfigError: An edge of the dataset is none of the grid, and the network forecasts classes alone.
    """
    if grid is None or grid.holds_dataset_edges or network.has_density:
        return
    raise ConfigError(
        f"{where}: class grid {grid.name!r} has edges {_primary(grid.edges)}, which do not hold all of the dataset's, "
        f"{_primary(grid.dataset_edges)}, so that its classes cannot be summed to the dataset's -> add the edges that "
        "are missing, or choose head kind distribution, which says how likely any interval is"
    )


def summed(logits: Tensor, groups: Sequence[int] | None) -> Tensor:
    """(N, G) logits of groups of classes, from (N, C) of the classes: the logarithm of their summed probabilities.

    Args:
        logits: (N, C).
        groups: (C,) group of each class, ascending from 0; None, and where each is alone, leaves the bits as they are.
    """
    if groups is None or len(set(groups)) == len(groups):
        return logits
    of_groups, first = [], 0
    for _, members in groupby(groups):
        last = first + len(list(members))
        of_groups.append(torch.logsumexp(logits[:, first:last], dim=1))
        first = last
    return torch.stack(of_groups, dim=1)


def grouped(logits: Tensor, labels: Tensor, groups: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """Return (N, G) logits and (N,) labels of groups of classes, from those of the classes."""
    if groups is None:
        return logits, labels
    return summed(logits, groups), labels.new_tensor(groups)[labels]


def _primary(edges: Mapping[str, Mapping[str, tuple[float, ...]]]) -> list[float]:
    return list(next(iter(next(iter(edges.values())).values())))
