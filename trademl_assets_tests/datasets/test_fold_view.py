"""Folds as datasets: which rows, in which blocks, with which weights."""

import json

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.fold_view import view_of_fold, weighed_anew
from trademl_assets.datasets.folds import Fold, fold_rows
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.splits import Span
from trademl_assets.datasets.weights import WeightParameters
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets_tests.training.conftest import FRAME, dataset_values, write_market

EXPANDING = {
    "kind": "expanding",
    "first_train": "P2D",
    "validation": "P1D",
    "step": "P1D",
    "windows": 3,
    "on_overlap": "refuse",
    "calibration_from": "block",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = ArtifactStore.at(tmp_path_factory.mktemp("store"))
    write_market(store)
    values = dataset_values()
    parameters = DatasetParameters.model_validate_json(json.dumps(values | {"split": values["split"] | EXPANDING}))
    provenance = Provenance(code_version="1", config_fingerprint="f", upstream={})
    with store.write("dataset", "folded", schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
        write_dataset(writer, build_dataset(store, parameters, FRAME))
    return open_dataset(store, "folded")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_view_has_the_rows_of_its_fold_and_no_others(dataset: Dataset, number: int) -> None:
    view = view_of_fold(dataset, number)
    stated = dataset.recipe["folds"][number]
    fold = Fold(*(tuple(Span(*ends) for ends in stated[part]) for part in ("train", "validation")))
    spans = (dataset.index[name].to_physical().to_numpy() for name in ("t0", "t1"))
    for part, rows in zip(("train", "validation"), fold_rows(fold, *spans, 3600), strict=True):
        found = view.index.filter(pl.col("part") == part)["sample"].to_list()
        assert found == dataset.index.filter(pl.Series(rows))["sample"].to_list()
        assert found
    held_out = dataset.index.filter(pl.col("part").is_in(["calibration", "test"]))["sample"]
    assert not set(held_out) & set(view.index["sample"])


def test_windows_expand_and_the_validation_of_one_is_trained_on_by_the_next(dataset: Dataset) -> None:
    views = [view_of_fold(dataset, number).index for number in range(3)]
    trained = [set(view.filter(pl.col("part") == "train")["sample"]) for view in views]
    assert trained[0] < trained[1] < trained[2]
    validated = [set(view.filter(pl.col("part") == "validation")["sample"]) for view in views]
    assert not validated[0] & validated[1]
    assert validated[0] & trained[1]


def test_segments_end_with_the_stretch_that_their_samples_lie_in(dataset: Dataset) -> None:
    view = view_of_fold(dataset, 1)
    for part in ("train", "validation"):
        ends = [block["last_us"] for block in view.recipe["blocks"] if block["part"] == part]
        segments = view.segments(part, on_stride_only=False)
        assert max(segment.last_step for segment in segments) * view.cadence_us + _origin(view) <= max(ends)
        assert sum(len(segment.rows) for segment in segments) == view.index.filter(pl.col("part") == part).height


def test_streams_are_those_of_the_dataset_opened_once(dataset: Dataset) -> None:
    view = view_of_fold(dataset, 0)
    assert view.stored is dataset.stored
    np.testing.assert_array_equal(view.gather("price", 100, 200), dataset.gather("price", 100, 200))


def test_training_rows_are_weighed_from_the_newest_of_their_fold(dataset: Dataset) -> None:
    view = view_of_fold(dataset, 0)
    trained = view.index.filter(pl.col("part") == "train")
    ages = (trained["t0"].max() - trained["t0"]).dt.total_seconds().to_numpy() / 86400
    weights = trained["weight"].to_numpy()
    np.testing.assert_allclose(weights / weights.max(), 2.0 ** (-ages / 2.0), rtol=1e-5)
    assert weights.mean() == pytest.approx(1.0, rel=1e-5)
    assert set(view.index.filter(pl.col("part") == "validation")["weight"]) == {1.0}


def test_weighing_with_the_datasets_own_parameters_changes_nothing(dataset: Dataset) -> None:
    own = WeightParameters.model_validate_json(json.dumps(dataset.recipe["parameters"]["weights"]))
    assert weighed_anew(dataset, own).index.equals(dataset.index)
    longer = WeightParameters.model_validate_json('{"parts": [{"kind": "exponential_age", "half_life_days": 20.0}]}')
    spread = weighed_anew(dataset, longer).index["weight"]
    assert spread.max() / spread.min() < dataset.index["weight"].max() / dataset.index["weight"].min()


@pytest.mark.parametrize("number", [-1, 3])
def test_a_fold_that_is_not_there_is_refused(dataset: Dataset, number: int) -> None:
    with pytest.raises(ConfigError, match="has 3 folds"):
        view_of_fold(dataset, number)


def _origin(view: Dataset) -> int:
    first = view.index.row(0, named=True)
    return int(first["t0"].timestamp() * 1_000_000) - first["step"] * view.cadence_us
