"""Everything that was stated reaches a training, and nothing of another training does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs, inputs_of
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_model
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.finite import NotFiniteError, require_finite
from trademl_assets.training.fit import fit_members
from trademl_assets.training.member import TrainedMember, build_network, train_member, training_class_weights
from trademl_assets.training.module import MemberModule
from trademl_assets.training.optimisers import build_optimiser
from trademl_assets_tests.training.conftest import (
    FRAME,
    PROVENANCE,
    dataset_values,
    model_of,
    specification,
    training_of,
    training_values,
)
from trademl_assets_tests.training.test_options import ADAM, SGD
from trademl_assets_tests.training.test_several_answers import several

__all__ = ["several"]


def train(inputs: ModelInputs, feed: SegmentFeed, folder: Path, **changes: Any) -> tuple[TrainedMember, list[str]]:
    key = changes.pop("key", "")
    lines: list[str] = []
    member = train_member(
        model_of(),
        inputs,
        feed,
        training_of(**changes),
        seed=1,
        folder=folder,
        key=key,
        report=lambda line, _facts: lines.append(line),
    )
    return member, [line for line in lines if "goes on from" in line or "retry" in line]


def weights(member: TrainedMember) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in member.network.state_dict().values()])


@pytest.mark.parametrize(
    ("stated", "names"),
    [
        ({**ADAM, "learning_rate": 0.3, "betas": [0.7, 0.8], "epsilon": 1e-3}, {"eps": 1e-3, "betas": (0.7, 0.8)}),
        ({**SGD, "learning_rate": 0.3, "momentum": 0.6}, {"momentum": 0.6, "nesterov": True}),
        ({**SGD, "learning_rate": 0.3, "nesterov": False}, {"momentum": 0.9, "nesterov": False}),
    ],
    ids=["adam", "nesterov", "momentum"],
)
def test_settings_of_an_optimiser_reach_torchs(
    inputs: ModelInputs, stated: dict[str, Any], names: dict[str, Any]
) -> None:
    made = build_optimiser(build_network(model_of(), inputs), training_of(optimiser=stated).optimiser, unscales=False)
    for group in made.param_groups:
        assert {name: group[name] for name in ("lr", *names)} == {"lr": 0.3, **names}


def test_entries_are_bounded_before_the_norm_where_both_are_asked_for(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    before = MemberModule.optimizer_step

    def look(self: MemberModule, *arguments: Any, **named: Any) -> None:
        before(self, *arguments, **named)
        seen.append(torch.cat([p.grad.flatten() for p in self.parameters() if p.grad is not None]))

    monkeypatch.setattr(MemberModule, "optimizer_step", look)
    for number, bounds in enumerate(({"value": None, "norm": None}, {"value": 1e-3, "norm": 5e-3})):
        train(inputs, feed, tmp_path / str(number), max_epochs=1, steps_per_epoch_at_most=1, gradient_clipping=bounds)
    free, bounded = seen
    by_entry = free.clamp(-1e-3, 1e-3)
    assert float(by_entry.norm()) > 5e-3
    torch.testing.assert_close(bounded, by_entry * (5e-3 / by_entry.norm()), atol=1e-9, rtol=1e-3)


def test_the_least_rate_on_a_plateau_is_lowered_with_the_rate_where_a_loss_was_no_number(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, before = [0], MemberModule.training_step

    def fail_once(self: MemberModule, *arguments: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 3:
            raise NotFiniteError("the loss is nan")
        return before(self, *arguments)

    monkeypatch.setattr(MemberModule, "training_step", fail_once)
    falling = {
        "kind": "reduce_on_plateau",
        "factor": 0.1,
        "patience_epochs": 0,
        "minimum_improvement": 10.0,
        "final_learning_rate_share": 0.05,
    }
    member, told = train(
        inputs,
        feed,
        tmp_path,
        schedule=falling,
        max_epochs=5,
        checkpoint_every_steps=2,
        not_a_number={"retries": 1, "learning_rate_factor": 0.5},
    )
    assert len(told) == 2
    assert "goes on from step_000000002" in told[1]
    rates = [row["learning_rate"] for row in member.epochs]
    assert (rates[0], rates[1], rates[-1]) == pytest.approx((0.02, 0.01, 0.0005))


def test_a_loss_that_is_no_number_in_another_process_ends_the_step_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(finite: torch.Tensor, op: Any) -> None:
        assert op == torch.distributed.ReduceOp.MIN
        finite.mul_(0)

    monkeypatch.setattr(torch.distributed, "all_reduce", elsewhere)
    require_finite(torch.tensor(1.0), "loss", "epoch 0", 1)
    with pytest.raises(NotFiniteError, match="the loss is not a number in another process in epoch 0"):
        require_finite(torch.tensor(1.0), "loss", "epoch 0", 2)


def test_checkpoints_of_another_training_are_not_gone_on_from(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path
) -> None:
    train(inputs, feed, tmp_path / "used", key="one", max_epochs=3)
    _, again = train(inputs, feed, tmp_path / "used", key="one", max_epochs=3)
    assert len(again) == 1
    other, told = train(inputs, feed, tmp_path / "used", key="other", max_epochs=2)
    assert told == []
    fresh, _ = train(inputs, feed, tmp_path / "fresh", key="other", max_epochs=2)
    assert torch.equal(weights(other), weights(fresh))


def test_a_member_that_is_damaged_or_of_a_dataset_that_was_made_anew_is_trained_anew(
    store: ArtifactStore, tmp_path: Path
) -> None:
    def made(half_life_days: float) -> float:
        values = dataset_values()
        values["weights"] = {"parts": [{"kind": "exponential_age", "half_life_days": half_life_days}]}
        parts = build_dataset(store, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
        with store.write("dataset", "again", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
            write_dataset(writer, parts)
        training = training_values(seeds=[1], max_epochs=1)
        spec = specification(store, tmp_path, experiment="again", training=training, seeds=[1], mode="search")
        fit_members(spec, processes=1, writes=True, report=lambda _line, _facts: None)
        return (tmp_path / "member_1.safetensors").stat().st_mtime_ns

    torch.set_num_threads(1)  # the networks are too small for more
    first = made(2.0)
    assert made(2.0) == first
    member = tmp_path / "member_1.safetensors"
    whole = member.read_bytes()
    member.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert made(2.0) != first
    assert member.read_bytes() == whole
    assert made(0.5) != first
    assert member.read_bytes() != whole


def test_a_dataset_with_other_columns_than_those_trained_on_is_refused(
    store: ArtifactStore, dataset: Dataset, tmp_path: Path
) -> None:
    training = training_values(seeds=[1], max_epochs=1)
    spec = specification(store, tmp_path, training=training, seeds=[1], mode="search")
    torch.set_num_threads(1)  # the networks are too small for more
    fit_members(spec, processes=1, writes=True, report=lambda _line, _facts: None)
    load_model(tmp_path).predict(dataset, "validation")
    sidecar = json.loads((tmp_path / "member_1.json").read_text())
    sidecar["inputs"]["streams"]["clock"]["columns"][0] = "minute"
    (tmp_path / "member_1.json").write_text(json.dumps(sidecar))
    with pytest.raises(ConfigError, match=r"'signal': the model reads clock with columns \['minute'"):
        load_model(tmp_path).predict(dataset, "validation")


def test_class_weights_are_those_of_the_labels_that_the_network_forecasts(several: Dataset) -> None:
    loss = training_of(loss={"kind": "cross_entropy", "class_weights": "balanced", "label_smoothing": 0.0}).loss
    answers = {"horizons": "all", "targets": "primary", "target_embedding_width": None}
    feed = SegmentFeed(several, build_network(model_of(answers=answers), inputs_of(several)))
    found = training_class_weights(loss, feed, several.classes)
    index = several.index
    own = ((index["part"] == "train") & (index["instrument"] == "FOLLOW")).to_numpy()
    every = (index["part"] == "train").to_numpy()
    expected, other = (_balanced(several, rows) for rows in (own, every))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.abs(expected - other).max() > 1e-3


def _balanced(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    labels, weights = dataset.index["label"].to_numpy()[rows], dataset.index["weight"].to_numpy()[rows]
    shares = np.bincount(labels, weights=weights, minlength=dataset.classes) / weights.sum()
    return 1 / shares / dataset.classes
