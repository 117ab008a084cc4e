import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from trademl_assets.datasets.split_kinds import SplitLayout
from trademl_assets.datasets.split_parameters import Split, SplitParameters
from trademl_assets.datasets.splits import NO_BLOCK, assign_blocks
from trademl_assets.foundation.calendar import from_microseconds, to_microseconds
from trademl_assets_tests.datasets.examples import parameters_of, stated
from trademl_assets_tests.datasets.split_examples import (
    AGED,
    COMMON,
    END,
    EXPANDING,
    FOLDED,
    START,
    laid,
    month,
    split_of,
)

MINUTE = timedelta(minutes=1)


def shares(*stated_shares: tuple[str, float], resolution_seconds: int = 60) -> dict[str, Any]:
    return COMMON | {
        "kind": "shares",
        "length": None,
        "resolution_seconds": resolution_seconds,
        "shares": [{"part": part, "share": share} for part, share in stated_shares],
    }


def counts(layout: SplitLayout, block: np.ndarray) -> list[int]:
    return [int((block == number).sum()) for number in range(len(layout.blocks))]


def test_the_golden_split_of_a_thousand_rows_and_its_purged_counts() -> None:
    rows, sequence_length, look_ahead = 1000, 50, 5
    bars = [START + number * MINUTE for number in range(rows)]
    windows = np.asarray([to_microseconds(bar) for bar in bars[sequence_length:]])
    assert len(windows) == 950
    layout = laid(
        shares(("train", 0.7), ("validation", 0.15), ("test", 0.15)), bars[sequence_length], bars[-1] + MINUTE
    )
    unpurged = assign_blocks(windows, windows, layout.blocks, 0)
    assert counts(layout, unpurged.block) == [665, 142, 143]
    minute = MINUTE // timedelta(microseconds=1)
    next_bar = assign_blocks(windows, windows + minute, layout.blocks, 0)
    assert counts(layout, next_bar.block) == [665, 142, 143], "a label of one bar ends where its part does"
    purged = assign_blocks(windows, windows + look_ahead * minute, layout.blocks, 0)
    assert counts(layout, purged.block) == [661, 138, 139]
    assert purged.purged == 12


@given(
    st.lists(st.integers(1, 96), min_size=3, max_size=3, unique=True).map(sorted),
    st.integers(5_000, 100_000),
    st.integers(1, 40),
)
def test_shares_cover_the_span_and_are_rounded_down_to_whole_units(cuts: list[int], units: int, unit: int) -> None:
    bounds = [0, *cuts, 100]
    stated_shares = [
        (part, (bounds[n + 1] - bounds[n]) / 100)
        for n, part in enumerate(("train", "validation", "calibration", "test"))
    ]
    end = START + timedelta(seconds=units * unit)
    layout = laid(shares(*stated_shares, resolution_seconds=unit), START, end)
    lengths = [(block.last_us - block.first_us) // 1_000_000 for block in layout.blocks]
    expected = [units * (bounds[n + 1] - bounds[n]) // 100 * unit for n in range(3)]
    assert lengths == [*expected, units * unit - sum(expected)]
    assert from_microseconds(layout.blocks[-1].last_us) == end


def test_shares_may_state_how_long_their_span_is() -> None:
    layout = laid(shares(("train", 0.5), ("test", 0.5)) | {"length": "P12M"})
    assert from_microseconds(layout.blocks[-1].last_us) == datetime(2024, 1, 1, tzinfo=UTC)


def test_blocks_in_months_end_on_the_first_of_a_month() -> None:
    layout = laid(EXPANDING)
    assert [(block.part, month(block.first_us), month(block.last_us)) for block in layout.blocks] == [
        ("train", 0, 16), ("validation", 16, 18), ("degradation", 18, 20), ("calibration", 20, 21), ("test", 21, 22),
        ("degradation", 22, 24),
    ]  # fmt: skip
    assert from_microseconds(layout.blocks[-1].last_us) == END


def test_blocks_stated_in_days_lie_where_they_always_did() -> None:
    blocks = [{"part": part, "length": f"P{days}D"} for part, days in (("train", 24), ("validation", 4), ("test", 8))]
    layout = laid(COMMON | {"kind": "blocks", "blocks": blocks})
    assert [(from_microseconds(b.last_us) - START).days for b in layout.blocks] == [24, 28, 36]
    assert (layout.folds, layout.notes) == ((), ())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (shares(("train", 0.7), ("test", 0.2)), r"add up to 1, they add up to 0\.9"),
        (shares(("validation", 0.5), ("test", 0.5)), "part: train"),
        (EXPANDING | {"degradation": [AGED[0], AGED[0]]}, "need different names"),
        (EXPANDING | {"degradation": [AGED[0] | {"name": "recent"}]}, "need different names"),
        (EXPANDING | {"calibration_from": "out_of_fold"}, r"needs minimum_effective_samples\.calibration"),
        (EXPANDING | {"minimum_effective_samples": {"test": -1}}, "must not be negative"),
        (FOLDED | {"kind": "combinatorial_purged", "groups": 3, "test_groups": 3, "resolution_seconds": 60}, "fewer"),
        (EXPANDING | {"kind": "random"}, r"one of blocks, shares, .*combinatorial_purged; found 'random'"),
    ],
)
def test_splits_that_contradict_themselves_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        split_of(values)


