"""The body that all assets share: partition after partition, commit what one domain function makes and record it.

A run over a range is one Dagster run, one tracked run and one process; every partition is committed and recorded on
its own.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from trademl_assets.foundation.errors import ConfigError, TradeMLError
from trademl_assets.foundation.input_files import noting_inputs
from trademl_assets.orchestration.catalog import ALIGNED_GRID, Entry
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.instrument_runs import log_instrument_runs
from trademl_assets.orchestration.metadata import Facts, latest_events, materialization, recorded
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.orchestration.progress import with_progress
from trademl_assets.orchestration.refusals import combine_refusals, is_checked_afterwards, observe_refusal
from trademl_assets.orchestration.resources.run_parameters import run_parameters
from trademl_assets.orchestration.resources.tracking import StageTracking, TrackedRun
from trademl_assets.storage.commit import ArtifactStore, Manifest, PartitionWriter

STORE = "store"
TRACKING = "mlflow"


@dataclass(frozen=True)
class Work:
    """One partition under way.

    Attributes:
        key: Key of the partition.
        store: Where upstream partitions are read.
        writer: Where the partition is written.
        run: The tracked run of the batch.
        context: Dagster's context of the step.
        draws: Whether its whole plots are drawn: a batch draws those of its last day, experiment or model set, since
            they cost as much as many a partition; the others show a sketch.
    """

    key: str
    store: ArtifactStore
    writer: PartitionWriter
    run: TrackedRun
    context: dg.AssetExecutionContext
    draws: bool
    _afterwards: list[Callable[[], object]] = field(default_factory=list)

    def afterwards(self, action: Callable[[], object]) -> None:
        """Have something done once the partition is committed, such as removing scratch files."""
        self._afterwards.append(action)

    def settle(self) -> None:
        """Do what was to be done after the commit."""
        for action in self._afterwards:
            action()

    def resource(self, name: str) -> Any:
        """Return one of the step's resources."""
        return getattr(self.context.resources, name)


Make = Callable[[Work], Facts]


def partitioned_asset(
    deployment: Deployment,
    entry: Entry,
    make: Make,
    *,
    deps: Sequence[dg.AssetDep] = (),
    resources: frozenset[str] = frozenset(),
    pool: str | None = None,
    beside: Callable[[dg.AssetExecutionContext], AbstractContextManager[None]] = lambda _context: nullcontext(),
) -> dg.AssetsDefinition:
    """Make the asset whose partitions `make` writes one by one.

    Args:
        deployment: The deployment.
        entry: The asset.
        make: Writes one partition and says what is known about it.
        deps: Upstream assets with their mappings.
        resources: Resources that `make` asks for beside the store and the tracking.
        pool: Pool whose slots limit how many such steps run at once.
        beside: What goes on beside the whole step, from before its tracked run is opened, which takes seconds.
    """

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with beside(context):
            yield from commit_partitions(context, deployment, entry, make)

    keys = {STORE, TRACKING, *resources}
    arguments = asset_arguments(deployment, entry)
    asset: dg.AssetsDefinition = dg.asset(**arguments, deps=deps, required_resource_keys=keys, pool=pool)(body)
    return asset


def asset_arguments(deployment: Deployment, entry: Entry) -> dict[str, Any]:
    """Return what all assets state alike: key, group, partitions, versions, owner, kinds, description, batches."""
    return {
        "name": entry.name,
        "group_name": entry.group,
        "partitions_def": deployment.space(entry.space),
        "code_version": deployment.lineage.code_version(entry.name),
        "owners": [deployment.configuration.platform.owner],
        "kinds": set(entry.kinds),
        "description": entry.description,
        "backfill_policy": dg.BackfillPolicy.multi_run(deployment.configuration.platform.partitions_per_run),
    }


