"""Candles as an asset, down to a dataset, in a deployment without books."""

import os
import shutil
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.datasets.period import build_period
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.definitions import build_definitions
from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.foundation.errors import ConfigError, DataQualityError, MissingPartitionError
from trademl_assets.orchestration.checks import table_look
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.drive import RunFailedError
from trademl_assets.orchestration.lineage import Artifact
from trademl_assets.orchestration.planning import wanted
from trademl_assets.sources.bar_contract import bar_contract
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.candle_market import three_days
from trademl_assets_tests.datasets.conftest import PROVENANCE
from trademl_assets_tests.orchestration.candle_deployment import (
    EXPERIMENT,
    KEYS,
    REAL,
    write_bars,
    write_candle_deployment,
)
from trademl_assets_tests.orchestration.conftest import World, make_world, tiny_configuration


def configuration_at(root: Path, *changes: Mapping[str, Any]) -> Configuration:
    folder = write_candle_deployment(root, *changes)
    return load_configuration(folder, {**os.environ, "TRADEML_VAR": str(root / "var"), "TRADEML_DATA": "/nowhere"})


@pytest.fixture
def candle_world(tmp_path: Path, empty_tracking: Path) -> World:
    (tmp_path / "var" / "real_candles").mkdir(parents=True)
    shutil.copy(empty_tracking, tmp_path / "var" / "real_candles" / "mlflow.db")
    return make_world(configuration_at(tmp_path), dg.DagsterInstance.ephemeral())


def test_candles_and_their_dataset_are_made_checked_and_pinned(candle_world: World):
    candle_world.drive().run(EXPERIMENT, "dataset")
    assert candle_world.store.partitions("candles") == KEYS
    quality = candle_world.store.require("candles", "2024-03|ONE").notes["quality"]
    assert (quality["bars"], quality["missing"], quality["gaps"]) == (4260, 44640 - 4260, 3)
    gaps = candle_world.store.read_table("candles", "2024-03|ONE", "gaps")
    assert gaps["bars"].to_list()[1:2] == [60]
    upstream = candle_world.store.require("dataset", EXPERIMENT).upstream
    assert sorted(upstream) == [f"candles/{key}" for key in KEYS]
    dataset = open_dataset(candle_world.store, EXPERIMENT)
    assert dataset.streams == ("price", "mask", "clock", "bars")
    records = candle_world.instance.event_log_storage.get_asset_check_summary_records(
        [
            dg.AssetCheckKey(dg.AssetKey("candles"), "candles_schema"),
            dg.AssetCheckKey(dg.AssetKey("dataset"), "dataset_no_leakage"),
        ]
    )
    assert len(records) == 2
    days_of_their_own(candle_world.store)
    again = candle_world.drive().run(EXPERIMENT, "dataset")
    assert sum(again.made.values()) == 0
    first, *_ = candle_world.materializations("candles")
    assert {"plot", "coverage", "missing", "idle", "longest_gap_seconds"} <= set(first.metadata)


def days_of_their_own(store: ArtifactStore) -> None:
    """Days by the recipe of the dataset: what it holds for them, and no month that is not needed."""
    recipe = store.read_json("dataset", EXPERIMENT, "recipe")
    own, day = store.read_table("dataset", EXPERIMENT, "index"), date(2024, 3, 5)
    own = own.filter((pl.col("t0").dt.date() == day) & (pl.col("t0") < pl.lit(day_bounds(day)[1] - timedelta(hours=1))))
    found = build_period(store, recipe, day, day)
    both = found.index.join(own, on=["t0", "instrument", "horizon_seconds"], suffix="_own")
    assert both.height == own.height > 50
    for name in ("t1", "label", "return_bps"):
        assert both[name].equals(both[f"{name}_own"].rename(name)), name
    assert (both["sigma_bps"] / both["sigma_bps_own"] - 1).abs().max() < 1e-9
    assert found.index["t1"].max() == day_bounds(day)[1], "labels that end at midnight are there"
    assert sorted(found.arrays) == ["bars", "clock", "mask", "price"]
    assert recipe["class_edges"] == found.recipe["class_edges"]
    with pytest.raises(DataQualityError, match="no sample"):
        build_period(store, recipe, date(2024, 3, 1), date(2024, 3, 1))
    with pytest.raises(MissingPartitionError, match="2024-04"):
        build_period(store, recipe, date(2024, 4, 1), date(2024, 4, 1))


def test_a_month_that_contradicts_itself_stops_the_run_and_says_where(candle_world: World, tmp_path: Path):
    table = three_days()["TWO"]
    twice = pl.concat([table, table[5:6].with_columns(volume=pl.lit(1.0))]).sort("ts", maintain_order=True)
    write_bars(tmp_path / "bars", {"TWO": twice})
    with pytest.raises(RunFailedError, match="bars of TWO in 2024-03: 1 openings are stated with different values"):
        candle_world.drive().run(EXPERIMENT, "dataset")
    assert candle_world.store.partitions("candles") == KEYS[:1]


