"""A dataset seen with its classes cut anew."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.class_boundaries import Boundaries
from trademl_assets.datasets.class_view import ClassGrid, cut_anew
from trademl_assets.datasets.fold_view import seen_with, view_of_fold
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets_tests.datasets.test_fold_view import EXPANDING
from trademl_assets_tests.training.conftest import FRAME, dataset_values, write_market

PROVENANCE = Provenance(code_version="1", config_fingerprint="f", upstream={})
EDGES = (-40.0, 0.0, 40.0)
SCALED = {"kind": "volatility_scaled", "multiples": [-1.0, 1.0]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    made = ArtifactStore.at(tmp_path_factory.mktemp("store"))
    write_market(made)
    return made


def built(store: ArtifactStore, name: str, boundaries: dict[str, object], **labels: object) -> Dataset:
    values = dataset_values()
    stated = {**values["labels"], "parameters": {"boundaries": boundaries}, **labels}
    parameters = DatasetParameters.model_validate_json(
        json.dumps(values | {"labels": stated, "split": values["split"] | EXPANDING, "pooled_with": ["LEAD"]})
    )
    with store.write("dataset", name, schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, build_dataset(store, parameters, FRAME))
    return open_dataset(store, name)


@pytest.fixture(scope="module")
def dataset(store: ArtifactStore) -> Dataset:
    return built(store, "fixed", {"kind": "fixed", "edges_bps": EDGES}, horizons_seconds=[900, 1800])


@pytest.fixture(scope="module")
def scaled(store: ArtifactStore) -> Dataset:
    return built(store, "scaled", SCALED)


@pytest.fixture(scope="module")
def halves(store: ArtifactStore) -> Dataset:
    return built(store, "halves", {"kind": "quantile", "classes": 2})


def cut(**stated: object) -> Boundaries:
    found: Boundaries = TypeAdapter(Boundaries).validate_json(json.dumps(stated))
    return found


@given(st.sets(st.sampled_from([-90.0, -40.0, -7.5, 0.0, 12.0, 40.0]), min_size=1))
def test_each_class_of_the_view_lies_in_one_of_either_grid(dataset: Dataset, chosen: set[float]) -> None:
    view, grid = cut_anew(dataset, "other", cut(kind="fixed", edges_bps=sorted(chosen)))
    returns, labels = dataset.index["return_bps"].to_numpy(), view.index["label"].to_numpy()
    assert view.classes == len(view.class_names) == len(chosen | set(EDGES)) + 1
    np.testing.assert_array_equal(np.array(grid.judged)[labels], dataset.index["label"].to_numpy())
    np.testing.assert_array_equal(np.array(grid.trained)[labels], np.digitize(returns, sorted(chosen)))
    assert grid.holds_dataset_edges == (set(EDGES) <= chosen)
    assert grid.classes == dataset.classes
    assert ClassGrid.from_json(json.loads(json.dumps(grid.as_json(), sort_keys=True))) == grid
    assert view.index.drop("label").equals(dataset.index.drop("label"))


def test_a_return_on_an_edge_belongs_to_the_class_above(dataset: Dataset) -> None:
    edge = float(dataset.index["return_bps"][7])
    view, grid = cut_anew(dataset, "tie", cut(kind="fixed", edges_bps=[edge]))
    assert grid.trained[view.index["label"][7]] == 1


def test_the_dataset_s_own_boundaries_are_no_other_grid(dataset: Dataset) -> None:
    view, grid = cut_anew(dataset, "same", cut(kind="fixed", edges_bps=EDGES))
    assert grid.trained == grid.judged == (0, 1, 2, 3)
    assert (view.recipe, view.index.equals(dataset.index)) == (dataset.recipe, True)


def test_volatility_scaled_classes_are_cut_by_the_return_over_sigma(scaled: Dataset) -> None:
    view, grid = cut_anew(scaled, "fine", cut(kind="volatility_scaled", multiples=[-1.0, 0.0, 1.0]))
    relative = (scaled.index["return_bps"] / scaled.index["sigma_bps"]).to_numpy()
    np.testing.assert_array_equal(view.index["label"].to_numpy(), np.digitize(relative, [-1.0, 0.0, 1.0]))
    assert (grid.judged, view.recipe["boundaries_bps"]) == ((0, 1, 1, 2), None)


@pytest.mark.parametrize("fold", [None, 1])
def test_quantiles_are_those_of_training_rows_on_the_stride_alone(halves: Dataset, fold: int | None) -> None:
    one_target = halves.index.filter(instrument="FOLLOW")
    seen = seen_with(halves, one_target, {**halves.recipe, "targets": ["FOLLOW"]})
    view = seen if fold is None else view_of_fold(seen, fold)
    learnt = (pl.col("part") == "train") & pl.col("on_stride")
    quantiles = cut(kind="quantile", classes=4)
    _, grid = cut_anew(view, "quarters", quantiles)
    expected = np.quantile(view.index.filter(learnt)["return_bps"].to_numpy(), [0.25, 0.5, 0.75])
    assert grid.edges["FOLLOW"]["900"] == tuple(expected)
    others = view.index.with_columns(
        return_bps=pl.when(learnt).then("return_bps").otherwise(pl.col("return_bps") * 1.7)
    )
    edge = view.recipe["class_edges"]["FOLLOW"]["900"][0]
    label = (others["return_bps"] >= edge).cast(pl.Int8)
    _, moved = cut_anew(seen_with(view, others.with_columns(label=label), view.recipe), "quarters", quantiles)
    assert moved.edges == grid.edges


def test_a_grid_of_another_unit_is_refused(dataset: Dataset, scaled: Dataset) -> None:
    with pytest.raises(
        ConfigError, match=r"'other' cuts the return over its sigma, .* 'fixed' are cut by the return in bps"
    ):
        cut_anew(dataset, "other", cut(**SCALED))
    with pytest.raises(ConfigError, match=r"'other' cuts the return in bps, .* 'scaled' are cut by the return over"):
        cut_anew(scaled, "other", cut(kind="fixed", edges_bps=[0.0]))


def test_labels_that_are_no_intervals_of_their_return_are_refused(dataset: Dataset) -> None:
    other = seen_with(dataset, dataset.index.with_columns(label=3 - pl.col("label")), dataset.recipe)
    with pytest.raises(ConfigError, match="are not the interval in which their return lies"):
        cut_anew(other, "other", cut(kind="fixed", edges_bps=[0.0]))


def test_quantiles_that_lie_otherwise_among_the_edges_of_other_horizons_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="do not lie in the same order for FOLLOW over 900 s and FOLLOW over 1800 s"):
        cut_anew(dataset, "fifths", cut(kind="quantile", classes=12))


def test_a_grid_without_edges_for_the_instrument_is_told_by_its_name(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"class grid 'own' of LEAD: .*not 'LEAD'"):
        cut_anew(dataset, "own", cut(kind="by_instrument", edges_bps={"FOLLOW": [0.0]}))
