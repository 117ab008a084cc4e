"""What plug-ins make without Dagster: a dataset that a model reads."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.configuration.reading import load_configuration
from trademl_assets.datasets.leakage import audit
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets_tests.datasets.conftest import make_store, write_experiment
from trademl_assets_tests.plugins.deployment import call, write_deployment


def build_and_read(folder: Path, root: Path) -> dict[str, Any]:
    """Build the deployment's dataset from planted grid days, audit it, and have the deployment's model read it."""
    configuration = load_configuration(folder, os.environ)
    store = make_store(root)
    parts = write_experiment(store, "silent", configuration.datasets["silent"])
    report = audit(store, "silent")
    dataset = open_dataset(store, "silent")
    index = parts.index
    return {
        "audit": [finding.rule for finding in report.findings],
        "violations": [finding.rule for finding in report.violations],
        "labels_are_signs": index["label"].to_list() == (index["return_bps"] >= 0).cast(pl.Int8).to_list(),
        "boundaries_bps": parts.recipe["boundaries_bps"],
        "columns": dataset.columns("silence"),
        "silence": dataset.gather("silence", 490, 545)[:, 1].tolist(),
        "model": read_with_model(configuration.models["means"], dataset),
    }


def read_with_model(model: ModelParameters, dataset: Dataset) -> dict[str, Any]:
    from trademl_assets.models.inputs import inputs_of  # noqa: PLC0415 -- torch only where the network runs
    from trademl_assets.training.data import SegmentFeed  # noqa: PLC0415 -- the same

    network = MODELS.get(model.family).build(model.parameters, inputs_of(dataset))
    feed = SegmentFeed(dataset, network)
    batch = feed.batch(feed.stretches("validation", on_stride_only=True))
    scaling = dataset.scaling("silence")
    scaled = (dataset.gather("silence", 0, dataset.steps) - scaling.center) / scaling.scale
    read = feed.features.read(0, dataset.steps)[:, -scaled.shape[1] :].numpy()
    return {
        "streams": network.streams,
        "logits": list(network(batch).shape),
        "decisions": len(batch.rows),
        "silence_is_read": bool(np.allclose(read, np.clip(scaled, -scaling.clip, scaling.clip), atol=1e-6)),
    }


def test_a_dataset_is_built_from_them_and_a_model_reads_it(installed: Path, tmp_path: Path) -> None:
    found = call(installed, build_and_read, write_deployment(tmp_path / "deployment"), tmp_path / "store")
    assert found["violations"] == []
    assert "silence: noise after a cut changes nothing before it" in found["audit"]
    assert found["labels_are_signs"]
    assert found["boundaries_bps"] == [0.0]
    assert found["columns"] == ["LEAD:minutes_of_silence", "FOLLOW:minutes_of_silence"]
    missing = [0.0] * 10 + [min(float(minute), 30.0) for minute in range(1, 41)] + [0.0] * 5
    assert found["silence"] == missing
    model = found["model"]
    assert model["streams"] == ["price", "silence"]
    assert model["logits"] == [model["decisions"], 2]
    assert model["silence_is_read"]
