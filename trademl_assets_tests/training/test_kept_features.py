import os
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import StorageError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.fit import fit_members
from trademl_assets.training.kept_features import KEPT_FEATURES, DailyFeatures, days_of
from trademl_assets.training.member import build_network
from trademl_assets_tests.training.conftest import model_of, model_values, specification, training_values

DAYS = (1, 2, 3)
PART = """
class Part:
    def __init__(self, part):
        self.part, self.width, self.streams = part, part.width, part.streams

    def identity(self):
        return "v1"

    def __call__(self, raw):
        return self.part(raw)
"""


@pytest.fixture
def kept(dataset: Dataset, inputs: ModelInputs) -> Iterator[DailyFeatures]:
    made = features_of(dataset, inputs)
    made.shrink(0)  # what trainings of other tests left
    yield made
    made.release(0)


def features_of(dataset: Dataset, inputs: ModelInputs, precision: str = "fp32", **changes: object) -> DailyFeatures:
    return DailyFeatures(dataset, build_network(model_of(**changes), inputs).step_features, precision, kept=True)


def silent(_line: str) -> None:
    return


def files(dataset: Dataset, group: str = "*") -> list[Path]:
    return sorted(dataset.store.cache.layout.asset_folder(KEPT_FEATURES).glob(f"{group}/*/*.arrow"))