def test_mistakes_of_a_split_keep_their_places() -> None:
    values = stated()
    values["split"]["blocks"][1]["length"] = "a month"
    values["split"]["embargo"] = 1
    with pytest.raises(ValidationError) as caught:
        parameters_of(values)
    assert [error["loc"] for error in caught.value.errors()] == [("split",)]
    nested = caught.value.errors()[0]["ctx"]["error"].error
    assert [error["loc"] for error in nested.errors()] == [("blocks", 1), ("embargo",)]


@pytest.mark.parametrize("values", [EXPANDING, shares(("train", 1.0)), EXPANDING | {"degradation": AGED}])
def test_a_split_comes_back_from_its_json(values: dict[str, Any]) -> None:
    adapter: TypeAdapter[Split] = TypeAdapter(SplitParameters)
    split = split_of(values)
    text = adapter.dump_json(split)
    assert adapter.validate_json(text) == split
    assert json.loads(text) == values


@pytest.mark.parametrize(
    ("blocks", "embargo", "refused"),
    [
        (("train", "test", "train"), 43_199, True),
        (("train", "test", "train"), 43_200, False),
        (("train", "validation", "calibration", "test"), 0, False),
        (("train", "degradation", "train", "test"), 43_199, True),
    ],
)
def test_an_embargo_shorter_than_the_look_back_is_refused_where_training_follows(
    blocks: tuple[str, ...], embargo: int, *, refused: bool
) -> None:
    values = stated()
    values["split"]["blocks"] = [
        {"part": part, "length": "PT12H"} | ({"name": "aged"} if part == "degradation" else {}) for part in blocks
    ]
    values["split"]["embargo_seconds"] = embargo
    if refused:
        with pytest.raises(ValidationError, match=r"embargo_seconds \(43199\) is shorter than .* = 43200"):
            parameters_of(values)
    else:
        assert parameters_of(values).layout.blocks


def test_the_short_look_back_is_that_of_additional_streams_where_there_are_no_others() -> None:
    values = stated()
    extra = {"lookback": "P3D", "kind": "external_series", "parameters": {"series": "index", "full_age_seconds": 60}}
    assert parameters_of(values).streams.short_lookback == timedelta(hours=12)
    values["streams"]["mask"]["lookback"] = "PT13H"
    values["streams"]["additional"] = {"index": extra}
    assert parameters_of(values).streams.short_lookback == timedelta(hours=13)
    values["streams"] |= {"book": None, "price": None, "mask": None}
    assert parameters_of(values).streams.short_lookback == timedelta(days=3)
    values["streams"]["additional"] = {}
    assert parameters_of(values).streams.short_lookback == timedelta(0)


def test_folds_that_train_after_their_validation_need_the_embargo_too() -> None:
    values = stated()
    combinatorial = {
        "kind": "combinatorial_purged", "groups": 4, "test_groups": 1, "resolution_seconds": 600,
        "calibration_from": "block",
    }  # fmt: skip
    values["split"] |= combinatorial
    with pytest.raises(ValidationError, match="embargo_seconds"):
        parameters_of(values)
    values["split"]["embargo_seconds"] = 43_200
    assert len(parameters_of(values).layout.folds) == 4


def test_degradation_blocks_are_held_out_of_every_block_and_fold() -> None:
    layout = laid(EXPANDING | {"degradation": AGED, "on_overlap": "shift"})
    aged = [block for block in layout.blocks if block.part == "degradation"]
    assert [(block.name, month(block.first_us), month(block.last_us)) for block in aged] == [
        ("18_months", 6, 8), ("12_months", 12, 14), ("6_months", 18, 20), ("recent", 22, 24)
    ]  # fmt: skip
    trained = [span for fold in layout.folds for span in (*fold.train, *fold.validation)]
    trained += [block.span for block in layout.blocks if block.part != "degradation"]
    for block in aged:
        assert all(span.last_us <= block.first_us or block.last_us <= span.first_us for span in trained)
    t0 = np.asarray([block.first_us for block in aged])
    assert (assign_blocks(t0, t0 + 1, layout.blocks, 0).block != NO_BLOCK).all()


def test_a_degradation_block_on_calibration_is_refused() -> None:
    aged = [{"name": "late", "after": "P20M", "length": "P1M"}]
    with pytest.raises(ValueError, match=r"degradation block 'late' .*overlaps the calibration block"):
        laid(EXPANDING | {"degradation": aged})
