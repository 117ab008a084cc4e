"""What is materialised: how many partitions of each asset there are, how many are stale, how much they hold."""

from dataclasses import dataclass

from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.planning import stage_of
from trademl_assets.storage.commit import ArtifactStore


@dataclass(frozen=True)
class AssetState:
    """One asset.

    Attributes:
        asset: Its name.
        partitions: Partitions of its space.
        materialised: Partitions that there are.
        stale: Those of them that would be made again.
        rows: Rows of all of them.
        megabytes: Size of all of them.
    """

    asset: str
    partitions: int
    materialised: int
    stale: int
    rows: int
    megabytes: float


def asset_states(store: ArtifactStore, deployment: Deployment) -> list[AssetState]:
    """Return the state of every asset, in the order of the way."""
    return [_state(store, deployment, asset) for asset in ENTRIES]


def _state(store: ArtifactStore, deployment: Deployment, asset: str) -> AssetState:
    space = set(deployment.space(ENTRIES[asset].space).get_partition_keys())
    keys = [key for key in store.partitions(asset) if key in space]
    stale = stage_of(store, deployment.lineage, asset, keys).stale
    rows, size = 0, 0
    for key in keys:
        try:
            manifest = store.require(asset, key)
        except CorruptArtifactError:
            continue
        rows += manifest.rows
        size += manifest.bytes
    return AssetState(asset, len(space), len(keys), len(stale), rows, size / 1e6)
