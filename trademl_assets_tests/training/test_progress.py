"""What a training says of its pace, on a clock that advances by ten seconds a step of optimisation."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trademl_assets.models.inputs import ModelInputs
from trademl_assets.training import callbacks
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.member import train_member
from trademl_assets.training.module import MemberModule
from trademl_assets_tests.training.conftest import model_of, training_of

STEP_SECONDS = 10.0
STEPS = 8
"""Of a member: four epochs of two."""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    now, before = [0.0], MemberModule.optimizer_step

    def take_time(self: MemberModule, *arguments: Any, **named: Any) -> None:
        before(self, *arguments, **named)
        now[0] += STEP_SECONDS

    monkeypatch.setattr(MemberModule, "optimizer_step", take_time)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0]))


def told(inputs: ModelInputs, feed: SegmentFeed, folder: Path, every_seconds: float) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = []
    train_member(
        model_of(),
        inputs,
        feed,
        training_of(progress_seconds=every_seconds),
        seed=1,
        folder=folder,
        position=(2, 3),
        report=lambda _line, found: facts.append(found) if "step" in found else None,
    )
    return facts


@pytest.mark.usefixtures("slow")
def test_the_time_left_is_that_of_all_steps_and_members_to_come(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path
) -> None:
    facts = told(inputs, feed, tmp_path, STEP_SECONDS)
    assert [each["step"] for each in facts] == list(range(1, STEPS + 1))
    for each in facts:
        assert each["eta_seconds"] == pytest.approx(STEP_SECONDS * (STEPS - each["step"] + STEPS))
        assert each["memory_bytes"] > 0
    of_an_epoch = sum(len(stretch.rows) for stretch in feed.stretches("train", on_stride_only=False)) / 2  # one phase
    expected = 4 * of_an_epoch / (STEPS * STEP_SECONDS)
    assert facts[-1]["samples_per_second"] == pytest.approx(expected, rel=0.02)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("every_seconds", "steps"), [(25.0, [3, 6]), (1000.0, [])])
def test_no_two_lines_come_closer_than_they_may(
    inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path, every_seconds: float, steps: list[int]
) -> None:
    assert [each["step"] for each in told(inputs, feed, tmp_path, every_seconds)] == steps