def test_kept_features_are_those_computed_and_lie_on_disk_once(
    dataset: Dataset, inputs: ModelInputs, kept: DailyFeatures, feed: SegmentFeed
) -> None:
    lines: list[str] = []
    kept.prepare(DAYS, lines.append)
    assert lines[-1].startswith("step features, days: 3 of 3 in")
    assert [path.parent.name for path in files(dataset)] == [dataset.days[day].isoformat() for day in DAYS]
    again = features_of(dataset, inputs)
    lines.clear()
    again.prepare(DAYS, lines.append)
    assert not lines
    steps = dataset.steps_per_day
    for features in (kept, again):
        assert torch.equal(features.read(steps // 2, 4 * steps + 7), feed.features.read(steps // 2, 4 * steps + 7))
    again.release(1 << 40)


def test_a_day_is_read_from_disk_and_not_computed_again(
    dataset: Dataset, inputs: ModelInputs, kept: DailyFeatures
) -> None:
    kept.prepare(DAYS, silent)
    network = build_network(model_of(), inputs)
    other = DailyFeatures(dataset, network.step_features, kept=True)
    network.step_features.parts["price"].scale.fill_(float("nan"))  # what is computed from now on is seen
    assert torch.isfinite(other.day(1)).all()
    assert not torch.isfinite(other.day(5)).all()


def test_features_of_a_plug_ins_part_are_not_taken_up_once_its_source_has_changed(
    dataset: Dataset, inputs: ModelInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a_part_of_another_package.py"
    source.write_text(PART)
    monkeypatch.syspath_prepend(tmp_path)
    part = import_module(source.stem).Part(build_network(model_of(), inputs).step_features)
    made = DailyFeatures(dataset, part, kept=True)
    made.prepare(DAYS[:1], silent)
    assert len(files(dataset, made.group)) == len(files(dataset, DailyFeatures(dataset, part, kept=True).group)) == 1
    source.write_text(PART + "# another thought\n")
    assert not files(dataset, DailyFeatures(dataset, part, kept=True).group)
    made.release(0)


def test_damaged_and_half_written_days_are_made_again(
    dataset: Dataset, inputs: ModelInputs, kept: DailyFeatures
) -> None:
    kept.prepare(DAYS, silent)
    expected = kept.read(0, dataset.steps)
    spoilt, cut, gone = files(dataset)
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[:5000] + b"?" + content[5001:])
    cut.write_bytes(content[:-100])
    gone.unlink()
    found = features_of(dataset, inputs)
    assert torch.equal(found.read(0, dataset.steps), expected)  # without the disk, if need be
    lines: list[str] = []
    found.prepare(DAYS, lines.append)
    assert lines[-1].startswith("step features, days: 3 of 3 in")
    assert spoilt.read_bytes() == content
    assert torch.equal(found.read(0, dataset.steps), expected)
    found.release(1 << 40)


def test_what_features_follow_from_decides_who_shares_them(dataset: Dataset, inputs: ModelInputs) -> None:
    history = {**model_values()["history"], "width": 3}
    assert features_of(dataset, inputs).group == features_of(dataset, inputs, history=history).group
    coarser = {**model_values()["book"], "slots_per_band": 2}
    others = [
        features_of(dataset, inputs, book=coarser),
        features_of(dataset, inputs, mask=False),
        features_of(dataset, inputs, instruments=["FOLLOW"]),
        features_of(dataset, inputs, "fp16"),
    ]
    assert len({features_of(dataset, inputs).group, *(other.group for other in others)}) == 1 + len(others)


def test_half_precision_needs_half_the_disk_and_is_what_is_computed_too(dataset: Dataset, inputs: ModelInputs) -> None:
    half, whole = features_of(dataset, inputs, "fp16"), features_of(dataset, inputs)
    half.prepare([1], silent)
    whole.prepare([1], silent)
    small, large = (files(dataset, each.group)[0].stat().st_size for each in (half, whole))
    assert small < 0.52 * large
    torch.testing.assert_close(half.day(1).float(), whole.day(1), rtol=2**-11, atol=1e-7)
    computed = DailyFeatures(dataset, build_network(model_of(), inputs).step_features, "fp16")
    assert torch.equal(half.day(1), computed.day(1))
    for each in (half, whole):
        each.release(0)
    assert not files(dataset)


def test_half_features_are_laid_as_they_are_kept_for_networks_that_take_them(
    dataset: Dataset, inputs: ModelInputs, feed: SegmentFeed
) -> None:
    network = build_network(model_of(), inputs)
    half = SegmentFeed(dataset, network, DailyFeatures(dataset, network.step_features, "fp16"))
    stretches = half.stretches("train", on_stride_only=True)[:2]
    laid, asked = half.batch(stretches).steps, half.batch(stretches, dtype=torch.bfloat16).steps
    assert (laid.dtype, asked.dtype) == (torch.float16, torch.bfloat16)
    assert torch.equal(asked, laid.float().bfloat16())
    half.takes_half_steps = False
    assert torch.equal(half.batch(stretches).steps, laid.float())
    assert feed.batch(stretches).steps.dtype == torch.float32


def test_training_on_half_features_is_training_on_their_single_copies(dataset: Dataset, inputs: ModelInputs) -> None:
    network = build_network(model_of(), inputs).eval()
    half = SegmentFeed(dataset, network, DailyFeatures(dataset, network.step_features, "fp16"))
    stretches = half.stretches("validation", on_stride_only=True)
    found = network(half.batch(stretches))
    half.takes_half_steps = False
    torch.testing.assert_close(found, network(half.batch(stretches)), rtol=1e-5, atol=1e-6)


def test_the_disk_is_bounded_and_what_is_in_use_stays(dataset: Dataset, inputs: ModelInputs) -> None:
    old, new = features_of(dataset, inputs, mask=False), features_of(dataset, inputs, "fp16")
    old.prepare([1], silent)
    new.prepare([1], silent)
    new.shrink(0)
    assert files(dataset, old.group)
    assert files(dataset, new.group)
    old.release(1 << 40)
    new.shrink(1 << 40)
    assert files(dataset, old.group)
    new.shrink(files(dataset, new.group)[0].stat().st_size * 2)
    assert not files(dataset, old.group)
    assert torch.isfinite(old.day(1)).all()
    old.prepare([1, 2], silent)
    assert len(files(dataset, old.group)) == 2
    old.release(0)
    assert not files(dataset, old.group)
    new.release(0)


def test_processes_that_race_for_the_same_days_and_one_killed_at_it_leave_whole_days(
    dataset: Dataset, inputs: ModelInputs, kept: DailyFeatures
) -> None:
    ready, begin = os.pipe()
    rivals = [fork(dataset, inputs, ready, bomb) for bomb in ("before_manifest", None, None)]
    os.write(begin, b"...")
    assert [os.waitpid(rival, 0)[1] for rival in rivals] == [signal.SIGKILL, 0, 0]
    lines: list[str] = []
    kept.prepare(range(8), lines.append)
    assert not lines
    assert len(files(dataset, kept.group)) == 8
    computed = DailyFeatures(dataset, build_network(model_of(), inputs).step_features)
    assert torch.equal(kept.read(0, dataset.steps), computed.read(0, dataset.steps))


def fork(dataset: Dataset, inputs: ModelInputs, ready: int, bomb: str | None) -> int:
    """Prepare all days in a fork as soon as it may, and be killed at a failpoint; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        torch.set_num_threads(1)
        if bomb is not None:
            durable.failpoint = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == bomb else None
        features = features_of(dataset, inputs)
        os.read(ready, 1)
        features.prepare(range(8), silent)
        status = 0
    finally:
        os._exit(status)


def test_a_disk_that_takes_nothing_is_a_typed_error(
    dataset: Dataset, inputs: ModelInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        features_of(dataset, inputs, mask=False).prepare([1], silent)


def test_another_version_of_a_grid_day_is_not_taken_for_the_one_read(
    dataset: Dataset, inputs: ModelInputs, kept: DailyFeatures
) -> None:
    kept.prepare([1], silent)
    other = open_dataset(dataset.store, "signal")
    key = f"aligned_grid/{other.days[1].isoformat()}"
    other.recipe["upstream"][key] = "another"
    assert not features_of(other, inputs)._map(1)
    assert features_of(dataset, inputs)._map(1)


def test_spans_touch_their_days() -> None:
    assert days_of([(5, 10), (19, 20), (40, 41)], 10).tolist() == [0, 1, 4]
    assert days_of([], 10).tolist() == []


def test_a_training_leaves_features_to_the_next_or_nothing_as_it_is_told(store: ArtifactStore, tmp_path: Path) -> None:
    dataset = open_dataset(store, "signal")
    told: list[list[str]] = []
    for number, gigabytes in enumerate((1.0, 1.0, 0.0)):
        training = training_values(seeds=[1], max_epochs=1, step_features_gigabytes=gigabytes)
        spec = specification(store, tmp_path / str(number), seeds=[1], training=training, mode="search")
        told.append([])
        fit_members(spec, processes=1, writes=True, report=lambda line, _facts: told[-1].append(line))
        assert bool(files(dataset)) == bool(gigabytes)
    computed = [[line for line in lines if "step features, days: 6 of 6" in line] for lines in told]
    assert [len(lines) for lines in computed] == [1, 0, 0]
    assert (tmp_path / "0" / "predictions.parquet").read_bytes() == (
        tmp_path / "2" / "predictions.parquet"
    ).read_bytes()
