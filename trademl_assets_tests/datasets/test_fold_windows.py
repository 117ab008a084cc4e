"""Expanding and rolling windows of folds: where they lie, what moves them, what is refused."""

from typing import Any

import pytest

from trademl_assets_tests.datasets.split_examples import AGED, EXPANDING, FOLDED, laid, month


def test_the_documents_expanding_windows() -> None:
    folds = laid(EXPANDING).folds
    assert [[(month(s.first_us), month(s.last_us)) for s in fold.train] for fold in folds] == [
        [(0, 12)], [(0, 14)], [(0, 16)]
    ]  # fmt: skip
    assert [[(month(s.first_us), month(s.last_us)) for s in fold.validation] for fold in folds] == [
        [(12, 14)], [(14, 16)], [(16, 18)]
    ]  # fmt: skip


def test_a_window_on_a_degradation_block_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"validation of fold 1 .*degradation block '12_months'.*on_overlap: shift"):
        laid(EXPANDING | {"degradation": AGED})


def test_a_window_on_a_degradation_block_is_moved_before_it_and_the_recipe_says_so() -> None:
    layout = laid(EXPANDING | {"degradation": AGED, "on_overlap": "shift"})
    assert [[(month(s.first_us), month(s.last_us)) for s in fold.validation] for fold in layout.folds] == [
        [(10, 12)], [(14, 16)], [(16, 18)]
    ]  # fmt: skip
    a_day = 0.01
    assert [[(month(s.first_us), month(s.last_us)) for s in fold.train] for fold in layout.folds] == [
        [(0, 6), (8 + a_day, 10)],
        [(0, 6), (8 + a_day, 12)],
        [(0, 6), (8 + a_day, 12), (14 + a_day, 16)],
    ]
    (note,) = layout.notes
    assert "fold 1" in note
    assert "2024-01-01 to 2024-03-01 overlaps the degradation block '12_months'" in note
    assert "moved back to 2023-11-01 to 2024-01-01" in note


def test_windows_before_a_moved_one_give_way() -> None:
    aged = [{"name": "12_months", "after": "P14M", "length": "P2M"}]
    layout = laid(EXPANDING | {"degradation": aged, "on_overlap": "shift"})
    assert [[month(s.first_us) for s in fold.validation] for fold in layout.folds] == [[10], [12], [16]]
    assert "overlaps the next fold's validation" in layout.notes[0]


def test_rolling_training_keeps_its_length() -> None:
    values = FOLDED | {
        "kind": "rolling", "train": "P6M", "validation": "P2M", "step": "P3M", "windows": 4, "on_overlap": "refuse"
    }  # fmt: skip
    folds = laid(values).folds
    assert [[(month(s.first_us), month(s.last_us)) for s in (*f.train, *f.validation)] for f in folds] == [
        [(0, 6), (6, 8)], [(3, 9), (9, 11)], [(6, 12), (12, 14)], [(9, 15), (15, 17)]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"windows": 4}, "ends after the train and validation blocks"),
        ({"step": "P1M"}, "overlap each other: make step at least as long"),
        ({"first_train": "P1M", "on_overlap": "shift", "windows": 1, "degradation": [
            {"name": "early", "after": "P1M", "length": "P2M"}]}, "no room to train"),
    ],
)  # fmt: skip
def test_windows_that_cannot_be_are_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        laid(EXPANDING | changes)


def test_windows_never_validate_on_calibration_or_test_and_are_not_moved_away_from_them() -> None:
    blocks = [("train", 10), ("calibration", 1), ("test", 1), ("train", 10), ("validation", 1)]
    stated = [{"part": part, "length": f"P{months}M"} for part, months in blocks]
    values = EXPANDING | {"blocks": stated, "first_train": "P9M", "windows": 1, "on_overlap": "shift"}
    with pytest.raises(ValueError, match=r"overlaps the calibration block .*write the windows elsewhere"):
        laid(values)
