"""What a trained model says of itself, how large it is, and how long one forecast takes."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from scipy.special import softmax

from trademl_assets.datasets.windows import Dataset
from trademl_assets.models.inputs import ModelInputs, StreamInput
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_model, write_member
from trademl_assets.training.fit import fit_members
from trademl_assets.training.launch import build_environment
from trademl_assets.training.results import SCHEMA_VERSION
from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.models.examples import batch_of
from trademl_assets_tests.training.conftest import model_values, specification, training_values

WEIGHTS = {"parts": [{"kind": "exponential_age", "half_life_days": 1.0}]}
ASSETS, SLOTS, STEPS, DAYS, STATISTICS = 7, 60, 8640, 90, 12
"""Seven books of 60 slots over a day at ten seconds, and daily statistics of three months."""
MOST_BYTES, MOST_SECONDS = 500_000_000, 0.5
EDGES = (-60.0, -30.0, -12.0, 0.0, 12.0, 30.0, 60.0)


@pytest.fixture(scope="module")
def trained(store: ArtifactStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    training = training_values(seeds=[1], max_epochs=2)
    spec = specification(store, folder, training=training, seeds=[1], weights=WEIGHTS, code_version="7")
    torch.set_num_threads(1)  # the networks are too small for more
    fit_members(spec, processes=1, writes=True, report=lambda _line, _facts: None)
    return folder


def test_a_sidecar_says_all_that_its_model_follows_from_and_how_good_it_was(
    trained: Path, store: ArtifactStore, dataset: Dataset
) -> None:
    stated: dict[str, Any] = json.loads((trained / "member_1.json").read_text())
    assert (stated["family"], stated["model_name"], stated["model"]) == ("dual_channel", "small", model_values())
    assert stated["training"] | training_values(seeds=[1], max_epochs=2) == stated["training"]
    assert (stated["seed"], stated["weights"], stated["fold"], stated["class_grid"]) == (1, WEIGHTS, None, None)
    assert stated["experiment"] == "signal"
    assert stated["dataset_content_hash"] == store.require("dataset", "signal").content_hash
    assert (stated["code_version"], stated["torch"]) == ("7", torch.__version__)
    streams = stated["inputs"]["streams"]
    assert set(streams) == set(dataset.streams)
    for name, stream in streams.items():
        scaling = dataset.scaling(name)
        assert (stream["columns"], stream["lookback_steps"]) == (
            list(dataset.columns(name)),
            dataset.lookback_steps(name),
        )
        np.testing.assert_array_equal(np.asarray(stream["center"], np.float32), scaling.center)
        np.testing.assert_array_equal(np.asarray(stream["scale"], np.float32), scaling.scale)
    assert dataset.boundaries_bps is not None
    assert stated["inputs"]["boundaries_bps"] == list(dataset.boundaries_bps)
    assert [row["epoch"] for row in stated["epochs"]] == [0, 1]
    assert stated["validation_log_loss"] == min(row["validation_log_loss"] for row in stated["epochs"])
    assert set(stated["epochs"][0]) >= {"training_loss", "validation_log_loss", "validation_accuracy"}


def test_a_model_is_loaded_from_its_folder_alone_and_predicts_what_training_predicted(
    trained: Path, dataset: Dataset, tmp_path: Path
) -> None:
    for name in ("member_1.json", "member_1.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    found = load_model(tmp_path).predict(dataset, "test")
    expected = pl.read_parquet(trained / "predictions.parquet").join(found, on="sample", how="semi").sort("sample")
    probabilities = softmax(expected.select(pl.col("^logit_.*$")).to_numpy(), axis=1)
    np.testing.assert_allclose(found.sort("sample").drop("sample").to_numpy(), probabilities, rtol=1e-9)
    assert found.height > 0


def stream(shape: tuple[int, ...], columns: int, lookback: int) -> StreamInput:
    names = tuple(f"c{number}" for number in range(columns))
    return StreamInput(shape, names, lookback, np.zeros(shape, np.float32), np.ones(shape, np.float32), 8.0)


def full_size() -> ModelInputs:
    instruments = tuple(f"ASSET{number}" for number in range(ASSETS))
    streams = {
        "book": stream((SLOTS, ASSETS * 4), ASSETS * 4, STEPS),
        "price": stream((ASSETS * 5,), ASSETS * 5, STEPS),
        "mask": stream((ASSETS * 4,), ASSETS * 4, STEPS),
        "clock": stream((8,), 8, STEPS),
        "long_term": stream((STATISTICS, ASSETS), STATISTICS, DAYS),
    }
    return ModelInputs(
        streams, instruments, instruments[0], instruments[:1], (1800,), 10, EDGES, ((EDGES,),), len(EDGES) + 1
    )


@pytest.mark.parametrize("book", ["bands", "flat"])
def test_one_forecast_of_seven_assets_over_a_day_takes_less_than_half_a_second_on_one_thread(
    tmp_path: Path, book: str
) -> None:
    demo = yaml.safe_load((PROJECT / "configs" / "demo" / "models.yaml").read_text())["dual_channel"]
    if book == "flat":
        demo["parameters"]["book"] = {"kind": "flat", "slots": None}
    sidecar = {**demo, "model": demo["parameters"], "inputs": full_size().as_json(), "schema_version": SCHEMA_VERSION}
    model = ModelParameters.model_validate_json(json.dumps(demo))
    write_member(tmp_path, MODELS.get(model.family).build(model.parameters, full_size()), 1, sidecar)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MOST_BYTES / 100
    network = load_model(tmp_path).members[0][0]
    raw = {
        "book": torch.rand(STEPS + 1, SLOTS, ASSETS * 4, dtype=torch.float16),
        "price": torch.randn(STEPS + 1, ASSETS * 5),
        "mask": torch.ones(STEPS + 1, ASSETS * 4, dtype=torch.float16),
    }
    batch = batch_of(torch.zeros(1, 1, 1), [(0, 0)], [(0, STEPS // network.patch_steps)])
    days, clock = torch.randn(2, DAYS, STATISTICS, ASSETS), torch.randn(1, 8)
    taken = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(3):
        begun = time.process_time()
        with torch.no_grad():
            steps = network.step_features(raw)[None]
            logits = network(replace(batch, steps=steps, days=days, clock=clock))
        taken.append(time.process_time() - begun)
    torch.set_num_threads(threads)
    assert logits.shape == (1, len(EDGES) + 1)
    assert min(taken) < MOST_SECONDS, taken


def test_a_training_process_is_told_to_compute_on_the_processor_what_apples_gpus_cannot() -> None:
    told = build_environment(3, 42)
    assert told["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    assert {told[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")} == {"3"}
    assert int(told["MALLOC_MMAP_THRESHOLD_"]) == int(told["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 30
