"""What weight matrices begin with, what they add to the loss and what holds them after each step."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial

import torch
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.layer_parameters import InitialiserRule, MaxNorm, RegularisationRule, UnitNorm

_INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "he_uniform": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "he_normal": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "lecun_normal": partial(nn.init.kaiming_normal_, nonlinearity="linear"),
    "orthogonal": nn.init.orthogonal_,
    "normal": nn.init.normal_,
    "uniform": partial(nn.init.uniform_, a=-1.0, b=1.0),
    "zeros": nn.init.zeros_,
}


def initialise(network: nn.Module, rules: Sequence[InitialiserRule]) -> None:
    """Draw weight matrices anew from torch's global random state; a later rule overwrites an earlier one.

    Raises:
        ConfigError: A rule fits no matrix.
    """
    gates = _gates(network)
    with torch.no_grad():
        for rule in rules:
            for name in _matching(network, rule.weights):
                for part in network.get_parameter(name).chunk(gates.get(name, 1)):
                    _INITIALISERS[rule.kind](part)
                    part.mul_(rule.gain)


class WeightRules:
    """Penalties and constraints of a network's weight matrices.

    Args:
        network: The network, whose names are looked up once.
        rules: What is asked of them.

    Raises:
        ConfigError: A rule fits no matrix.
    """

    def __init__(self, network: nn.Module, rules: Sequence[RegularisationRule]) -> None:
        self._rules = [(rule, _matching(network, rule.weights)) for rule in rules]

    def penalty(self, network: nn.Module) -> Tensor | None:
        """Return what the matrices add to the loss; None without a penalty."""
        terms = []
        for rule, names in self._rules:
            for weight in (network.get_parameter(name) for name in names):
                if rule.l1:
                    terms.append(rule.l1 * weight.abs().sum())
                if rule.l2:
                    terms.append(rule.l2 * weight.square().sum())
        return torch.stack(terms).sum() if terms else None

    @torch.no_grad()
    def constrain(self, network: nn.Module) -> None:
        """Bring the weights into each unit to the length that is asked of them; those of length zero stay."""
        for rule, names in self._rules:
            if rule.norm is not None:
                for name in names:
                    weight = network.get_parameter(name)
                    weight.mul_(_factor(weight, rule.norm))


def _factor(weight: Tensor, norm: MaxNorm | UnitNorm) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)
    length = length.clamp(min=torch.finfo(weight.dtype).tiny)
    return (norm.limit / length).clamp(max=1.0) if isinstance(norm, MaxNorm) else 1.0 / length


def _matching(network: nn.Module, pattern: str) -> list[str]:
    matrices = [name for name, weight in network.named_parameters() if weight.ndim > 1]
    found = [name for name in matrices if fnmatchcase(name, pattern)]
    if not found:
        raise ConfigError(f"{pattern!r} fits no weight matrix of the network -> choose among {', '.join(matrices)}")
    return found


def _gates(network: nn.Module) -> dict[str, int]:
    """Number of gates stacked in each matrix of a recurrent layer."""
    return {
        f"{prefix}.{name}": weight.shape[0] // layer.hidden_size
        for prefix, layer in network.named_modules()
        if isinstance(layer, nn.RNNBase)
        for name, weight in layer.named_parameters()
        if weight.ndim > 1
    }
