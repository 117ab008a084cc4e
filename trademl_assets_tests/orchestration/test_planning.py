"""What is stale, and why: a changed parameter redoes exactly what depends on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.lineage import Artifact
from trademl_assets.orchestration.planning import plan, wanted, why_stale
from trademl_assets.storage.commit import Provenance
from trademl_assets_tests.orchestration.conftest import World, order_book_steps, tiny_configuration

DATA = ("raw_depth", "book_snapshots", "aligned_grid", "daily_aggregates", "market_regime", "dataset")


def changed(world: World, tmp_path: Path, change: Mapping[str, Any]) -> Deployment:
    return Deployment.of(tiny_configuration(tmp_path, change))


def stale_by_configuration(world: World, deployment: Deployment) -> set[str]:
    stages = plan(world.store, deployment, wanted(deployment, "demo", "dataset"))
    return {stage.asset for stage in stages if "configuration changed" in stage.stale.values()}


def stale(world: World, deployment: Deployment) -> dict[str, int]:
    stages = plan(world.store, deployment, wanted(deployment, "demo", "dataset"))
    return {stage.asset: len(stage.stale) for stage in stages if stage.stale}


def test_nothing_is_stale_after_a_run(made_world: World):
    assert stale(made_world, made_world.deployment) == {}


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"order_book": order_book_steps(gap_seconds=301)}, {"book_snapshots"}),
        ({"grid": {"tolerance_milliseconds": 501}}, {"aligned_grid", "dataset"}),
        (
            {"grid": {"max_gap_seconds": 240}},
            {"raw_depth", "book_snapshots", "aligned_grid", "daily_aggregates", "dataset"},
        ),
        ({"long_term": {"regimes": {"trend_threshold": 1.5}}}, {"market_regime"}),
        ({"datasets": {"demo": {"labels": {"horizons_seconds": [3600]}}}}, {"dataset"}),
        ({"platform": {"owner": "team:other"}}, set()),
        ({"training": {"max_epochs": 3}}, set()),
    ],
)
def test_a_changed_parameter_marks_exactly_the_assets_that_read_it(
    made_world: World, tmp_path: Path, change: Mapping[str, Any], remade: set[str]
):
    assert stale_by_configuration(made_world, changed(made_world, tmp_path, change)) == remade


def test_what_follows_from_upstream_is_planned_too(made_world: World, tmp_path: Path):
    deployment = changed(made_world, tmp_path, {"long_term": {"regimes": {"trend_threshold": 1.5}}})
    assert stale(made_world, deployment) == {"market_regime": 9, "dataset": 1}
    stages = plan(made_world.store, deployment, wanted(deployment, "demo", "dataset"))
    assert stages[-1].stale["demo"].startswith("if market_regime/")


def test_an_experiment_needs_only_what_leads_to_it(made_world: World):
    needed = wanted(made_world.deployment, "demo", None)
    aside = {"external_series", "candles", "leakage_controls", "ablation_study"}
    assert list(needed) == [asset for asset in ENTRIES if asset not in aside]
    assert needed["raw_depth"] == ("2024-01-06|FOLAUSDT", "2024-01-06|FOLBUSDT", "2024-01-06|LEADUSDT")
    assert "2024-01-06" not in needed["market_regime"]
    assert list(wanted(made_world.deployment, "demo", "aligned_grid")) == [
        "raw_depth",
        "book_snapshots",
        "aligned_grid",
    ]


def test_a_switched_off_search_is_not_needed(made_world: World, tmp_path: Path):
    deployment = changed(made_world, tmp_path, {"tuning": {"enabled": False}})
    assert "hyperparameter_study" not in wanted(deployment, "demo", None)


@pytest.mark.parametrize(
    ("experiment", "until", "told"), [("nope", None, "nope"), (None, "nope", "nope"), (None, None, "--until")]
)
def test_an_unknown_target_is_refused_with_what_there_is(
    made_world: World, experiment: str | None, until: str | None, told: str
):
    with pytest.raises(ConfigError, match=told):
        wanted(made_world.deployment, experiment, until)


def test_every_asset_names_only_upstream_that_stands_before_it(made_world: World):
    order = list(ENTRIES)
    for asset in order:
        for key in made_world.deployment.space(ENTRIES[asset].space).get_partition_keys():
            for upstream in made_world.deployment.lineage.upstream(asset, key):
                assert order.index(upstream.asset) < order.index(asset)


def test_missing_damaged_and_changed_upstream_are_told_apart(world: World):
    store, lineage = world.store, world.deployment.lineage
    artifact = Artifact("daily_aggregates", "2023-12-26")
    assert why_stale(store, lineage, artifact) == "missing"
    world.run("long_term_job", "2023-12-26", "2023-12-28")
    assert why_stale(store, lineage, artifact) == ""

    provenance = lineage.provenance(store, artifact.asset, artifact.key, "")
    old = Provenance("0", provenance.config_fingerprint, {})
    table = store.read_table(artifact.asset, artifact.key)
    with store.write(artifact.asset, artifact.key, schema_version=1, provenance=old) as writer:
        writer.table("data", table[:1])
    assert why_stale(store, lineage, artifact) == f"code version 0 -> {ENTRIES[artifact.asset].code_version}"
    regime = why_stale(store, lineage, Artifact("market_regime", "2023-12-28"))
    assert regime == "daily_aggregates/2023-12-26 changed"

    (store.layout.partition_folder(artifact.asset, artifact.key) / "manifest.json").write_text("{")
    assert why_stale(store, lineage, artifact) == "damaged"
