"""One network for two instruments over two horizons, trained on a dataset that labels them all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.models.inputs import inputs_of
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_model
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.fit import fit_members
from trademl_assets.training.member import build_network
from trademl_assets.training.results import SUMMARY_FILE, read_json
from trademl_assets_tests.training.conftest import (
    FRAME,
    PROVENANCE,
    dataset_values,
    model_of,
    model_values,
    specification,
    training_values,
)

ALL = {"horizons": "all", "targets": "all", "target_embedding_width": 3}


@pytest.fixture(scope="module")
def several(store: ArtifactStore) -> Dataset:
    values: dict[str, Any] = dataset_values()
    values["pooled_with"] = ["LEAD"]
    values["labels"]["horizons_seconds"] = [900, 1800]
    parts = build_dataset(store, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
    with store.write("dataset", "several", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    return open_dataset(store, "several")


def test_a_batch_says_whose_label_each_decision_has_over_which_horizon(several: Dataset) -> None:
    network = build_network(model_of(answers=ALL), inputs_of(several))
    feed = SegmentFeed(several, network)
    stretches = feed.stretches("train", on_stride_only=False, every_label=True)
    batch = feed.batch(stretches)
    rows = several.index[batch.rows.numpy()]
    assert np.array(network.targets)[batch.decision_target.numpy()].tolist() == rows["instrument"].to_list()
    horizons = np.array(network.horizons_seconds)[batch.decision_horizon.numpy()]
    np.testing.assert_array_equal(horizons, rows["horizon_seconds"].to_numpy())
    assert sorted(batch.rows.tolist()) == np.flatnonzero((several.index["part"] == "train").to_numpy()).tolist()
    primary = feed.batch(feed.stretches("train", on_stride_only=False))
    assert not primary.decision_target.any()
    assert not primary.decision_horizon.any()


def test_a_network_is_told_the_edges_of_every_label_in_the_order_of_the_labels(several: Dataset) -> None:
    told = inputs_of(several)
    assert told.edges_bps is not None
    assert told.edges_bps[0][0] == told.boundaries_bps
    for target, of_target in zip(told.targets, told.edges_bps, strict=True):
        for horizon, edges in zip(told.horizons_seconds, of_target, strict=True):
            assert list(edges) == several.recipe["class_edges"][target][str(horizon)]


def test_what_a_network_does_not_forecast_reaches_no_batch(several: Dataset) -> None:
    answers = {"horizons": "all", "targets": "primary", "target_embedding_width": None}
    feed = SegmentFeed(several, build_network(model_of(answers=answers), inputs_of(several)))
    batch = feed.batch(feed.stretches("validation", on_stride_only=True, every_label=True))
    rows = several.index[batch.rows.numpy()]
    assert rows["instrument"].unique().to_list() == ["FOLLOW"]
    assert sorted(rows["horizon_seconds"].unique().to_list()) == [900, 1800]


def test_several_answers_are_trained_together_and_the_primary_one_is_predicted(
    store: ArtifactStore, several: Dataset, tmp_path: Path
) -> None:
    optimiser = {**training_values()["optimiser"], "learning_rate": 0.05, "weight_decay": 0.01}
    training = training_values(max_epochs=50, seeds=[1], optimiser=optimiser)
    spec = specification(
        store, tmp_path, experiment="several", model=model_values(answers=ALL), training=training, seeds=[1]
    )
    torch.set_num_threads(1)  # the networks are too small for more
    fit_members(spec, processes=1, writes=True, report=lambda _line, _facts: None)
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    rows = several.index.filter(pl.col("sample").is_in(predictions["sample"].implode()))
    assert (rows["instrument"].unique().to_list(), rows["horizon_seconds"].unique().to_list()) == (["FOLLOW"], [900])
    assert read_json(tmp_path / SUMMARY_FILE)["predictions"] == predictions.height
    model = load_model(tmp_path)
    every = model.predict(several, "train", on_stride_only=False, every_label=True).join(several.index, on="sample")
    assert every.group_by("instrument", "horizon_seconds").len().height == 4
    other = pl.col("instrument").replace_strict({"FOLLOW": "LEAD", "LEAD": "FOLLOW"}, return_dtype=pl.String)
    labels = every.select("t0", "horizon_seconds", instrument=other, label_of_other="label")
    found = every.join(labels, on=["t0", "horizon_seconds", "instrument"])
    own, swapped = (log_loss(found, label) for label in ("label", "label_of_other"))
    assert own < np.log(several.classes) - 0.1
    assert own < swapped - 0.1


def log_loss(frame: pl.DataFrame, label: str) -> float:
    probabilities = frame.select(pl.col("^probability_.*$")).to_numpy()
    return float(-np.log(probabilities[np.arange(frame.height), frame[label].to_numpy()]).mean())
