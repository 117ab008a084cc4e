"""What the page of a dataset says of it follows from its recipe; its logged sample reads back without pickles."""

import io

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.summary import pack_sample, summary_numbers, typical_sample
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated


def test_numbers_say_how_large_covered_and_purged_the_parts_are(example_parts: DatasetParts) -> None:
    numbers, index = summary_numbers(example_parts.recipe), example_parts.index
    for part in ("train", "validation", "calibration", "test"):
        assert numbers[f"{part}_samples"] == index.filter(part=part, on_stride=True).height
        assert numbers[f"{part}_n_eff"] == example_parts.recipe["effective_samples"][part]
    assert numbers["train_coverage"] == pytest.approx(1 - 43 / 1440), "three filled and forty missing steps a day"
    assert numbers["calibration_coverage"] == 1.0, "the gaps of the day lie before noon"
    assert numbers["left_out_purged"] == example_parts.recipe["counts"]["purged"] > 0


def test_the_logged_sample_is_what_a_model_is_shown(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    assert example_parts.index.height
    dataset = open_dataset(filled_store, "example")
    sample = typical_sample(dataset)
    assert sample.facts["part"] == "train"
    packed = np.load(io.BytesIO(pack_sample(sample)), allow_pickle=False)
    for stream in dataset.streams:
        assert packed[stream].tobytes() == sample.windows[stream].tobytes()
    assert packed["label"].tolist() == [sample.label]
    assert packed["t1_us"] - packed["t0_us"] == 900_000_000
    assert pack_sample(sample) == pack_sample(typical_sample(dataset))


def test_a_sample_of_returns_alone_has_no_label(filled_store: ArtifactStore) -> None:
    values = stated()
    values["labels"] |= {"kind": "future_return", "parameters": {"edges_bps": None}}
    write_experiment(filled_store, "labelless", parameters_of(values))
    packed = np.load(io.BytesIO(pack_sample(typical_sample(open_dataset(filled_store, "labelless")))))
    assert packed["label"].shape == (0,)
    assert np.isfinite(packed["return_bps"])


def test_coverage_is_the_mean_over_pooled_targets(filled_store: ArtifactStore) -> None:
    parts = write_experiment(filled_store, "covered", parameters_of(stated() | {"pooled_with": ["LEAD"]}))
    assert summary_numbers(parts.recipe)["train_coverage"] == pytest.approx(1 - (43 + 3) / 2 / 1440)
    assert parts.index.select(pl.col("instrument").n_unique()).item() == 2
