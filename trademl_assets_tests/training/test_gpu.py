"""What only a CUDA device can show; `make gpu-check` runs these and tells what was checked."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import softmax

from trademl_assets.configuration.reading import current_environment
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_model
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.held_features import HeldFeatures
from trademl_assets.training.launch import count_processes, launch_training
from trademl_assets.training.leases import VISIBLE_VARIABLE, Cards, find_cards
from trademl_assets.training.member import TrainedMember, build_network, train_member
from trademl_assets_tests.training.conftest import model_of, model_values, specification, training_of, training_values
from trademl_assets_tests.training.test_resume import without_dropout
from trademl_assets_tests.training.test_windows_alone import TCN

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
RECURRENT = model_values()["history"]
HISTORIES = {"window": {**RECURRENT, "kind": "window"}, "anchored": RECURRENT, "tcn": TCN}
HEADS = {"softmax": {"kind": "softmax"}, "distribution": model_values()["head"]}
Trainer = Callable[..., TrainedMember]


def still(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: 0.0 if key.endswith("dropout") else still(each) for key, each in value.items()}
    return value


@pytest.fixture
def train(dataset: Dataset, inputs: ModelInputs, tmp_path: Path) -> Trainer:
    def run(model: dict[str, Any], folder: str, report: Any = lambda _line, _facts: None, **changes: Any) -> Any:
        stated = model_of(**model)
        feed = SegmentFeed(dataset, build_network(stated, inputs))
        training = training_of(**{"devices": "1", "max_epochs": 1, **changes})
        return train_member(stated, inputs, feed, training, seed=1, folder=tmp_path / folder, report=report)

    return run


def cards_of_this_machine(folder: Path) -> Cards:
    return find_cards(folder, current_environment().get(VISIBLE_VARIABLE))


def bits(member: TrainedMember) -> str:
    values = [value.cpu().numpy().tobytes() for value in member.network.state_dict().values()]
    return hashlib.sha256(b"".join(values)).hexdigest()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("history", HISTORIES)
def test_training_on_a_card_equals_the_processors(train: Trainer, history: str, head: str) -> None:
    model = still({"history": HISTORIES[history], "head": HEADS[head]}) | {
        name: value for name, value in without_dropout().items() if name not in {"history", "head"}
    }
    processor, card = train(model, "cpu", devices="cpu"), train(model, "card")
    for expected, found in zip(processor.epochs, card.epochs, strict=True):
        assert found == pytest.approx(expected, abs=2e-3)
    for name, weights in processor.network.state_dict().items():
        torch.testing.assert_close(card.network.state_dict()[name], weights, atol=5e-3, rtol=5e-2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_as_single_precision_does(train: Trainer, precision: str) -> None:
    single, mixed = (train(without_dropout(), kind, precision=kind, max_epochs=3) for kind in ("fp32", precision))
    assert mixed.validation_log_loss == pytest.approx(single.validation_log_loss, abs=0.05)
    kept, expected = ([value.dtype for value in each.network.state_dict().values()] for each in (mixed, single))
    assert kept == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_training_that_was_broken_off_goes_on_to_the_same_bits(train: Trainer, precision: str) -> None:
    class BrokenOffError(Exception):
        pass

    def break_off(_line: str, facts: dict[str, Any]) -> None:
        if facts.get("step", 0) >= 5:
            raise BrokenOffError

    whole = train({}, "whole", max_epochs=4, precision=precision)
    with pytest.raises(BrokenOffError):
        train({}, "broken", break_off, max_epochs=4, precision=precision)
    lines: list[str] = []
    again = train({}, "broken", lambda line, _facts: lines.append(line), max_epochs=4, precision=precision)
    assert any("goes on from step_" in line for line in lines)
    assert (bits(again), again.steps, again.epochs) == (bits(whole), whole.steps, whole.epochs)


def test_features_held_on_the_card_give_the_bits_of_those_from_the_host(train: Trainer) -> None:
    host, held = (train({}, place, step_features_on=place) for place in ("host", "device"))
    assert bits(host) == bits(held)


def test_batches_of_held_features_lie_on_the_card(dataset: Dataset, inputs: ModelInputs) -> None:
    feed = SegmentFeed(dataset, build_network(model_of(), inputs))
    stretches = feed.stretches("validation", on_stride_only=True)[:2]
    expected = feed.batch(stretches).steps
    feed.hold(feed.days(stretches), torch.device("cuda", 0))
    assert isinstance(feed.features, HeldFeatures)
    found = feed.batch(stretches).steps
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), expected)


def test_batches_are_pinned_for_a_card(feed: SegmentFeed) -> None:
    batch = feed.batch(feed.stretches("validation", on_stride_only=True)[:2]).pin_memory()
    assert batch.steps.is_pinned()
    assert batch.labels.is_pinned()


def test_parts_that_were_chosen_by_measuring_take_what_was_foretold(train: Trainer) -> None:
    lines: list[str] = []
    steps = {"parts_per_step": "auto", "segments_per_step": 4}
    whole = train({}, "whole", lambda line, _facts: lines.append(line), **steps)
    said = next(float(found[1]) for line in lines if (found := re.search(r"segment\(s\) take (\S+) GB", line)))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    train({}, "again", **steps)
    assert said * 1e9 == pytest.approx(torch.cuda.max_memory_allocated() - before, rel=0.25, abs=4e6)
    parts = train({}, "parts", step_memory_share=1e-9, **steps)
    assert (whole.parts, parts.parts) == (1, 4)


def test_progress_tells_the_memory_of_the_card(train: Trainer) -> None:
    told: list[dict[str, Any]] = []
    lines: list[str] = []

    def report(line: str, facts: dict[str, Any]) -> None:
        told.append(facts)
        lines.append(line)

    train({}, "told", report, max_epochs=2)
    assert max(facts.get("GPU_memory_bytes", 0) for facts in told) > 0
    assert any("of GPU memory" in line for line in lines)


def test_the_cards_that_are_leased_are_those_that_torch_sees() -> None:
    cards = cards_of_this_machine(Path())
    assert len(cards.names) == torch.cuda.device_count()
    assert count_processes("auto", cards) == min(torch.cuda.device_count(), 2)


@pytest.mark.parametrize("devices", ["1", "auto", "2"])
def test_a_launched_training_leases_its_cards_and_is_predicted_with_on_the_processor(
    store: ArtifactStore, dataset: Dataset, tmp_path: Path, devices: str
) -> None:
    cards = cards_of_this_machine(tmp_path / "leases")
    training = training_values(devices=devices, max_epochs=2, seeds=[1])
    spec = specification(store, tmp_path / "out", seeds=[1], training=training)
    if devices == "2" and len(cards.names) < 2:
        with pytest.raises(ConfigError, match="asks for 2 GPUs"):
            launch_training(spec, cards=cards)
        return
    launch_training(spec, cards=cards)
    assert any(path.name.startswith("running_") for path in (tmp_path / "leases").iterdir())
    with cards.lease(len(cards.names)) as names:
        assert names == cards.names
    found = load_model(tmp_path / "out").predict(dataset, "test")
    written = pl.read_parquet(tmp_path / "out" / "predictions.parquet").filter(
        pl.col("sample").is_in(found["sample"].to_list())
    )
    expected = softmax(written.sort("sample").drop("sample", "member").to_numpy(), axis=1)
    np.testing.assert_allclose(found.sort("sample").drop("sample").to_numpy(), expected, atol=1e-6)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["members"]


def test_only_visible_cards_are_found() -> None:
    first = cards_of_this_machine(Path()).names[0]
    assert find_cards(Path(), first).names == (first,)
