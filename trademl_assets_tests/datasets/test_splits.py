import json
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.datasets.split_kinds import lay_blocks
from trademl_assets.datasets.split_parameters import BlocksSplitParameters
from trademl_assets.datasets.splits import (
    NO_BLOCK,
    Block,
    assign_blocks,
    effective_samples,
    in_hindsight,
    insert_degradation,
)
from trademl_assets.foundation.calendar import from_microseconds

SECOND = 1_000_000
START = from_microseconds(1_704_067_200 * SECOND)


def blocks_of(parts: list[tuple[str, int]]) -> tuple[Block, ...]:
    blocks = [{"part": part, "length": f"PT{seconds}S"} for part, seconds in parts]
    values = {"kind": "blocks", "blocks": blocks, "embargo_seconds": 0, "degradation": []}
    stated = BlocksSplitParameters.model_validate_json(
        json.dumps(values | {"minimum_effective_samples": {}, "on_short_part": "warn"})
    )
    return lay_blocks(stated.blocks, START)


@st.composite
def splits(draw: st.DrawFn) -> list[tuple[str, int]]:
    count = draw(st.integers(1, 5))
    names: list[str] = []
    for _ in range(count):
        known = [p for p in ("train", "validation", "test", "calibration") if not names or p != names[-1]]
        names.append(draw(st.sampled_from([p for p in known if p != "calibration" or p not in names])))
    if "train" not in names:
        names = ["train", *names]
    return [(name, draw(st.integers(1, 60))) for name in names]


@given(splits(), st.integers(1, 40), st.integers(0, 50), st.integers(0, 5))
def test_a_sample_is_kept_exactly_when_every_second_of_its_label_lies_in_its_block_and_outside_the_embargo(
    parts: list[tuple[str, int]], horizon: int, embargo: int, lead: int
) -> None:
    blocks = blocks_of(parts)
    owner: list[int] = [number for number, (_, seconds) in enumerate(parts) for _ in range(seconds)]
    seconds = np.arange(-lead, len(owner) + lead)
    t0 = blocks[0].first_us + seconds * SECOND
    found = assign_blocks(t0, t0 + horizon * SECOND, blocks, embargo)

    ends = np.cumsum([length for _, length in parts])
    expected = []
    for second in seconds:
        span = range(second, second + horizon)
        owners = {owner[s] if 0 <= s < len(owner) else NO_BLOCK for s in span}
        mine = owners.pop() if len(owners) == 1 else NO_BLOCK
        if mine != NO_BLOCK and parts[mine][0] == "train":
            held_out_ends = [ends[b] for b in range(len(parts)) if parts[b][0] != "train"]
            if any(0 <= second - end < embargo for end in held_out_ends):
                mine = NO_BLOCK
        expected.append(mine)
    assert found.block.tolist() == expected
    taken = int((found.block != NO_BLOCK).sum())
    assert taken + found.outside + found.purged + found.embargoed == len(seconds)


@given(splits(), st.integers(1, 40))
def test_no_training_label_overlaps_a_held_out_label(parts: list[tuple[str, int]], horizon: int) -> None:
    blocks = blocks_of(parts)
    t0 = np.arange(blocks[0].first_us, blocks[-1].last_us, SECOND)
    found = assign_blocks(t0, t0 + horizon * SECOND, blocks, 0).block
    part = np.asarray([block.part for block in blocks])[found]
    train = t0[(found >= 0) & (part == "train")]
    held_out = t0[(found >= 0) & (part != "train")]
    if len(train) and len(held_out):
        assert np.abs(train[:, None] - held_out[None, :]).min() >= horizon * SECOND


def test_between_blocks_nothing_is_taken_and_the_embargo_runs_on() -> None:
    blocks = (
        Block("train", 0, 10 * SECOND),
        Block("degradation", 10 * SECOND, 20 * SECOND, "aged"),
        Block("train", 25 * SECOND, 40 * SECOND),
    )
    t0 = np.asarray([-1, 0, 9, 10, 20, 24, 25, 29, 30, 39, 40]) * SECOND
    found = assign_blocks(t0, t0 + SECOND, blocks, 10)
    assert found.block.tolist() == [-1, 0, 0, 1, -1, -1, -1, -1, 2, 2, -1]
    assert (found.outside, found.purged, found.embargoed) == (4, 0, 2)


@given(splits(), st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), max_size=3))
def test_degradation_takes_its_time_from_training_alone(
    parts: list[tuple[str, int]], aged: list[tuple[int, int]]
) -> None:
    laid = blocks_of(parts)
    origin = laid[0].first_us
    before: dict[int, str] = {
        second: block.part for block in laid for second in range(block.first_us, block.last_us, SECOND)
    }
    new = [
        Block("degradation", origin + first * SECOND, origin + (first + length) * SECOND, f"aged_{number}")
        for number, (first, length) in enumerate(aged)
    ]
    wanted = [second for block in new for second in range(block.first_us, block.last_us, SECOND)]
    expected = before | dict.fromkeys(wanted, "degradation")
    allowed = len(set(wanted)) == len(wanted) and all(before.get(second, "train") == "train" for second in wanted)
    if not allowed or "train" not in expected.values():
        with pytest.raises(ValueError, match=r"only training gives way|leave no training"):
            insert_degradation(laid, new)
        return
    found = insert_degradation(laid, new)
    assert {s: block.part for block in found for s in range(block.first_us, block.last_us, SECOND)} == expected
    assert all(left.last_us <= right.first_us for left, right in pairwise(found))
    assert {block.name for block in found if block.part == "degradation"} == {block.name for block in new}


def test_a_held_out_block_before_later_training_is_hindsight() -> None:
    blocks = blocks_of([("train", 5), ("validation", 5), ("train", 5), ("calibration", 5), ("test", 5)])
    assert [in_hindsight(block, blocks) for block in blocks] == [False, True, False, False, False]


def test_a_label_may_end_exactly_where_its_block_does() -> None:
    blocks = blocks_of([("train", 100), ("test", 100)])
    t0 = blocks[0].first_us + np.asarray([70, 71]) * SECOND
    assert assign_blocks(t0, t0 + 30 * SECOND, blocks, 0).block.tolist() == [0, NO_BLOCK]


def test_blocks_lie_back_to_back_from_the_start() -> None:
    blocks = blocks_of([("train", 60), ("validation", 30), ("calibration", 10)])
    assert [from_microseconds(block.first_us) - START for block in blocks] == [
        timedelta(0), timedelta(seconds=60), timedelta(seconds=90)
    ]  # fmt: skip
    assert all(left.last_us == right.first_us for left, right in pairwise(blocks))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60, unique=True), st.integers(1, 50))
def test_effective_samples_is_the_covered_time_over_the_horizon(starts: list[int], horizon: int) -> None:
    t0 = np.asarray(sorted(starts), dtype=np.int64)
    covered = {second for start in starts for second in range(start, start + horizon)}
    assert effective_samples(t0, t0 + horizon) == pytest.approx(len(covered) / horizon)


def test_overlapping_labels_add_nothing_to_the_effective_samples() -> None:
    dense, sparse = np.arange(0, 3600, 60), np.arange(0, 3600, 600)
    assert effective_samples(sparse, sparse + 600) == 6.0
    assert effective_samples(dense, dense + 600) == pytest.approx(6.9)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([("validation", 10)], "part: train"),
        ([("train", 10), ("train", 10)], "written as one"),
        ([("train", 9), ("calibration", 9), ("test", 9), ("calibration", 9)], "contiguous"),
    ],
)
def test_impossible_splits_are_refused_with_the_reason(parts: list[tuple[str, int]], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        blocks_of(parts)
