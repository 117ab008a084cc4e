import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import log_softmax, softmax

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError, TrainingError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.training.artifact import predict_logits
from trademl_assets.training.callbacks import memory_used
from trademl_assets.training.checkpoints import DurableCheckpointIO, read_checkpoint
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.member import TrainedMember, build_network, train_member
from trademl_assets.training.optimiser_parameters import CosineSchedule
from trademl_assets.training.schedules import rate_share
from trademl_assets_tests.training.conftest import model_of, training_of


def train(inputs: ModelInputs, feed: SegmentFeed, folder: Path, seed: int = 1, **changes: Any) -> TrainedMember:
    return train_member(model_of(), inputs, feed, training_of(**changes), seed=seed, folder=folder)


def validation_log_loss(feed: SegmentFeed, member: TrainedMember, dataset: Dataset) -> float:
    rows = predict_logits(feed, [member.network], "validation", 2, on_stride_only=True)[0]
    labels = torch.from_numpy(dataset.index["label"].to_numpy()[rows.positions]).long()
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(rows.logits), labels))


def test_a_planted_signal_is_learned(inputs: ModelInputs, feed: SegmentFeed, dataset: Dataset, tmp_path: Path) -> None:
    member = train(inputs, feed, tmp_path, max_epochs=40)
    shares = (
        np.bincount(dataset.samples("train", on_stride_only=True)["label"], minlength=4)
        / dataset.samples("train", on_stride_only=True).height
    )
    labels = dataset.samples("validation", on_stride_only=True)["label"].to_numpy()
    prior = -float(np.log(shares[labels]).mean())
    assert member.validation_log_loss < prior - 0.1
    assert member.epochs[-1]["training_loss"] < member.epochs[0]["training_loss"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path
) -> None:
    one, again, other = (train(inputs, feed, tmp_path / str(n), seed) for n, seed in enumerate((1, 1, 2)))
    assert one.epochs == again.epochs
    for name, weight in one.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name])
    assert not torch.equal(one.network.encoder.step[0].weight, other.network.encoder.step[0].weight)


def test_the_best_weights_are_restored_not_the_last(
    inputs: ModelInputs, feed: SegmentFeed, dataset: Dataset, tmp_path: Path
) -> None:
    rates = {**training_of().optimiser.model_dump(mode="json"), "learning_rate": 0.3}
    member = train(inputs, feed, tmp_path, max_epochs=9, optimiser=rates, schedule={"kind": "constant"})
    losses = [row["validation_log_loss"] for row in member.epochs]
    assert losses[-1] > min(losses)
    assert losses[member.best_epoch] == min(losses)
    assert validation_log_loss(feed, member, dataset) == pytest.approx(min(losses), abs=1e-5)


def test_the_last_weights_are_kept_where_that_is_asked_for(
    inputs: ModelInputs, feed: SegmentFeed, dataset: Dataset, tmp_path: Path
) -> None:
    rates = {**training_of().optimiser.model_dump(mode="json"), "learning_rate": 0.3}
    stated = {"max_epochs": 9, "optimiser": rates, "schedule": {"kind": "constant"}, "kept_epoch": "last"}
    member = train(inputs, feed, tmp_path, **stated)
    losses = [row["validation_log_loss"] for row in member.epochs]
    assert losses[-1] > min(losses)
    assert (member.best_epoch, member.validation_log_loss) == (len(losses) - 1, losses[-1])
    assert validation_log_loss(feed, member, dataset) == pytest.approx(losses[-1], abs=1e-5)


def test_averaged_weights_are_those_validated_and_kept(
    inputs: ModelInputs, feed: SegmentFeed, dataset: Dataset, tmp_path: Path
) -> None:
    plain = train(inputs, feed, tmp_path / "plain")
    member = train(inputs, feed, tmp_path / "averaged", weight_average_decay=0.9)
    assert validation_log_loss(feed, member, dataset) == pytest.approx(member.validation_log_loss, abs=1e-5)
    assert member.validation_log_loss != plain.validation_log_loss


def test_training_stops_when_validation_has_stopped_falling(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path
) -> None:
    stopping = {"patience_epochs": 2, "minimum_improvement": 10.0, "threshold": None}
    assert len(train(inputs, feed, tmp_path, max_epochs=9, early_stopping=stopping).epochs) == 3


def test_a_loss_that_is_not_a_number_is_a_typed_error(dataset: Dataset, inputs: ModelInputs, tmp_path: Path) -> None:
    network = build_network(model_of(), inputs)
    network.step_features.parts["price"].scale.fill_(float("nan"))
    broken = SegmentFeed(dataset, network)
    with pytest.raises(TrainingError, match="the loss is nan"):
        train(inputs, broken, tmp_path)


def test_likelihood_of_the_return_trains_a_distribution_head_only(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path
) -> None:
    assert np.isfinite(train(inputs, feed, tmp_path, loss={"kind": "likelihood"}).validation_log_loss)
    softmax = model_of(head={"kind": "softmax"})
    with pytest.raises(ConfigError, match="distribution"):
        train_member(softmax, inputs, feed, training_of(loss={"kind": "likelihood"}), seed=1, folder=tmp_path)