def commit_partitions(
    context: dg.AssetExecutionContext, deployment: Deployment, entry: Entry, make: Make
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation | dg.MaterializeResult[None]]:
    """Make, commit and record every partition of a run, in sorted order.

    A partition that cannot be made is told and passed over, until `failures_per_run` of them could not; the blocking
    checks of the asset then refuse these and fail the run, after they have looked at those that were made.

    Args:
        context: Dagster's context; its resources hold the store and the tracking.
        deployment: The deployment.
        entry: The asset.
        make: Writes one partition and says what is known about it.

    Yields:
        One event a partition as soon as it is committed or has failed, and the result that ends the body.

    Raises:
        TradeMLError: From the domain, where nothing was made, too many failed, or no blocking check is part of the run;
            partitions committed before stay, those that failed keep their old version.
    """
    store: ArtifactStore = getattr(context.resources, STORE)
    tracking: StageTracking = getattr(context.resources, TRACKING)
    keys = _keys(context, entry)
    tags = deployment.names.tags(entry, keys)
    parents = latest_events(context)
    code_version = deployment.lineage.code_version(entry.name)
    with tracking.stage_run(entry, deployment.names.run_name(entry, keys), tags, context.run.run_id) as run:
        run.log_parameters(run_parameters(deployment.configuration, entry, keys))
        done: list[Manifest] = []
        refused: dict[str, TradeMLError] = {}
        series: list[Mapping[str, float]] = []
        try:
            for key in with_progress(entry.name, keys):
                draws = split_key(key)[0] == split_key(keys[-1])[0]
                try:
                    manifest, facts = _commit(context, deployment, entry, make, run=run, key=str(key), draws=draws)
                except TradeMLError as error:
                    refused[str(key)] = error
                    if len(refused) == deployment.configuration.platform.failures_per_run:
                        break
                    if len(keys) > 1:
                        context.log.error("%s %s was not made: %s", entry.name, key, error)  # noqa: TRY400 -- typed: its text says all
                        yield observe_refusal(entry.name, str(key), error)
                    continue
                done.append(manifest)
                series.append({**facts.numbers, "rows": manifest.rows})
                for name, png in facts.pictures().items():
                    run.log_bytes(png, f"{name}.png", f"plots/{key}")
                folder = str(store.layout.partition_folder(entry.name, key))
                yield materialization(manifest, key, facts, folder, parents=parents, code_version=code_version)
        finally:
            run.log_series(series)
            run.log_partitions(done)
        run.log_sources(_upstream_runs(store, done))
        if entry is ALIGNED_GRID:
            log_instrument_runs(deployment, store, run, done)
        all_told = len(refused) < deployment.configuration.platform.failures_per_run and is_checked_afterwards(context)
        if refused and not (done and all_told):
            raise combine_refusals(entry.name, refused, len(keys)) from next(iter(refused.values())).__cause__
    yield recorded(entry.name)


def _commit(
    context: dg.AssetExecutionContext,
    deployment: Deployment,
    entry: Entry,
    make: Make,
    *,
    run: TrackedRun,
    key: str,
    draws: bool,
) -> tuple[Manifest, Facts]:
    begun = time.monotonic()
    store: ArtifactStore = getattr(context.resources, STORE)
    provenance = deployment.lineage.provenance(store, entry.name, key, context.run.run_id)
    with store.write(entry.name, key, schema_version=entry.schema_version, provenance=provenance) as writer:
        work = Work(key, store, writer, run, context, draws)
        with noting_inputs() as inputs:
            facts = make(work)
        writer.read_from(inputs)
    work.settle()
    numbers = {**facts.numbers, "seconds": time.monotonic() - begun}
    return store.require(entry.name, key), replace(facts, numbers=numbers)


def _keys(context: dg.AssetExecutionContext, entry: Entry) -> list[str]:
    keys = sorted(context.partition_keys)
    if not keys:
        ends = [context.run.tags.get(f"dagster/asset_partition_range_{end}", "nothing") for end in ("start", "end")]
        raise ConfigError(
            f"{entry.name}: no partition lies between {ends[0]} and {ends[1]} "
            "-> give both ends in the order of the configuration"
        )
    return keys


def _upstream_runs(store: ArtifactStore, manifests: Sequence[Manifest]) -> dict[str, set[str]]:
    runs: dict[str, set[str]] = {}
    for place in sorted({place for manifest in manifests for place in manifest.upstream}):
        asset, key = place.split("/", 1)
        upstream = store.manifest(asset, key)
        if upstream is not None and upstream.run_id:
            runs.setdefault(asset, set()).add(upstream.run_id)
    return runs