def test_a_deployment_without_books_has_no_assets_of_books(candle_world: World):
    dg.Definitions.validate_loadable(candle_world.definitions)
    keys = {key.to_user_string() for key in candle_world.definitions.resolve_asset_graph().get_all_asset_keys()}
    models = {"hyperparameter_study", "trained_model", "calibrated_model", "model_evaluation", "leaderboard"}
    assert keys == {"candles", "dataset", "leakage_controls", *models}
    node = candle_world.definitions.resolve_asset_graph().get(dg.AssetKey("dataset"))
    assert {parent.to_user_string() for parent in node.parent_keys} == {"candles"}
    assert list(wanted(candle_world.deployment, EXPERIMENT, "dataset")) == ["candles", "dataset"]


def test_months_stand_before_instruments_in_a_key_and_cover_the_history(tmp_path: Path):
    days = {"history_first_day": "2023-11-20", "first_day": "2023-12-20", "last_day": "2024-03-06"}
    world = make_world(configuration_at(tmp_path, {"market": days}), dg.DagsterInstance.ephemeral())
    keys = world.deployment.spaces.candles.get_partition_keys()
    months = ("2023-11", "2023-12", "2024-01", "2024-02", "2024-03")
    assert set(keys) == {f"{month}|{name}" for month in months for name in ("ONE", "TWO")}


def test_changed_limits_make_candles_stale_and_changed_books_do_not(tmp_path: Path):
    def fingerprint(name: str, **changes: Any) -> str:
        (tmp_path / name).mkdir()
        world = make_world(configuration_at(tmp_path / name, changes), dg.DagsterInstance.ephemeral())
        assert world.deployment.lineage.upstream("dataset", EXPERIMENT)[0] == Artifact("candles", KEYS[0])
        return world.deployment.lineage.fingerprint("candles", KEYS[0])

    # The paths of the bars differ from folder to folder: they are compared within one.
    limits = {"candles": {"max_gap_seconds": 60}}
    files = {"market": {"sources": {"minutes": {"parameters": {"files": {"ONE": "/a.parquet", "TWO": "/b.parquet"}}}}}}
    plain = fingerprint("plain", **files)
    assert fingerprint("limits", **files, **limits) != plain
    assert fingerprint("grid", **files, grid={"max_gap_seconds": 120}) == plain


def test_the_check_refuses_a_table_that_breaks_the_contract(candle_world: World):
    table = three_days()["ONE"].with_columns(high=pl.col("low") / 2)
    with candle_world.store.write("candles", KEYS[0], schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", table)
        writer.rows(table.height)
    problem = table_look("candles", "data", lambda _: bar_contract(60))(candle_world.store, KEYS[0])
    assert "low <= open, close <= high" in problem


def dataset(**changes: Any) -> dict[str, Any]:
    return {"datasets": {EXPERIMENT: changes}}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"candles": {"cadence_seconds": 300}},
            "market.yaml: sources.minutes.parameters.bar_seconds: 60 differs from 300 in candles.yaml",
        ),
        (
            dataset(series_from="grid", streams={"additional": {"bars": None}}),
            "datasets.yaml: minutes.series_from: grid, but market.yaml names no source of books",
        ),
        (
            dataset(streams={"clock": {"columns": ["hour", "market_regime"]}}),
            "datasets.yaml: minutes.streams.clock.columns: market_regime reads daily facts of books",
        ),
        (
            dataset(first_day="2024-03-03"),
            "datasets.yaml: minutes.first_day: days 2024-03-03 to 2024-03-06 reach beyond the candles of market.yaml",
        ),
        (
            dataset(instruments=["ONE", "TWO", "THREE"]),
            "datasets.yaml: minutes.streams.additional.bars.parameters: reference_volumes lacks THREE",
        ),
        (
            dataset(labels={"horizons_seconds": [630]}),
            "datasets.yaml: minutes.labels.horizons_seconds: 630 is no multiple of cadence_seconds 60 in candles.yaml",
        ),
        ({"market": {"candle_source": "other"}}, "market.yaml: candle_source 'other' is not configured"),
    ],
)
def test_what_candles_cannot_give_is_a_mistake_at_its_key(tmp_path: Path, change: dict[str, Any], line: str):
    with pytest.raises(ConfigError) as caught:
        configuration_at(tmp_path, change)
    assert any(found.startswith(line) for found in str(caught.value).splitlines()), str(caught.value)


def test_candles_may_stand_beside_books(root: Path):
    parameters = yaml.safe_load((REAL / "market.yaml").read_text())["sources"]["minutes"]["parameters"]
    minutes = {"kind": "bar_files", "parameters": {**parameters, "files": {"LEADUSDT": "/nowhere.parquet"}}}
    beside = {"market": {"candle_source": "minutes", "sources": {"minutes": minutes}}}
    configuration = tiny_configuration(
        root,
        beside,
        {
            "datasets": {"demo": {"series_from": "candles", "streams": {"book": None}}},
            "models": {"dual_channel": {"parameters": {"book": None}}},
        },
    )
    definitions = build_definitions(configuration)
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    parents = {parent.to_user_string() for parent in graph.get(dg.AssetKey("dataset")).parent_keys}
    assert parents == {"candles", "aligned_grid", "daily_aggregates", "market_regime"}
    upstream = {each.asset for each in Deployment.of(configuration).lineage.upstream("dataset", "demo")}
    assert upstream == {"candles", "daily_aggregates", "market_regime"}
