from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import DatasetParts, build_dataset
from trademl_assets.datasets.folds import Fold, fold_rows
from trademl_assets.datasets.leakage import SHIPPED, audit_parts
from trademl_assets.datasets.split_plots import draw_split
from trademl_assets.datasets.split_report import out_of_fold_samples
from trademl_assets.datasets.splits import Span, effective_samples
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import parameters_of, stated

HOUR_US = 3_600_000_000
BLOCKS = [
    {"part": "train", "length": "P2D"},
    {"part": "validation", "length": "PT12H"},
    {"part": "calibration", "length": "PT6H"},
    {"part": "test", "length": "PT18H"},
    {"part": "degradation", "name": "recent", "length": "PT12H"},
]
AGED = {"name": "aged", "after": "PT12H", "length": "PT6H"}


def values_of(**split: Any) -> dict[str, Any]:
    values = stated()
    values["split"] = {
        "kind": "expanding",
        "blocks": BLOCKS,
        "embargo_seconds": 43_200,
        "degradation": [AGED],
        "minimum_effective_samples": {},
        "on_short_part": "warn",
        "calibration_from": "block",
        "first_train": "PT36H",
        "validation": "PT12H",
        "step": "PT12H",
        "windows": 2,
        "on_overlap": "refuse",
    } | split
    return values


@pytest.fixture(scope="module")
def aged(filled_store: ArtifactStore) -> DatasetParts:
    """A dataset with two expanding folds, one degradation block inside training and one at the end."""
    return build_dataset(filled_store, parameters_of(values_of()), FRAME)


def test_the_recipe_tells_every_fold_with_its_rows(aged: DatasetParts) -> None:
    index, recipe = aged.index, aged.recipe
    t0, t1 = (index[name].to_physical().to_numpy() for name in ("t0", "t1"))
    on_stride = index["on_stride"].to_numpy()
    folds = parameters_of(values_of()).layout.folds
    assert len(recipe["folds"]) == len(folds) == 2
    assert recipe["longest_label_seconds"] == 900
    for told, fold in zip(recipe["folds"], folds, strict=True):
        train, validation = fold_rows(fold, t0, t1, 43_200)
        assert told["train"] == [[span.first_us, span.last_us] for span in fold.train]
        assert told["validation"] == [[span.first_us, span.last_us] for span in fold.validation]
        assert told["train_samples"] == train.sum() > 0
        validation &= on_stride
        assert told["validation_samples"] == validation.sum() > 0
        assert told["effective_samples"]["validation"] == effective_samples(t0[validation], t1[validation])
        assert not told["hindsight"]
        assert not (index["part"].to_numpy()[train | validation] == "degradation").any()


def test_blocks_and_degradation_are_told_with_name_and_hindsight(aged: DatasetParts) -> None:
    recipe = aged.recipe
    assert [(block["part"], block["name"], block["hindsight"]) for block in recipe["blocks"]] == [
        ("train", "", False),
        ("degradation", "aged", True),
        ("train", "", False),
        ("validation", "", False),
        ("calibration", "", False),
        ("test", "", False),
        ("degradation", "recent", False),
    ]
    assert [(block["name"], block["hindsight"]) for block in recipe["degradation"]] == [
        ("aged", True), ("recent", False)
    ]  # fmt: skip
    taken = aged.index.filter(pl.col("part") == "degradation")["block"].unique().to_list()
    assert taken == [1, 6]
    assert recipe["degradation"][0]["samples"] == aged.index.filter(pl.col("block") == 1).height
    assert any("'aged'" in note and "hindsight" in note for note in recipe["split_notes"])
    assert recipe["calibration_from"] == "block"


def test_training_keeps_the_embargo_after_a_degradation_block(aged: DatasetParts) -> None:
    ended = aged.recipe["degradation"][0]["last_us"]
    t0 = aged.index.filter((pl.col("part") == "train") & (pl.col("block") == 2))["t0"].to_physical().to_numpy()
    assert t0.min() == ended + 12 * HOUR_US


def test_an_honest_dataset_with_degradation_blocks_passes_the_audit(
    filled_store: ArtifactStore, aged: DatasetParts
) -> None:
    report = audit_parts(filled_store, aged, SHIPPED)
    assert report.passed, report.violations


KINDS: dict[str, dict[str, Any]] = {
    "rolling": {"train": "P1D", "validation": "PT6H", "step": "PT6H", "windows": 5, "on_overlap": "shift"},
    "time_series": {"n_splits": 3, "resolution_seconds": 600},
    "combinatorial_purged": {"groups": 4, "test_groups": 2, "resolution_seconds": 600},
}


@pytest.mark.parametrize("kind", KINDS)
def test_folds_of_every_kind_belong_to_a_dataset_that_passes_the_audit(filled_store: ArtifactStore, kind: str) -> None:
    values = values_of()
    common = ("blocks", "embargo_seconds", "minimum_effective_samples", "on_short_part", "calibration_from")
    stated_split = {name: values["split"][name] for name in common}
    values["split"] = stated_split | KINDS[kind] | {"kind": kind, "degradation": []}
    parts = build_dataset(filled_store, parameters_of(values), FRAME)
    assert len(parts.recipe["folds"]) == {"rolling": 5, "time_series": 3, "combinatorial_purged": 6}[kind]
    assert any(fold["hindsight"] for fold in parts.recipe["folds"]) == (kind == "combinatorial_purged")
    report = audit_parts(filled_store, parts, SHIPPED)
    assert report.passed, report.violations


