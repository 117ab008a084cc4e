"""The UI shows a partition as fresh when nothing before it has changed, and as unsynced when something has."""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from trademl_assets_tests.orchestration.conftest import World

LAST_PARTITIONS = {
    "book_snapshots": "2024-01-06|FOLAUSDT",
    "aligned_grid": "2024-01-06",
    "daily_aggregates": "2024-01-05",
    "market_regime": "2024-01-05",
    "dataset": "demo",
}


def status(world: World, asset: str, key: str) -> StaleStatus:
    resolver = CachingStaleStatusResolver(
        instance=world.instance,
        asset_graph=world.definitions.resolve_asset_graph(),
        loading_context=LoadingContextForTest(world.instance),
    )
    return resolver.get_status(dg.AssetKey(asset), key)


@pytest.mark.parametrize("asset", sorted(LAST_PARTITIONS))
def test_made_partitions_are_fresh(made_world: World, asset: str):
    assert status(made_world, asset, LAST_PARTITIONS[asset]) is StaleStatus.FRESH


def test_partition_whose_upstream_changed_is_stale(world: World):
    world.drive().run(None, "aligned_grid")
    event = dg.AssetMaterialization(
        "book_snapshots",
        partition="2024-01-02|FOLAUSDT",
        tags={"dagster/data_version": "another"},
    )
    world.instance.report_runless_asset_event(event)
    assert status(world, "aligned_grid", "2024-01-02") is StaleStatus.STALE
    assert status(world, "aligned_grid", "2024-01-03") is StaleStatus.FRESH