def test_progress_says_where_training_is_and_when_it_ends(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path
) -> None:
    lines: list[str] = []
    train_member(
        model_of(),
        inputs,
        feed,
        training_of(),
        seed=1,
        folder=tmp_path,
        position=(2, 3),
        report=lambda line, _facts: lines.append(line),
    )
    within = [line for line in lines if "step 1/2" in line]
    ended = [line for line in lines if "step" not in line]
    assert len(within) == len(ended) == 4
    assert within[1].startswith("member 2/3, epoch 2/4, step 1/2: training loss ")
    assert ended[1].startswith("member 2/3, epoch 2/4: training loss ")
    for line in (within[1], ended[1]):
        assert re.search(r", [\d,]+ samples/s, [\d.]+ GB of memory, at most [\d.]+ s left$", line)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell mapped files apart")
def test_the_memory_told_leaves_mapped_files_out(tmp_path: Path) -> None:
    path, size = tmp_path / "mapped", 100_000_000
    with path.open("wb") as file:
        file.truncate(size)
    before = memory_used()["memory"]
    assert np.memmap(path, np.uint8, "r")[::4096].sum() == 0
    mapped = memory_used()["memory"]
    own = np.ones(size, np.uint8)
    assert mapped - before < size / 4
    assert memory_used()["memory"] - before > size / 2, own.nbytes


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    stated = training_of().schedule
    assert isinstance(stated, CosineSchedule)
    shares = [rate_share(step, 100, stated) for step in range(101)]
    assert shares[9] == 1.0
    assert shares[0] == pytest.approx(0.1)
    assert shares[55] == pytest.approx(0.55)
    assert shares[100] == pytest.approx(0.1)
    assert all(high >= low for high, low in pairwise(shares[9:]))


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.ckpt"
    DurableCheckpointIO().save_checkpoint({"state_dict": Path}, path)
    with pytest.raises(CorruptArtifactError, match=r"evil\.ckpt"):
        read_checkpoint(path)
    path.write_bytes(b"half")
    with pytest.raises(CorruptArtifactError, match=r"evil\.ckpt"):
        read_checkpoint(path)


def test_penalties_and_constraints_act_in_training(inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path) -> None:
    rules = [
        {"weights": "encoder.*", "l1": 0.0, "l2": 0.0, "norm": {"kind": "unit"}},
        {"weights": "history.*", "l1": 0.0, "l2": 10.0, "norm": None},
    ]
    found = {}
    for name, asked in (("asked", rules), ("free", [])):
        parameters = training_of(max_epochs=3)
        model = model_of(regularisation=asked)
        found[name] = train_member(model, inputs, feed, parameters, seed=1, folder=tmp_path / name).network
    matrices = [weight for name, weight in found["asked"].encoder.named_parameters() if weight.ndim > 1]
    for weight in matrices:
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(len(weight)), atol=1e-5, rtol=0)
    lengths = {name: float(network.history.lstm.weight_hh_l0.detach().norm()) for name, network in found.items()}
    assert lengths["asked"] < 0.8 * lengths["free"]


def test_class_weights_are_fitted_on_training_labels_and_travel_with_the_member(
    inputs: ModelInputs, feed: SegmentFeed, dataset: Dataset, tmp_path: Path
) -> None:
    loss = {"kind": "cross_entropy", "class_weights": [1, 1, 1, 3], "label_smoothing": 0.0}
    member = train(inputs, feed, tmp_path / "weighted", max_epochs=8, loss=loss)
    assert train(inputs, feed, tmp_path / "plain", max_epochs=1).class_weights is None
    assert member.class_weights is not None
    training = dataset.index.filter(pl.col("part") == "train")
    of_samples = np.asarray(member.class_weights)[training["label"].to_numpy()]
    assert np.average(of_samples, weights=training["weight"].to_numpy()) == pytest.approx(1.0)
    rows = predict_logits(feed, [member.network], "validation", 2, on_stride_only=True)[0]
    labels = dataset.index["label"].to_numpy()[rows.positions]
    undone = log_softmax(rows.logits - np.log(member.class_weights), axis=1)
    found = -undone[np.arange(len(labels)), labels].mean()
    assert found == pytest.approx(member.validation_log_loss, abs=1e-5)
    raw = softmax(rows.logits, axis=1).mean(axis=0)
    assert raw[-1] > softmax(undone, axis=1).mean(axis=0)[-1] + 0.1


@pytest.mark.parametrize(
    "loss",
    [
        {"kind": "focal", "gamma": 2.0, "class_weights": "balanced"},
        {"kind": "binary"},
        {"kind": "ranked", "cross_entropy_share": 0.2},
    ],
    ids=lambda loss: str(loss["kind"]),
)
def test_every_loss_trains(inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path, loss: dict[str, Any]) -> None:
    member = train(inputs, feed, tmp_path, max_epochs=2, loss=loss)
    losses = [row["training_loss"] for row in member.epochs]
    assert losses[-1] < losses[0]
