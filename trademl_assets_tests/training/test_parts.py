"""Parts of a step: measured memory, the fewest that fit, kept over a kill, and the step stays the same step."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError, TrainingError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training import parts
from trademl_assets.training.artifact import load_model
from trademl_assets.training.checkpoints import CheckpointFolder
from trademl_assets.training.data import SegmentFeed, Stretch
from trademl_assets.training.fit import fit_members
from trademl_assets.training.member import TrainedMember, train_member, uncompiled_network
from trademl_assets.training.parts import Sizing, StepMemory, _busiest_phase, settled
from trademl_assets.training.step_memory import LiveTensors, peak_bytes
from trademl_assets_tests.training.conftest import model_of, specification, training_of, training_values

CPU = torch.device("cpu")
COUNTS = st.integers(1, 200)
BYTES = st.integers(0, 10_000)


def test_live_tensors_count_each_storage_once_while_it_lives() -> None:
    with LiveTensors() as counted:
        first = torch.zeros(1000)
        kept = [first[:10], first.view(10, 100), first.t()]
        second = torch.zeros(500)
        del second
        third = torch.ones(250)
    assert counted.peak_bytes == 4 * 1500
    assert len(kept) == 3
    assert third.sum() == 250


def test_the_peak_of_a_step_is_what_its_tensors_took_at_once() -> None:
    weights = torch.zeros(100, 100, requires_grad=True)
    rows = torch.zeros(1000, 100)

    def step() -> None:
        (torch.tanh(rows @ weights)).sum().backward()

    product, gradient = 4 * 1000 * 100, 4 * 100 * 100
    # tanh keeps its result; its gradient comes beside an expanded one, and then that of the weights
    assert 2 * product <= peak_bytes(step, CPU) <= 3 * product + 2 * gradient


@given(COUNTS, st.integers(1, 2), BYTES, BYTES, st.integers(0, 100_000))
def test_the_fewest_parts_that_fit_are_taken(
    segments: int, processes: int, fixed: int, segment: int, allowed: int
) -> None:
    memory = StepMemory(fixed, segment)
    found = memory.fewest_parts(segments, processes, allowed)

    def takes(count: int) -> int:
        return memory.bytes_of(-(-segments // (processes * count)))

    assert 1 <= found <= segments
    as_small_as_can_be = segment == 0 or -(-segments // (processes * found)) == 1
    assert takes(found) <= allowed or as_small_as_can_be
    assert found == 1 or takes(found - 1) > allowed


def longest(feed: SegmentFeed) -> list[Stretch]:
    training = feed.stretches("train", on_stride_only=False, every_label=True)
    return sorted(training, key=lambda each: (each.last_step - each.first_step, len(each.rows)))[-2:]


def sizing(feed: SegmentFeed, inputs: ModelInputs, **changes: Any) -> Sizing:
    parameters = training_of(**{"parts_per_step": "auto", "segments_per_step": 8, **changes})
    return Sizing(partial(uncompiled_network, model_of(), inputs, parameters), feed, parameters, None, None, 1)


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"recompute_activations": True}], ids=str)
def test_what_one_and_two_segments_take_foretells_what_four_take(
    feed: SegmentFeed, inputs: ModelInputs, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    kept: list[StepMemory] = []
    whole = StepMemory.fewest_parts

    def spied(memory: StepMemory, segments: int, processes: int, allowed: int) -> int:
        kept.append(memory)
        return whole(memory, segments, processes, allowed)

    monkeypatch.setattr(StepMemory, "fewest_parts", spied)
    measured = sizing(feed, inputs, **changes)
    measured.choose(lambda _line, _facts: None)
    four = measured._peak([_busiest_phase(each) for each in longest(feed) * 2])
    assert kept[0].bytes_of(4) == pytest.approx(four, rel=0.05)


def test_activations_that_are_computed_again_take_less(feed: SegmentFeed, inputs: ModelInputs) -> None:
    stretch = [_busiest_phase(longest(feed)[0])]
    kept, again = (sizing(feed, inputs, recompute_activations=each)._peak(stretch) for each in (False, True))
    assert again < kept


def only(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(parts, "free_bytes", lambda _device: free)


def test_little_memory_means_more_parts(
    feed: SegmentFeed, inputs: ModelInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(**changes: Any) -> int:
        lines: list[str] = []
        found = sizing(feed, inputs, segments_per_step=4, **changes).choose(lambda line, _facts: lines.append(line))
        assert f"steps of 4 segments in {found} part(s)" in lines[0]
        return found

    four = sizing(feed, inputs)._peak([_busiest_phase(each) for each in longest(feed) * 2])
    only(monkeypatch, 2 * four)
    assert (chosen(step_memory_share=0.6), chosen(step_memory_share=0.4)) == (1, 2)


def test_where_not_even_one_segment_fits_the_remedies_are_named(
    feed: SegmentFeed, inputs: ModelInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, 1000)
    with pytest.raises(ConfigError, match=r"parts_per_step auto: a single segment takes .* recompute_activations"):
        sizing(feed, inputs).choose(lambda _line, _facts: None)


def test_what_was_chosen_stays_whatever_is_free_after_a_kill(
    feed: SegmentFeed, inputs: ModelInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = CheckpointFolder(tmp_path, "key")
    checkpoints.prepare()
    measured = sizing(feed, inputs, step_memory_share=1e-9)
    assert settled(measured, checkpoints, lambda _line, _facts: None).parts == 4
    only(monkeypatch, 1 << 60)
    again = CheckpointFolder(tmp_path, "key")
    again.prepare()
    assert settled(measured, again, lambda _line, _facts: None).parts == 4
    other = CheckpointFolder(tmp_path, "other key")
    other.prepare()
    assert settled(sizing(feed, inputs), other, lambda _line, _facts: None).parts == 1


def test_stated_parts_are_taken_as_they_are(feed: SegmentFeed, inputs: ModelInputs, tmp_path: Path) -> None:
    found = settled(
        sizing(feed, inputs, parts_per_step=3), CheckpointFolder(tmp_path, "key"), lambda _line, _facts: None
    )
    assert (found.parts, found.segments_together) == (3, 3)
    with pytest.raises(TrainingError, match="parts_per_step is auto"):
        _ = training_of(parts_per_step="auto").parts


def test_measuring_changes_no_bit(feed: SegmentFeed, inputs: ModelInputs, tmp_path: Path) -> None:
    def train(name: str, **changes: Any) -> TrainedMember:
        parameters = training_of(max_epochs=1, **changes)
        return train_member(model_of(), inputs, feed, parameters, seed=1, folder=tmp_path / name)

    stated, measured = train("stated", parts_per_step=2), train("auto", parts_per_step="auto", step_memory_share=1e-9)
    assert measured.parts == stated.parts == 2
    for name, weights in stated.network.state_dict().items():
        assert torch.equal(measured.network.state_dict()[name], weights)


def test_the_model_says_its_parts_and_predicts_as_many_segments_at_once(
    store: ArtifactStore, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = training_values(parts_per_step="auto", step_memory_share=1e-9, max_epochs=1)
    spec, lines = specification(store, tmp_path, training=training), list[str]()
    fit_members(spec, processes=1, writes=True, report=lambda line, _facts: lines.append(line))
    assert sum("part(s)" in line for line in lines) == 1  # the second member takes what the first chose
    assert json.loads((tmp_path / "summary.json").read_text())["parts_per_step"] == 2
    model = load_model(tmp_path)
    assert [sidecar["parts_per_step"] for _, sidecar in model.members] == [2, 2]
    laid: list[int] = []
    whole = SegmentFeed.batch

    def batch(feed: SegmentFeed, stretches: Any, *arguments: Any, **named: Any) -> Any:
        laid.append(len(stretches))
        return whole(feed, stretches, *arguments, **named)

    monkeypatch.setattr(SegmentFeed, "batch", batch)
    model.predict(dataset, "validation")
    assert max(laid) == 1
