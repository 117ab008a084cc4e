"""Averages, penalties and parts of a step, each against what is computed by hand from the steps that were made."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trademl_assets.models.inputs import ModelInputs
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.member import TrainedMember, train_member
from trademl_assets.training.module import MemberModule
from trademl_assets_tests.training.conftest import model_of, model_values, training_of

Weights = dict[str, torch.Tensor]


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The weights after every step of optimisation."""
    seen: list[Weights] = []
    before = MemberModule.optimizer_step

    def look(self: MemberModule, *arguments: Any, **named: Any) -> None:
        before(self, *arguments, **named)
        seen.append({name: weight.detach().clone() for name, weight in self.network.named_parameters()})

    monkeypatch.setattr(MemberModule, "optimizer_step", look)
    return seen


def without_dropout(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: 0.0 if key == "dropout" else without_dropout(each) for key, each in value.items()}
    return value


def train(inputs: ModelInputs, feed: SegmentFeed, folder: Path, model: dict[str, Any], **changes: Any) -> TrainedMember:
    parameters = training_of(**{"max_epochs": 3, "segments_per_step": 2, **changes})
    return train_member(model_of(**model), inputs, feed, parameters, seed=1, folder=folder)


@pytest.mark.parametrize("parts", [1, 2])
def test_averages_follow_their_formula_once_a_step_of_optimisation(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path, stepped: list[Weights], parts: int
) -> None:
    decay = 0.7
    member = train(inputs, feed, tmp_path, {}, weight_average_decay=decay, parts_per_step=parts)
    assert len(stepped) == member.steps == 6
    average = stepped[0]
    for weights in stepped[1 : (member.best_epoch + 1) * 2]:
        average = {name: decay * average[name] + (1 - decay) * weights[name] for name in average}
    found = dict(member.network.named_parameters())
    for name, weight in average.items():
        torch.testing.assert_close(found[name].detach(), weight, atol=1e-6, rtol=1e-5)
    last = stepped[(member.best_epoch + 1) * 2 - 1]
    assert any(not torch.allclose(last[name], average[name], atol=1e-4) for name in average)


def test_a_penalty_counts_once_a_step_however_many_parts_it_has(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path, stepped: list[Weights]
) -> None:
    plain_descent = {
        "kind": "sgd",
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "context_weight_decay": 0.0,
        "momentum": 0.0,
        "nesterov": False,
        "fused": False,
    }
    rules = [{"weights": "*", "l1": 0.0, "l2": 5.0, "norm": None}]
    model = {**without_dropout(model_values()), "regularisation": rules}
    same = {"optimiser": plain_descent, "schedule": {"kind": "constant"}, "max_epochs": 1}
    unbounded = {"gradient_clipping": {"value": None, "norm": None}}
    train(inputs, feed, tmp_path / "whole", model, **same, **unbounded)
    whole, stepped[:] = list(stepped), []
    train(inputs, feed, tmp_path / "parts", model, **same, **unbounded, parts_per_step=2)
    for one, other in zip(whole, stepped, strict=True):
        for name, weight in one.items():
            torch.testing.assert_close(other[name], weight, atol=1e-6, rtol=1e-5)
    free = {**model, "regularisation": []}
    stepped[:] = []
    train(inputs, feed, tmp_path / "free", free, **same, **unbounded)
    name = "history.lstm.weight_hh_l0"
    shrunk, kept = (float(weights[-1][name].norm()) for weights in (whole, stepped))
    assert shrunk == pytest.approx(kept * 0.9**2, rel=0.02)  # 1 - 2 * rate * l2 a step