def test_a_dataset_by_shares_passes_the_audit(filled_store: ArtifactStore) -> None:
    values = values_of()
    shares = [("train", 0.6), ("validation", 0.15), ("calibration", 0.1), ("test", 0.15)]
    common = ("embargo_seconds", "degradation", "minimum_effective_samples", "on_short_part")
    values["split"] = {name: values["split"][name] for name in common} | {
        "kind": "shares",
        "length": None,
        "resolution_seconds": 3600,
        "shares": [{"part": part, "share": share} for part, share in shares],
    }
    parts = build_dataset(filled_store, parameters_of(values), FRAME)
    lengths = [(block["last_us"] - block["first_us"]) / HOUR_US for block in parts.recipe["blocks"]]
    assert lengths == [12, 6, 39, 14, 9, 16], (
        "96 hours: 57, 14, 9 and the rest, six of training for a degradation block"
    )
    assert audit_parts(filled_store, parts, SHIPPED).passed


def test_a_short_part_is_a_warning_or_a_refusal_as_configured(filled_store: ArtifactStore) -> None:
    minimum = {"test": 1000, "train": 10, "degradation": 40}
    parts = build_dataset(filled_store, parameters_of(values_of(minimum_effective_samples=minimum)), FRAME)
    found = [line for line in parts.recipe["warnings"] if "independent labels" in line]
    assert len(found) == 2
    assert "part test has" in found[0]
    assert "degradation block 'aged' has" in found[1]
    refusing = values_of(minimum_effective_samples=minimum, on_short_part="refuse")
    with pytest.raises(DataQualityError, match=r"part test has \d+ independent labels, fewer than 1000"):
        build_dataset(filled_store, parameters_of(refusing), FRAME)


def test_out_of_fold_predictions_stand_in_for_a_short_calibration_part(filled_store: ArtifactStore) -> None:
    asked = {"minimum_effective_samples": {"calibration": 30}, "calibration_from": "out_of_fold"}
    parts = build_dataset(filled_store, parameters_of(values_of(**asked, on_short_part="refuse")), FRAME)
    assert parts.recipe["calibration_from"] == "out_of_fold"
    (note,) = [line for line in parts.recipe["split_notes"] if "out-of-fold" in line]
    assert note.startswith("part calibration has 2")
    assert "predictions of the 2 folds" in note
    enough = asked | {"minimum_effective_samples": {"calibration": 10}}
    parts = build_dataset(filled_store, parameters_of(values_of(**enough)), FRAME)
    assert parts.recipe["calibration_from"] == "block"


def test_out_of_fold_samples_are_those_of_all_folds_each_once() -> None:
    t0 = np.arange(0, 100, 5)
    first, second = Fold((Span(0, 20),), (Span(20, 40),)), Fold((Span(0, 20),), (Span(30, 70),))
    on_stride = np.ones(len(t0), dtype=np.bool_)
    found = out_of_fold_samples((first, second), t0, t0 + 5, on_stride, embargo_seconds=0)
    assert found == 10.0
    assert out_of_fold_samples((first,), t0, t0 + 5, t0 % 10 == 0, embargo_seconds=0) == 2.0


def test_out_of_fold_predictions_that_fall_short_too_are_refused(filled_store: ArtifactStore) -> None:
    asked = {"minimum_effective_samples": {"calibration": 500}, "calibration_from": "out_of_fold"}
    with pytest.raises(DataQualityError, match=r"part calibration has .* and so have the out-of-fold predictions"):
        build_dataset(filled_store, parameters_of(values_of(**asked, on_short_part="refuse")), FRAME)
    parts = build_dataset(filled_store, parameters_of(values_of(**asked)), FRAME)
    assert parts.recipe["calibration_from"] == "out_of_fold"
    assert any("and so have the out-of-fold predictions" in line for line in parts.recipe["warnings"])


def test_a_fold_without_rows_is_refused(filled_store: ArtifactStore) -> None:
    with pytest.raises(DataQualityError, match=r"fold 1 has \d+ samples to train and 0 to validate on"):
        build_dataset(filled_store, parameters_of(values_of(validation="PT10M", windows=1)), FRAME)


def test_the_picture_is_a_png_and_deterministic_and_shows_every_fold(aged: DatasetParts) -> None:
    picture = draw_split(aged.recipe)
    assert picture.startswith(b"\x89PNG")
    assert picture == draw_split(aged.recipe)
    fewer = draw_split(aged.recipe | {"folds": aged.recipe["folds"][:1]})
    assert _height(fewer) < _height(picture)


def test_a_split_without_folds_is_drawn_too(example_parts: DatasetParts) -> None:
    assert example_parts.recipe["folds"] == []
    assert draw_split(example_parts.recipe).startswith(b"\x89PNG")


def _height(png: bytes) -> int:
    return int(np.frombuffer(png[20:24], dtype=">u4")[0])
