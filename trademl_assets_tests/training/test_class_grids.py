"""A network that learns other classes than those its dataset has, and is judged on the dataset's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_model, predict_logits
from trademl_assets.training.class_grids import grouped, summed, with_chosen_classes
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.fit import fit_members
from trademl_assets.training.launch import launch_training
from trademl_assets.training.losses import sample_loss
from trademl_assets.training.results import collect_training
from trademl_assets.training.run import main
from trademl_assets_tests.training.conftest import (
    PROVENANCE,
    model_values,
    specification,
    training_of,
    training_values,
)
from trademl_assets_tests.training.test_process import prediction
from trademl_assets_tests.training.test_several_answers import ALL, several

__all__ = ["several"]

GRIDS: dict[str, Any] = {
    "same": {"kind": "quantile", "classes": 4},
    "fine": {"kind": "quantile", "classes": 8},
    "sign": {"kind": "fixed", "edges_bps": [0.0]},
}
SOFTMAX = {"kind": "softmax"}
DISTRIBUTION = model_values()["head"]


def fitted(store: ArtifactStore, folder: Path, grid: str | None, head: dict[str, Any], **stated: Any) -> Path:
    training = training_values(seeds=[1], max_epochs=2, class_grid=grid, class_grids=GRIDS)
    defaults = {"model": model_values(head=head), "training": training, "seeds": [1], "mode": "search"}
    spec = specification(store, folder, **{**defaults, **stated})
    torch.set_num_threads(1)  # the networks are too small for more
    fit_members(spec, processes=1, writes=True, report=lambda _line, _facts: None)
    return folder


def logits_of(folder: Path) -> np.ndarray:
    return pl.read_parquet(folder / "predictions.parquet").sort("sample").select(pl.col("^logit_.*$")).to_numpy()


@pytest.mark.parametrize("head", [SOFTMAX, DISTRIBUTION], ids=lambda head: head["kind"])
def test_the_grid_of_the_dataset_changes_no_bit(store: ArtifactStore, tmp_path: Path, head: dict[str, Any]) -> None:
    without = fitted(store, tmp_path / "without", None, head)
    same = fitted(store, tmp_path / "same", "same", head)
    for name in ("member_1.safetensors", "predictions.parquet", "history.json", "summary.json"):
        assert (without / name).read_bytes() == (same / name).read_bytes()


def test_classes_are_summed_to_those_of_the_dataset(store: ArtifactStore, dataset: Dataset, tmp_path: Path) -> None:
    model = load_model(fitted(store, tmp_path, "fine", SOFTMAX))
    network = model.members[0][0]
    rows = predict_logits(SegmentFeed(dataset, network), [network], "validation", 2, on_stride_only=True)[0]
    assert rows.logits.shape[1] == 8
    pairs = torch.softmax(torch.from_numpy(rows.logits), dim=1).reshape(-1, 4, 2).sum(dim=2).numpy()
    found = torch.softmax(torch.from_numpy(logits_of(tmp_path)), dim=1).numpy()
    np.testing.assert_allclose(found, pairs, atol=1e-12)
    stated = json.loads((tmp_path / "summary.json").read_text())
    labels = dataset.index["label"].to_numpy()[rows.positions]
    expected = -np.log(pairs[np.arange(len(labels)), labels]).mean()
    assert (stated["classes"], stated["ensemble_validation_log_loss"]) == (4, pytest.approx(expected, rel=1e-9))
    assert stated["members"][0]["validation_log_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_distribution_is_integrated_over_the_edges_of_the_dataset(
    store: ArtifactStore, dataset: Dataset, tmp_path: Path
) -> None:
    network = load_model(fitted(store, tmp_path, "sign", DISTRIBUTION)).members[0][0]
    assert network.head.boundaries_bps.tolist() == sorted([0.0, *dataset.boundaries_bps])
    network.head.boundaries_bps = torch.from_numpy(dataset.boundaries_bps)
    rows = predict_logits(SegmentFeed(dataset, network), [network], "validation", 2, on_stride_only=True)[0]
    np.testing.assert_allclose(logits_of(tmp_path), rows.logits, atol=2e-5)


def test_what_is_learnt_are_the_classes_of_the_grid(store: ArtifactStore, dataset: Dataset, tmp_path: Path) -> None:
    network = load_model(fitted(store, tmp_path, "sign", DISTRIBUTION)).members[0][0]
    view, grid = with_chosen_classes(dataset, training_of(class_grid="sign", class_grids=GRIDS))
    assert grid is not None
    feed = SegmentFeed(view, network)
    batch = feed.batch(feed.stretches("train", on_stride_only=True)[:1])
    with torch.no_grad():
        losses = sample_loss(training_of().loss, network, groups=grid.trained)(network, batch)
        probabilities = torch.softmax(network(batch).double(), dim=1)
    edge = sorted([0.0, *dataset.boundaries_bps]).index(0.0) + 1
    up = probabilities[:, edge:].sum(dim=1)
    rose = torch.from_numpy(dataset.index["return_bps"].to_numpy()[batch.rows.numpy()] >= 0)
    expected = -torch.log(torch.where(rose, up, 1 - up))
    torch.testing.assert_close(losses.double(), expected, atol=1e-5, rtol=1e-5)
    first = json.loads((tmp_path / "history.json").read_text())["1"][0]
    assert first["training_loss"] < 1 < first["validation_log_loss"]  # of two classes, of the dataset's four


@pytest.mark.parametrize(("grid", "head"), [("fine", SOFTMAX), ("sign", DISTRIBUTION)])
def test_a_loaded_model_predicts_classes_of_the_dataset(
    store: ArtifactStore, dataset: Dataset, tmp_path: Path, grid: str, head: dict[str, Any]
) -> None:
    model = load_model(fitted(store, tmp_path, grid, head))
    assert model.classes == 4
    assert model.grid is not None
    assert model.grid.name == grid
    found = model.predict(dataset, "validation").drop("sample").to_numpy()
    expected = torch.softmax(torch.from_numpy(logits_of(tmp_path)), dim=1).numpy()
    np.testing.assert_array_equal(found, expected)


def test_the_process_predicts_classes_of_the_dataset(store: ArtifactStore, tmp_path: Path) -> None:
    trained = fitted(store, tmp_path / "trained", "fine", SOFTMAX, mode="fit")
    with store.write("trained_model", "signal|fine", schema_version=1, provenance=PROVENANCE) as writer:
        collect_training(writer, trained)
    launch_training(
        prediction(store, tmp_path, "signal|fine"), runner=lambda command, _environment: main([command[-1]])
    )
    columns = ["sample", *(f"logit_{number}" for number in range(4))]
    found = pl.read_parquet(tmp_path / "predictions.parquet").select(columns)
    expected = pl.read_parquet(trained / "predictions.parquet").join(found, on="sample", how="semi").select(columns)
    assert found.height == expected.height > 0
    np.testing.assert_allclose(found.sort("sample").to_numpy(), expected.sort("sample").to_numpy(), atol=1e-9)


def test_one_network_learns_the_grid_of_every_instrument_and_horizon(
    store: ArtifactStore, several: Dataset, tmp_path: Path
) -> None:
    values = model_values(head=SOFTMAX, answers=ALL)
    model = load_model(fitted(store, tmp_path, "fine", SOFTMAX, experiment="several", model=values))
    assert model.grid is not None
    assert {target: sorted(cut) for target, cut in model.grid.edges.items()} == {
        target: ["1800", "900"] for target in several.targets
    }
    found = model.predict(several, "validation", every_label=True)
    assert found.width == 1 + several.classes
    assert found.height == several.index.filter((pl.col("part") == "validation") & pl.col("on_stride")).height


def test_classes_that_do_not_make_up_the_dataset_s_are_refused(store: ArtifactStore, tmp_path: Path) -> None:
    expected = r"small on signal: class grid 'sign' has edges \[0.0\].*do not hold all of the dataset's, \[-.*\]"
    with pytest.raises(ConfigError, match=expected + ".*head kind distribution"):
        fitted(store, tmp_path, "sign", SOFTMAX)


def test_another_cut_under_the_same_name_is_trained_anew(store: ArtifactStore, tmp_path: Path) -> None:
    fitted(store, tmp_path, "fine", SOFTMAX)
    member = tmp_path / "member_1.safetensors"
    trained_at = member.stat().st_mtime_ns
    more = training_values(seeds=[1], max_epochs=2, class_grid="fine", class_grids={**GRIDS, "other": GRIDS["sign"]})
    fitted(store, tmp_path, "fine", SOFTMAX, training=more)
    assert member.stat().st_mtime_ns == trained_at
    fitted(
        store, tmp_path, "fine", SOFTMAX, training={**more, "class_grids": {"fine": {**GRIDS["fine"], "classes": 12}}}
    )
    assert member.stat().st_mtime_ns != trained_at


def test_an_unknown_grid_and_class_weights_beside_one_are_refused() -> None:
    with pytest.raises(ValidationError, match="class_grid is 'coarse', class_grids has same, fine, sign"):
        training_of(class_grid="coarse", class_grids=GRIDS)
    loss = {"kind": "cross_entropy", "class_weights": "balanced", "label_smoothing": 0.0}
    with pytest.raises(ValidationError, match="give one of them only"):
        training_of(class_grid="fine", class_grids=GRIDS, loss=loss)
    assert training_of(class_grids=GRIDS).fingerprint() == training_of().fingerprint()
    assert training_of(class_grids=GRIDS, class_grid="fine").fingerprint() != training_of().fingerprint()


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(0, 9))
def test_groups_have_the_summed_probability_of_their_classes(starts: list[bool], seed: int) -> None:
    groups = [0]
    for starts_anew in starts:
        groups.append(groups[-1] + starts_anew)
    logits = torch.randn(5, len(groups), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 4
    labels = torch.arange(5) % len(groups)
    membership = nn.functional.one_hot(torch.tensor(groups), groups[-1] + 1).double()
    torch.testing.assert_close(
        torch.softmax(summed(logits, groups), dim=1), torch.softmax(logits, dim=1) @ membership, atol=1e-12, rtol=1e-9
    )
    assert grouped(logits, labels, groups)[1].tolist() == [groups[label] for label in labels.tolist()]
    assert grouped(logits, labels, None)[0] is logits
