"""Losses and weights that are no numbers: noticed by all processes in the same step."""

from collections.abc import Iterable

import torch
from torch import Tensor

from trademl_assets.foundation.errors import TrainingError


class NotFiniteError(TrainingError):
    """A loss or a weight is not a number; the last good checkpoint may be tried again at a lower rate."""


def require_finite(value: Tensor, name: str, where: str, processes: int) -> None:
    """Refuse a value that is not a number in any process.

    Args:
        value: A scalar.
        name: What it is.
        where: Epoch and step.
        processes: Processes that train together; all of them must ask.

    Raises:
        NotFiniteError: It is not finite.
    """
    finite = here = torch.isfinite(value.detach())
    if processes > 1:
        everywhere = finite.to(torch.int32)
        torch.distributed.all_reduce(everywhere, op=torch.distributed.ReduceOp.MIN)
        finite = everywhere.bool()
    if not finite:
        found = "not a number in another process" if here else value.item()
        raise NotFiniteError(
            f"the {name} is {found} in {where} -> lower the learning rate or look for impossible values in the dataset"
        )


def all_finite(weights: Iterable[Tensor]) -> bool:
    """Tell whether all weights are numbers."""
    return all(bool(torch.isfinite(weight).all()) for weight in weights)
