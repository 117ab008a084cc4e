"""Provenance of a partition under a configuration: which source the partitions without upstream were asked of."""

from collections.abc import Callable
from pathlib import Path

from trademl_assets.configuration.model import Configuration
from trademl_assets.evaluation.provenance import Chain, SourceStatement, trace
from trademl_assets.evaluation.provenance_target import find_target
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.lineage import Lineage
from trademl_assets.orchestration.period_job import PERIOD_EVALUATION
from trademl_assets.storage.commit import ArtifactStore, Manifest

_ROLES = {
    "raw_depth": "depth_source",
    "book_snapshots": "snapshot_source",
    "daily_aggregates": "aggregate_source",
    "candles": "candle_source",
}


def trace_target(configuration: Configuration, target: str) -> Chain:
    """Follow and verify what a text names, down to the sources.

    Args:
        configuration: The deployment's configuration.
        target: `asset/partition`, `experiment/model`, or a file.

    Raises:
        ConfigError: The text names nothing.
        StorageError: There is no such partition, or the file belongs to none.
    """
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    asset, partition = find_target(store, (*ENTRIES, PERIOD_EVALUATION.name), target)
    return trace(store, asset, partition, describe_source(configuration))


def describe_source(configuration: Configuration) -> Callable[[Manifest], SourceStatement | None]:
    """Make what tells the source of a partition without upstream, None where the configuration names none."""
    market, lineage = configuration.market, Lineage(configuration)

    def describe(manifest: Manifest) -> SourceStatement | None:
        asset, key = manifest.asset, manifest.partition
        name = market.series.get(key) if asset == "external_series" else getattr(market, _ROLES.get(asset, ""), None)
        if name is None:
            return None
        choice = market.sources[name]
        parameters = choice.parameters.model_dump(mode="json")
        return SourceStatement(name, choice.kind, parameters, lineage.fingerprint(asset, key))

    return describe
