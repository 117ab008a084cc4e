from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.activations import activation
from trademl_assets.models.layer_parameters import (
    Activation,
    InitialiserRule,
    MaxNorm,
    RegularisationRule,
    UnitNorm,
)
from trademl_assets.models.weight_rules import WeightRules, initialise
from trademl_assets_tests.models.examples import network

KINDS = [
    ("xavier_uniform", (2 / (300 + 200)) ** 0.5),
    ("xavier_normal", (2 / (300 + 200)) ** 0.5),
    ("he_uniform", (2 / 300) ** 0.5),
    ("he_normal", (2 / 300) ** 0.5),
    ("lecun_normal", (1 / 300) ** 0.5),
    ("orthogonal", (1 / 300) ** 0.5),
    ("normal", 1.0),
    ("uniform", 3**-0.5),
    ("zeros", 0.0),
]


def linear(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 4), nn.Conv1d(3, 5, 2), nn.Linear(300, 200))


def drawn(kind: Any, weights: str = "*", gain: float = 1.0) -> InitialiserRule:
    return InitialiserRule(weights=weights, kind=kind, gain=gain)


def rule(weights: str = "*", l1: float = 0.0, l2: float = 0.0, norm: MaxNorm | UnitNorm | None = None) -> Any:
    return RegularisationRule(weights=weights, l1=l1, l2=l2, norm=norm)


@pytest.mark.parametrize(("kind", "deviation"), KINDS)
def test_initialisers_have_the_spread_of_their_formula(kind: str, deviation: float) -> None:
    made = linear()
    bias = made[2].bias.clone()
    initialise(made, [drawn(kind, "2.*", gain=2.0)])
    assert float(made[2].weight.detach().std()) == pytest.approx(2 * deviation, rel=0.02)
    torch.testing.assert_close(made[2].bias, bias, atol=0, rtol=0)
    torch.testing.assert_close(made[0].weight, linear()[0].weight, atol=0, rtol=0)


def test_all_named_initialisers_are_tried() -> None:
    assert {kind for kind, _ in KINDS} == set(get_args(InitialiserRule.model_fields["kind"].annotation))


def test_orthogonal_rows_are_orthogonal_and_each_gate_by_itself() -> None:
    made = network(initialisers=[{"weights": "history.lstm.weight_hh_l0", "kind": "orthogonal", "gain": 1.0}])
    for gate in made.history.lstm.weight_hh_l0.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(9), atol=1e-5, rtol=0)
    forget = (made.history.lstm.bias_ih_l0 + made.history.lstm.bias_hh_l0)[9:18]
    assert (forget == 2.0).all()


def test_a_later_initialiser_overwrites_an_earlier_one() -> None:
    made = linear()
    initialise(made, [drawn("normal"), drawn("zeros", "1.*")])
    assert not made[1].weight.any()
    assert made[0].weight.any()


def test_penalties_are_sums_over_the_matrices_that_fit() -> None:
    made = linear()
    found = WeightRules(made, [rule("0.*", l1=0.1), rule("*", l2=0.01)]).penalty(made)
    squares = sum(float(weight.detach().square().sum()) for weight in made.parameters() if weight.ndim > 1)
    expected = 0.1 * float(made[0].weight.detach().abs().sum()) + 0.01 * squares
    assert found is not None
    assert float(found) == pytest.approx(expected, rel=1e-5)
    found.backward()
    torch.testing.assert_close(made[0].weight.grad, 0.1 * made[0].weight.sign() + 0.02 * made[0].weight)
    assert made[0].bias.grad is None
    assert WeightRules(made, [rule(norm=UnitNorm(kind="unit"))]).penalty(made) is None


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 5), st.integers(0, 99))
def test_max_norm_shortens_what_is_longer_and_leaves_the_rest(limit: float, seed: int) -> None:
    made = linear(seed)
    before = {name: weight.detach().clone() for name, weight in made.named_parameters()}
    rules = WeightRules(made, [rule(norm=MaxNorm(kind="max", limit=limit))])
    rules.constrain(made)
    for name, weight in made.named_parameters():
        old = before[name].flatten(1).numpy() if weight.ndim > 1 else before[name].numpy()
        if weight.ndim > 1:
            length = np.linalg.norm(old, axis=1, keepdims=True)
            old = np.where(length > limit, old / length * limit, old)
            np.testing.assert_allclose(weight.detach().flatten(1).numpy(), old, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_array_equal(weight.detach().numpy(), old)


def test_unit_norm_gives_the_weights_into_each_unit_length_one_and_leaves_zeros() -> None:
    made = linear()
    with torch.no_grad():
        made[0].weight[1] = 0
    rules = WeightRules(made, [rule("[01].*", norm=UnitNorm(kind="unit"))])
    rules.constrain(made)
    torch.testing.assert_close(made[0].weight.norm(dim=1), torch.tensor([1.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(made[1].weight.flatten(1).norm(dim=1), torch.ones(5))
    assert not torch.allclose(made[2].weight.norm(dim=1), torch.ones(200))


def test_a_rule_that_fits_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(
        ConfigError, match=r"'encodr\.\*' fits no weight matrix .* choose among .*encoder\.step\.0\.weight"
    ):
        network(regularisation=[{"weights": "encodr.*", "l1": 0.0, "l2": 0.1, "norm": None}])
    with pytest.raises(ConfigError, match="fits no weight matrix"):
        network(initialisers=[{"weights": "history.lstm.bias*", "kind": "zeros", "gain": 1.0}])


def test_the_network_begins_within_its_constraints_and_tells_its_penalty() -> None:
    rules = [{"weights": "encoder.*", "l1": 0.0, "l2": 0.5, "norm": {"kind": "max", "limit": 0.3}}]
    made = network(regularisation=rules)
    matrices = [weight for name, weight in made.encoder.named_parameters() if weight.ndim > 1]
    assert all(float(weight.norm(dim=1).max()) <= 0.3 + 1e-6 for weight in matrices)
    penalty = made.penalty()
    assert penalty is not None
    torch.testing.assert_close(penalty, sum(0.5 * weight.square().sum() for weight in matrices))
    assert network().penalty() is None


@pytest.mark.parametrize("name", get_args(Activation))
def test_activations_are_torchs_functions_of_their_name(name: Activation) -> None:
    values = torch.linspace(-3, 3, 13)
    expected = values if name == "identity" else getattr(torch.nn.functional, name, getattr(torch, name, None))(values)
    torch.testing.assert_close(activation(name)(values), expected)
