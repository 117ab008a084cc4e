"""A reference is fitted once for all models of a dataset, and anew as soon as anything changes that it follows from."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.evaluation import kept_reference
from trademl_assets.evaluation.boosted_reference import BOOSTING, boosted_baseline
from trademl_assets.evaluation.judge import EvaluationParameters
from trademl_assets.evaluation.kept_reference import KEPT_REFERENCE
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.evaluation.examples import evaluation_parameters
from trademl_assets_tests.evaluation.test_boosted_reference import BOOSTED
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values, write_market

Forecast = np.ndarray


def stated(pseudo_counts: float = 5, seed: int = 7, **boosting: object) -> EvaluationParameters:
    values = {"volatility_bins": 10, "pseudo_counts": pseudo_counts, "logistic_penalty": 0.001}
    grown = {**BOOSTED, "most_rounds": 4, "least_rows_a_leaf": 20, **boosting}
    return evaluation_parameters(baselines={**values, "boosting": grown}, seed=seed)


def write(store: ArtifactStore, half_life_days: float) -> Dataset:
    values = dataset_values()
    values["weights"]["parts"][0]["half_life_days"] = half_life_days
    parameters = DatasetParameters.model_validate_json(json.dumps(values))
    with store.write("dataset", "signal", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, build_dataset(store, parameters, FRAME))
    return open_dataset(store, "signal")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    store = ArtifactStore.at(tmp_path_factory.mktemp("store"))
    write_market(store)
    write(store, 2.0)
    return store


@pytest.fixture
def store(made: ArtifactStore, tmp_path: Path) -> ArtifactStore:
    shutil.copytree(made.layout.root, tmp_path / "store")
    return ArtifactStore.at(tmp_path / "store")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every fit of trees."""
    counted: list[int] = []
    fit = HistGradientBoostingClassifier.fit

    def counting(trees: HistGradientBoostingClassifier, features: Forecast, *given: object, **more: object) -> object:
        counted.append(len(features))
        return fit(trees, features, *given, **more)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", counting)
    return counted


def predictions(dataset: Dataset) -> pl.DataFrame:
    """What a model says at every decision that is judged, as far as a reference looks at it."""
    return dataset.index.filter("on_stride").select("sample", "part")


def forecast(store: ArtifactStore, parameters: EvaluationParameters, leave_out: int = 0) -> Forecast:
    dataset = open_dataset(store, "signal")
    asked = predictions(dataset)
    return boosted_baseline(dataset, dataset.index, asked.head(asked.height - leave_out), parameters)[BOOSTING]


def kept(store: ArtifactStore) -> tuple[str, ...]:
    return store.cache.partitions(KEPT_REFERENCE)


def test_the_second_model_of_a_dataset_takes_it_as_it_is(store: ArtifactStore, fits: list[int]) -> None:
    first = forecast(store, stated())
    assert fits
    done = len(fits)
    assert (forecast(store, stated()) == first).all()
    assert len(fits) == done
    bins = stated().baselines.model_copy(update={"volatility_bins": 20})  # it does not follow from them
    assert (forecast(store, stated().model_copy(update={"baselines": bins})) == first).all()
    assert len(fits) == done


@pytest.mark.parametrize(
    "changed",
    [
        lambda store: forecast(store, stated(seed=8)),
        lambda store: forecast(store, stated(pseudo_counts=6)),
        lambda store: forecast(store, stated(rows_at_most=100)),
        lambda store: forecast(store, stated(most_leaves=3)),
        lambda store: forecast(store, stated(), leave_out=1),
        lambda store: write(store, 3.0) and forecast(store, stated()),
    ],
    ids=["seed", "smoothing", "rows", "trees", "decisions", "dataset"],
)
def test_it_is_fitted_anew_when_anything_changes_that_it_follows_from(
    store: ArtifactStore, fits: list[int], changed: Callable[[ArtifactStore], Forecast]
) -> None:
    forecast(store, stated())
    done = len(fits)
    found = changed(store)
    assert len(fits) > done
    done = len(fits)
    assert (changed(store) == found).all()
    assert len(fits) == done


def test_other_code_fits_it_anew(store: ArtifactStore, fits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    forecast(store, stated())
    done = len(fits)
    monkeypatch.setattr(kept_reference, "LIBRARIES", ("numpy",))
    forecast(store, stated())
    assert len(fits) == 2 * done


def test_a_damaged_table_is_made_again(store: ArtifactStore, fits: list[int]) -> None:
    first = forecast(store, stated())
    done = len(fits)
    path = store.cache.file_path(KEPT_REFERENCE, kept(store)[0], "data")
    path.write_bytes(path.read_bytes()[:-7])
    assert (forecast(store, stated()) == first).all()
    assert len(fits) == 2 * done
    assert (forecast(store, stated()) == first).all()
    assert len(fits) == 2 * done


def test_one_table_is_kept_for_each_set_of_decisions_and_none_of_an_earlier_dataset(store: ArtifactStore) -> None:
    forecast(store, stated())
    forecast(store, stated(seed=8))
    assert len(kept(store)) == 1
    forecast(store, stated(), leave_out=1)
    assert len(kept(store)) == 2
    write(store, 3.0)
    forecast(store, stated())
    assert len(kept(store)) == 1


def test_what_was_not_opened_from_a_store_is_fitted_each_time(store: ArtifactStore, fits: list[int]) -> None:
    opened = open_dataset(store, "signal")
    dataset = Dataset("signal", opened.recipe, opened.index, store)
    for _ in range(2):
        boosted_baseline(dataset, dataset.index, predictions(dataset), stated())
    assert len(fits) % 2 == 0
    assert len(fits) >= 2
    assert kept(store) == ()
