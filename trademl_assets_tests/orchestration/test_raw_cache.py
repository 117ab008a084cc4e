"""Raw rows of two days: removed after use, brought back where they are needed, kept aside where a day is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from trademl_assets.configuration.platform import RawCacheParameters
from trademl_assets.foundation.errors import MissingPartitionError
from trademl_assets.orchestration.drive import RunFailedError
from trademl_assets.orchestration.planning import plan, wanted
from trademl_assets_tests.orchestration.conftest import World, make_world, merged, order_book_steps, tiny_configuration

NAMES = ("LEADUSDT", "FOLAUSDT", "FOLBUSDT")
TWO_RAW_DAYS: Mapping[str, Any] = {"market": {"tall_rows_from": "2024-01-05"}}
EARLIER, LATER = "2024-01-05|FOLAUSDT", "2024-01-06|FOLAUSDT"


def world_with(folder: Path, *changes: Mapping[str, Any], instance: dg.DagsterInstance | None = None) -> World:
    return make_world(tiny_configuration(folder, TWO_RAW_DAYS, *changes), instance or dg.DagsterInstance.ephemeral())


@pytest.fixture
def world(root: Path) -> World:
    return world_with(root)


def evicted(world: World) -> set[str]:
    return {key for key in world.store.partitions("raw_depth") if world.store.require("raw_depth", key).evicted}


def test_rows_are_removed_once_their_snapshots_are_verified(world: World):
    world.drive().run(None, "book_snapshots")
    assert evicted(world) == {f"2024-01-0{day}|{name}" for day in (5, 6) for name in NAMES}
    with pytest.raises(MissingPartitionError, match="removed after use"):
        world.store.read_table("raw_depth", LATER)
    assert world.store.read_table("raw_depth", LATER, "population").height == 10
    outcome = world.drive().run(None, "book_snapshots")
    assert outcome.made == {"raw_depth": 0, "book_snapshots": 0}


def test_a_day_reads_the_levels_of_the_day_before(world: World):
    world.drive().run(None, "book_snapshots")
    upstream = {key: set(world.store.require("book_snapshots", key).upstream) for key in (EARLIER, LATER)}
    assert upstream == {EARLIER: {f"raw_depth/{EARLIER}"}, LATER: {f"raw_depth/{EARLIER}", f"raw_depth/{LATER}"}}
    facts = {key: world.store.require("book_snapshots", key).notes["compression"] for key in (EARLIER, LATER)}
    assert facts[EARLIER]["kept_bid_levels"] is None
    assert facts[LATER]["kept_bid_levels"] == 10


def test_rows_are_brought_back_for_what_has_to_be_made_again(world: World, root: Path):
    world.drive().run(None, "book_snapshots")
    changed = world_with(root, {"order_book": order_book_steps(gap_seconds=301)}, instance=world.instance)
    stages = plan(changed.store, changed.deployment, wanted(changed.deployment, None, "book_snapshots"))
    assert set(stages[0].stale.values()) == {"removed after use, and book_snapshots needs it again"}
    outcome = changed.drive().run(None, "book_snapshots")
    assert outcome.made == {"raw_depth": 6, "book_snapshots": 6}
    assert len(evicted(changed)) == 6


def test_equal_rows_made_again_bring_nothing_else_back(world: World):
    world.drive().run(None, "book_snapshots")
    world.store.delete("raw_depth", EARLIER)
    outcome = world.drive().run(None, "book_snapshots")
    assert outcome.made == {"raw_depth": 1, "book_snapshots": 0}


def test_a_seeded_share_is_kept_and_logged(root: Path):
    world = world_with(root, {"platform": {"raw_cache": {"keep_share": 0.5, "seed": 3}}})
    world.drive().run(None, "book_snapshots")
    cache = world.configuration.platform.raw_cache
    kept = {key for key in world.store.partitions("raw_depth") if cache.keeps(key)}
    assert 0 < len(kept) < 6
    assert evicted(world) == set(world.store.partitions("raw_depth")) - kept
    client = world.tracking._client()
    (run,) = client.search_runs([client.get_experiment_by_name("binance-data-object").experiment_id])
    logged = {each.path.removeprefix("diagnostics/") for each in client.list_artifacts(run.info.run_id, "diagnostics")}
    assert logged == kept


def test_the_share_kept_is_the_share_asked_for():
    cache = RawCacheParameters(keep_share=0.1, seed=1)
    kept = [cache.keeps(f"2024-{n}|BTCUSDT") for n in range(5000)]
    assert 0.08 < sum(kept) / len(kept) < 0.12
    assert not any(RawCacheParameters(keep_share=0.0, seed=1).keeps(str(n)) for n in range(100))
    assert all(RawCacheParameters(keep_share=1.0, seed=1).keeps(str(n)) for n in range(100))


def refusing(policy: str) -> Mapping[str, Any]:
    """A limit that no day of the tiny market keeps: its snapshots come every minute."""
    return {"order_book": order_book_steps(min_coverage_seconds=86400, gap_seconds=1, rejected_day=policy)}


def test_a_refused_day_fails_by_name_and_its_rows_are_kept_aside(root: Path):
    world = world_with(root, refusing("refuse"))
    with pytest.raises(RunFailedError, match="at least 86400 s are asked for"):
        world.drive().run(None, "book_snapshots")
    aside, *others = world.store.all_set_aside("raw_depth")
    assert (aside.partition, aside.cause) == ("2024-01-05|FOLAUSDT", "coverage")
    assert {each.partition for each in (aside, *others)} == set(world.store.partitions("raw_depth"))
    assert aside.facts["coverage_seconds"] < 86400
    assert world.store.manifest("book_snapshots", aside.partition) is None
    assert world.store.read_table("raw_depth", aside.partition).height > 0


def test_a_masked_day_is_an_explicit_partition_of_no_rows_and_warns(root: Path):
    world = world_with(root, merged(refusing("mask"), {"grid": {"required_instruments": []}}))
    world.drive().run(None, "book_snapshots")
    manifest = world.store.require("book_snapshots", LATER)
    assert manifest.rows == 0
    assert manifest.notes["quality"]["rejected"] == "coverage"
    assert {each.partition for each in world.store.all_set_aside("raw_depth")} == set(
        world.store.partitions("raw_depth")
    )
    assert evicted(world) == set(world.store.partitions("raw_depth"))
    key = dg.AssetCheckKey(dg.AssetKey("book_snapshots"), "book_snapshots_accepted")
    records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = [record.event.dagster_event.asset_check_evaluation_data for record in records if record.event]
    (evaluation,) = (each for each in found if each.partition == LATER)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_the_calendar_tells_days_that_are_there_rejected_and_missing(root: Path):
    world = world_with(root, merged(refusing("refuse"), {"platform": {"failures_per_run": 1}}))
    with pytest.raises(RunFailedError):
        world.drive().run(None, "book_snapshots")
    assert world.run("coverage_job", "all").success
    calendar = world.store.read_table("coverage_calendar", "all")
    states = {(row["day"].isoformat(), row["instrument"]): row["state"] for row in calendar.iter_rows(named=True)}
    assert states["2024-01-05", "FOLAUSDT"] == "rejected"
    assert states["2024-01-06", "FOLAUSDT"] == "missing"
    assert states["2024-01-02", "LEADUSDT"] == "covered"
    accepting = world_with(root, instance=world.instance)
    accepting.drive().run(None, "coverage_calendar")
    calendar = accepting.store.read_table("coverage_calendar", "all")
    assert set(calendar["state"]) == {"covered"}
    ranges = accepting.store.read_table("coverage_calendar", "all", "ranges")
    assert ranges["days"].to_list() == [6]
