"""Training on segments and their mirrored selves, held against a market that was mirrored before it was stored."""

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
from trademl_assets.models.inputs import ModelInputs, inputs_of
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.epochs import Pace, Share, TrainingEpoch
from trademl_assets.training.member import build_network, train_member
from trademl_assets_tests.training.conftest import DAYS, FRAME, PROVENANCE, dataset_values, model_of, training_of

ALONE = Share(0, 1)


def made(store: ArtifactStore) -> Dataset:
    values: dict[str, Any] = dataset_values()
    values["labels"]["parameters"] = {"boundaries": {"kind": "fixed", "edges_bps": [-30.0, 0.0, 30.0]}}
    parts = build_dataset(store, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
    with store.write("dataset", "even", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    return open_dataset(store, "even")


def mirrored_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    steps, slots, _ = arrays["book"].shape
    sides = arrays["book"].reshape(steps, slots, -1, 2, 2)[:, :, :, ::-1]
    price = arrays["price"].reshape(steps, -1, 4) * np.array([-1, 1, 1, -1], np.float32)
    return {
        **arrays,
        "book": np.ascontiguousarray(sides).reshape(arrays["book"].shape),
        "price": np.ascontiguousarray(price.reshape(steps, -1)),
        "mid": np.ascontiguousarray(10_000 / arrays["mid"]),
    }


def mirrored_store(store: ArtifactStore, root: Path) -> ArtifactStore:
    other = ArtifactStore.at(root)
    for number in range(-3, DAYS):
        day = str(np.datetime64("2024-01-04") + number)
        facts = store.read_table("daily_aggregates", day).with_columns(mean_bps=-pl.col("mean_bps"))
        with other.write("daily_aggregates", day, schema_version=1, provenance=PROVENANCE) as writer:
            writer.table("data", facts)
        if number >= 0:
            arrays = mirrored_arrays(store.open_arrays("aligned_grid", day))
            with other.write("aligned_grid", day, schema_version=1, provenance=PROVENANCE) as writer:
                writer.arrays("arrays", arrays)
    return other


@pytest.fixture(scope="module")
def even(store: ArtifactStore) -> Dataset:
    return made(store)


@pytest.fixture(scope="module")
def mirrored_feed(even: Dataset) -> SegmentFeed:
    return SegmentFeed(even, build_network(model_of(mirrored=True), inputs_of(even)))


def test_a_mirrored_batch_is_the_batch_of_the_market_stored_mirrored(
    store: ArtifactStore, even: Dataset, mirrored_feed: SegmentFeed, tmp_path: Path
) -> None:
    other = made(mirrored_store(store, tmp_path))
    other_feed = SegmentFeed(other, build_network(model_of(mirrored=True), inputs_of(other)))
    straight, expected = (
        feed.batch(feed.stretches("train", on_stride_only=False)[:3]) for feed in (mirrored_feed, other_feed)
    )
    assert mirrored_feed.mirror is not None
    found = mirrored_feed.mirror.turn(straight, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(found.steps, expected.steps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.returns_bps, expected.returns_bps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.sigma_bps, expected.sigma_bps, atol=1e-4, rtol=1e-4)
    assert torch.equal(found.labels, expected.labels)
    assert not torch.equal(found.labels, straight.labels)
    torch.manual_seed(0)
    networks = [build_network(model_of(mirrored=True), inputs_of(each)).eval() for each in (even, other)]
    learnt = dict(networks[0].named_parameters())
    networks[1].load_state_dict(learnt, strict=False)
    for each in networks:
        torch.nn.init.ones_(each.context.layer.weight)
    torch.testing.assert_close(networks[0](found), networks[1](expected), atol=1e-3, rtol=1e-3)


def test_about_half_of_the_segments_are_mirrored_and_processes_agree_which(mirrored_feed: SegmentFeed) -> None:
    stretches = mirrored_feed.stretches("train", on_stride_only=False)
    turned = []
    for epoch in range(12):
        whole, again, *halves = (
            list(TrainingEpoch(mirrored_feed, stretches, Pace(2), seed=1, epoch=epoch, share=share))
            for share in (ALONE, ALONE, Share(0, 2), Share(1, 2))
        )
        for step, same, one, other in zip(whole, again, *halves, strict=True):
            assert torch.equal(step.steps, same.steps)
            counted = torch.cat([half.returns_bps[half.weights > 0] for half in (one, other)])
            assert torch.equal(counted.sort().values, step.returns_bps.sort().values)
            straight = mirrored_feed.returns[step.rows]
            flipped = step.returns_bps != straight
            assert torch.equal(step.returns_bps[flipped], -straight[flipped])
            turned.append(flipped.double().mean().item())
    assert 0.3 < np.mean(turned) < 0.7


def test_a_network_trains_on_mirrored_segments(even: Dataset, mirrored_feed: SegmentFeed, tmp_path: Path) -> None:
    inputs = inputs_of(even)
    member = train_member(model_of(mirrored=True), inputs, mirrored_feed, training_of(), seed=1, folder=tmp_path)
    assert member.epochs[-1]["training_loss"] < member.epochs[0]["training_loss"]


def test_a_dataset_whose_classes_have_no_mirror_is_refused(inputs: ModelInputs) -> None:
    with pytest.raises(ConfigError, match="are not symmetric around zero"):
        build_network(model_of(mirrored=True), inputs)
