"""From parameters to torch's optimisers, with the groups of weights that decay."""

from typing import Any

import torch
from torch import nn

from trademl_assets.models.network import Network
from trademl_assets.training.optimiser_parameters import AdamParameters, OptimiserParameters, SgdParameters


def build_optimiser(network: Network, stated: OptimiserParameters, *, unscales: bool) -> torch.optim.Optimizer:
    """Make the optimiser of a network: decay on matrices, another on those of the context, none on the rest.

    Args:
        network: Whose weights are moved.
        stated: Kind, rates and decay.
        unscales: Whether gradients are scaled for half precision; a fused kernel would take the scale out only after
            they were bounded, so none is used then.
    """
    groups = _groups(network, stated)
    fused = stated.fused and not unscales
    match stated:
        case SgdParameters():
            return torch.optim.SGD(
                groups, lr=stated.learning_rate, momentum=stated.momentum, nesterov=stated.nesterov, fused=fused or None
            )
        case AdamParameters():
            make = torch.optim.AdamW if stated.kind == "adamw" else torch.optim.Adam
            return make(
                groups, lr=stated.learning_rate, betas=stated.betas, eps=stated.epsilon, fused=True if fused else None
            )


def _groups(network: Network, stated: OptimiserParameters) -> list[dict[str, Any]]:
    context = {id(parameter) for parameter in network.context_parameters()}
    matrices: list[nn.Parameter] = [p for p in network.parameters() if p.ndim > 1]
    return [
        {"params": [p for p in matrices if id(p) not in context], "weight_decay": stated.weight_decay},
        {"params": [p for p in matrices if id(p) in context], "weight_decay": stated.context_weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
