"""A partition that cannot be made costs no other: it is told, refused and, once it can be made, the only one made."""

from pathlib import Path

import dagster as dg
import pytest

from trademl_assets.orchestration.drive import RANGE_END, RANGE_START, RunFailedError
from trademl_assets.orchestration.refusals import REFUSAL
from trademl_assets_tests.orchestration.conftest import World, copy_world

BAD = "2024-01-03"
LATER = ("aligned_grid", "daily_aggregates", "market_regime", "dataset")


def booked_world(root: Path, made: World, **platform: int) -> World:
    """The tiny market with its snapshots made and nothing behind them, in a store of its own."""
    world = copy_world(made, root, **platform)
    for asset in LATER:
        for key in world.store.partitions(asset):
            world.store.delete(asset, key)
    return world


@pytest.fixture
def world(root: Path, made_world: World) -> World:
    return booked_world(root, made_world)


def test_a_bad_day_is_named_and_costs_no_other(world: World):
    path = world.store.file_path("book_snapshots", f"{BAD}|FOLAUSDT", "data")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(RunFailedError, match=rf"book_snapshots/{BAD}\|FOLAUSDT") as caught:
        world.drive().run(None, "aligned_grid")
    assert f"aligned_grid 2024-01-01 to 2024-01-06: check aligned_grid_arrays refuses {BAD}" in str(caught.value)
    others = ("2024-01-01", "2024-01-02", "2024-01-04", "2024-01-05", "2024-01-06")
    assert world.store.partitions("aligned_grid") == others
    path.write_bytes(whole)
    assert world.drive().run(None, "aligned_grid").made["aligned_grid"] == 1  # the others were made and checked


def test_a_day_that_was_not_made_says_why_on_its_own_page(world: World):
    world.store.delete("book_snapshots", f"{BAD}|FOLAUSDT")
    result = world.run("aligned_grid_job", "2024-01-01", "2024-01-06", raise_on_error=False)
    assert not result.success
    (told,) = world.instance.fetch_observations(dg.AssetKey("aligned_grid"), limit=10).records
    assert told.partition_key == BAD
    assert f"book_snapshots: not materialised: {BAD}|FOLAUSDT" in str(told.asset_observation.metadata[REFUSAL].value)
    looked = result.get_asset_check_evaluations()
    assert {each.partition: each.passed for each in looked} == {f"2024-01-0{day}": day != 3 for day in range(1, 7)}
    run_id = world.tracking.find("aligned_grid", result.run_id)
    assert world.tracking._client().get_run(run_id).info.status == "FAILED"


def test_a_failed_day_keeps_its_old_version(world: World):
    world.drive().run(None, "aligned_grid")
    before = world.store.require("aligned_grid", BAD)
    world.store.delete("book_snapshots", f"{BAD}|FOLAUSDT")
    assert not world.run("aligned_grid_job", "2024-01-01", "2024-01-06", raise_on_error=False).success
    assert world.store.require("aligned_grid", BAD) == before


def test_without_a_check_that_refuses_it_a_failed_day_fails_the_step(world: World):
    world.store.delete("book_snapshots", f"{BAD}|FOLAUSDT")
    job = world.definitions.resolve_job_def("aligned_grid_job")
    alone = job.get_subset(asset_selection={dg.AssetKey("aligned_grid")}, asset_check_selection=set())
    tags = {RANGE_START: "2024-01-01", RANGE_END: "2024-01-06"}
    result = alone.execute_in_process(instance=world.instance, tags=tags, raise_on_error=False)
    assert not result.success
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["aligned_grid"]


@pytest.mark.parametrize(("limit", "made"), [(3, 4), (2, 2)])
def test_a_drive_stops_at_the_configured_number_of_failures(root: Path, made_world: World, limit: int, made: int):
    """Two of six days are bad, one in each of the first two runs of two days."""
    world = booked_world(root, made_world, partitions_per_run=2, failures_per_run=limit)
    for day in ("2024-01-02", BAD):
        path = world.store.file_path("book_snapshots", f"{day}|FOLAUSDT", "data")
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunFailedError, match=rf"2024-01-02\|FOLAUSDT.*{BAD}\|FOLAUSDT"):
        world.drive().run(None, "aligned_grid")
    assert len(world.store.partitions("aligned_grid")) == made


def test_a_run_ends_at_the_configured_number_of_failures(root: Path, made_world: World):
    world = booked_world(root, made_world, failures_per_run=2)
    for day in ("2024-01-02", BAD):
        world.store.delete("book_snapshots", f"{day}|FOLAUSDT")
    result = world.run("aligned_grid_job", "2024-01-01", "2024-01-06", raise_on_error=False)
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["aligned_grid"]
    assert world.store.partitions("aligned_grid") == ("2024-01-01",)


def test_what_a_failed_run_left_unchecked_is_made_again_and_checked(world: World):
    job = world.definitions.resolve_job_def("aligned_grid_job")
    alone = job.get_subset(asset_selection={dg.AssetKey("aligned_grid")}, asset_check_selection=set())
    world.store.delete("book_snapshots", f"{BAD}|FOLAUSDT")
    tags = {RANGE_START: "2024-01-01", RANGE_END: "2024-01-06"}
    alone.execute_in_process(instance=world.instance, tags=tags, raise_on_error=False)
    before = world.store.require("aligned_grid", "2024-01-01")
    world.drive().run(None, "aligned_grid")
    after = world.store.require("aligned_grid", "2024-01-01")
    assert after.run_id != before.run_id
    assert after.content_hash == before.content_hash
    world.lines.clear()
    world.drive().run(None, "aligned_grid")
    assert not any("to make" in line for line in world.lines)
