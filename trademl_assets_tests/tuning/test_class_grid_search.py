"""A study that searches the classes which a network learns, and the final training of the winner."""

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
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import TrainedModel, load_model, predict_logits
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.launch import launch_training
from trademl_assets.training.run import main
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values
from trademl_assets_tests.tuning.test_workers import in_this_process, parameters, template

GRIDS = {
    "sign": {"kind": "fixed", "edges_bps": [0]},
    "fine": {"kind": "fixed", "edges_bps": [-60, -40, -20, 0, 20, 40, 60]},
}
SPACE = {"training.class_grid": {"kind": "categorical", "choices": [None, "sign", "fine"], "when": None}}


@pytest.fixture(scope="module")
def signed(market: ArtifactStore) -> Dataset:
    values: dict[str, Any] = dataset_values()
    values["labels"]["parameters"] = {"boundaries": {"kind": "fixed", "edges_bps": [-40, 0, 40]}}
    parts = build_dataset(market, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
    with market.write("dataset", "signed", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    return open_dataset(market, "signed")


def direction_log_loss(dataset: Dataset, model: TrainedModel) -> float:
    """Of all classes that the network forecasts, those of its own grid among them."""
    network = model.members[0][0]
    feed = SegmentFeed(dataset, network)
    rows = predict_logits(feed, [network], "validation", 2, on_stride_only=True)[0]
    edges = model.inputs.boundaries_bps
    assert edges is not None
    probabilities = torch.softmax(torch.from_numpy(rows.logits), dim=1).numpy()
    up = probabilities[:, edges.index(0.0) + 1 :].sum(axis=1)
    rose = dataset.index["return_bps"].to_numpy()[rows.positions] >= 0
    return float(-np.log(np.where(rose, up, 1 - up)).mean())


def test_grids_are_searched_within_a_study_and_the_winner_is_trained(
    market: ArtifactStore, signed: Dataset, tmp_path: Path
) -> None:
    stated = parameters(objectives=["direction_log_loss"], space=SPACE, n_trials=5, random_trials=5)
    training = {"class_grids": GRIDS}
    found = in_this_process(market, tmp_path, stated, experiment="signed", **training)
    tried = found.trials.select("training.class_grid", "direction_log_loss", "loss").unique()
    assert found.trials["state"].unique().to_list() == ["complete"]
    assert set(tried["training.class_grid"]) == {"None", "sign", "fine"}
    assert tried["direction_log_loss"].n_unique() == 3
    for grid, score, _ in tried.iter_rows():
        spec = template(market, "signed", **training).specify(
            {"training.class_grid": None if grid == "None" else grid}, mode="search"
        )
        assert score == pytest.approx(direction_log_loss(signed, load_model(Path(spec.output_folder))), abs=1e-6)
    best = tried.sort("direction_log_loss")["training.class_grid"][0]
    assert str(found.best_parameters["training.class_grid"]) == best

    final = template(market, "signed", **training).specify(found.best_parameters, mode="fit")
    member = Path(final.output_folder) / "member_1.safetensors"
    trained_at = member.stat().st_mtime_ns
    launch_training(final, runner=lambda command, _environment: main([command[-1]]))
    assert member.stat().st_mtime_ns == trained_at
    predicted = pl.read_parquet(Path(final.output_folder) / "predictions.parquet")
    assert predicted.width == 2 + signed.classes
    grid = load_model(Path(final.output_folder)).grid
    assert ("None" if grid is None else grid.name) == best


def test_windows_train_the_grid_on_their_own_rows(market: ArtifactStore, tmp_path: Path) -> None:
    stated = parameters(n_trials=1, n_windows=2, space=SPACE)
    grids = {"sign": GRIDS["sign"], "fine": {"kind": "quantile", "classes": 6}}
    found = in_this_process(market, tmp_path, stated, experiment="folded", class_grid="fine", class_grids=grids)
    assert found.trials.select("state", "training.class_grid").row(0) == ("complete", "fine")


def test_the_direction_compares_grids_only_where_no_class_is_up_and_down(market: ArtifactStore, tmp_path: Path) -> None:
    stated = parameters(objectives=["direction_log_loss"], space=SPACE)
    with pytest.raises(ConfigError, match=r"dataset 'signal' has class edges \[-.*\], none of them 0"):
        in_this_process(market, tmp_path, stated, class_grids=GRIDS)
