"""The data side on the tiny market: what a range leaves behind in Dagster and in the store."""

import dagster as dg
import pytest

from trademl_assets.foundation.errors import ConfigError, MissingPartitionError, SourceError
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets_tests.orchestration.conftest import World

TABLES = ("raw_depth", "book_snapshots", "daily_aggregates", "market_regime", "dataset")


@pytest.mark.parametrize("asset", [*TABLES, "aligned_grid"])
def test_each_partition_is_recorded_once_with_its_own_content_hash_as_data_version(made_world: World, asset: str):
    events = made_world.materializations(asset)
    keys = made_world.store.partitions(asset)
    assert sorted(str(event.partition) for event in events) == list(keys)
    versions = {str(event.partition): (event.tags or {})["dagster/data_version"] for event in events}
    assert versions == {key: made_world.store.require(asset, key).content_hash for key in keys}


@pytest.mark.parametrize("asset", TABLES)
def test_tables_show_rows_and_columns(made_world: World, asset: str):
    for event in made_world.materializations(asset):
        manifest = made_world.store.require(asset, str(event.partition))
        assert event.metadata["dagster/row_count"].value == manifest.rows
        assert event.metadata["dagster/column_schema"].value.columns


def test_book_partitions_carry_the_tags_of_both_dimensions(made_world: World):
    event = made_world.materializations("book_snapshots")[0]
    day, instrument = str(event.partition).split("|")
    tags = event.tags or {}
    assert (tags["dagster/partition/day"], tags["dagster/partition/instrument"]) == (day, instrument)


def test_code_version_is_ours_and_not_the_run(made_world: World):
    for asset in (*TABLES, "aligned_grid"):
        versions = {(event.tags or {})["dagster/code_version"] for event in made_world.materializations(asset)}
        assert versions == {ENTRIES[asset].code_version}


def test_dataset_upstream_of_the_manifest_is_what_the_recipe_pins(made_world: World):
    recipe = made_world.store.read_json("dataset", "demo", "recipe")
    assert dict(made_world.store.require("dataset", "demo").upstream) == recipe["upstream"]


def test_a_range_run_again_gives_the_same_content_and_new_events(world: World):
    assert world.run("long_term_job", "2023-12-26", "2023-12-31").success
    before = {
        key: world.store.require("market_regime", key).content_hash for key in world.store.partitions("market_regime")
    }
    assert world.run("long_term_job", "2023-12-28", "2023-12-30").success
    after = {
        key: world.store.require("market_regime", key).content_hash for key in world.store.partitions("market_regime")
    }
    assert before == after
    assert len(world.materializations("market_regime")) == 6 + 3


def test_tall_rows_of_an_imported_day_are_refused_by_name(world: World):
    with pytest.raises(SourceError, match=r"raw_depth 2024-01-02\|LEADUSDT: days before 2024-01-06"):
        world.run("tall_books_job", "2024-01-02|LEADUSDT")
    assert world.store.partitions("raw_depth") == ()


def test_a_missing_upstream_partition_is_named(world: World):
    with pytest.raises(MissingPartitionError, match=r"book_snapshots.*2024-01-01\|LEADUSDT"):
        world.run("aligned_grid_job", "2024-01-01")


def test_a_table_argument_names_every_missing_partition(world: World):
    world.run("long_term_job", "2023-12-26", "2023-12-27")
    world.store.delete("daily_aggregates", "2023-12-26")
    job = world.definitions.resolve_job_def("long_term_job").get_subset(asset_selection={dg.AssetKey("market_regime")})
    with pytest.raises(MissingPartitionError, match="daily_aggregates: not materialised: 2023-12-26"):
        job.execute_in_process(instance=world.instance, partition_key="2023-12-27")


def test_a_range_whose_ends_are_reversed_says_so(world: World):
    with pytest.raises(ConfigError, match="in the order of the configuration"):
        world.run("book_snapshots_job", "2024-01-01|FOLBUSDT", "2024-01-01|LEADUSDT")


def test_a_table_argument_holds_every_day_of_the_window(made_world: World):
    keys = made_world.store.partitions("market_regime")
    regimes = {key: made_world.store.read_table("market_regime", key)["regime"][0] for key in keys}
    assert "unknown" not in set(regimes.values())
