"""Asset checks: blocking ones on tables and arrays from a factory, properties worth having beside them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import polars as pl
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)
from numpy.typing import NDArray

from trademl_assets.foundation.errors import TradeMLError
from trademl_assets.foundation.lazy_import import LazyModule
from trademl_assets.orchestration.assets.long_term import LEVELS
from trademl_assets.orchestration.assets.order_book import CERTIFICATE
from trademl_assets.orchestration.batch import STORE, TRACKING
from trademl_assets.orchestration.catalog import (
    ALIGNED_GRID,
    BOOK_SNAPSHOTS,
    CALIBRATED_MODEL,
    CANDLES,
    COVERAGE_CALENDAR,
    DAILY_AGGREGATES,
    DATASET,
    EXTERNAL_SERIES,
    LEAKAGE_CONTROLS,
    MARKET_REGIME,
    MODEL_EVALUATION,
    RAW_DEPTH,
    TRAINED_MODEL,
    Entry,
)
from trademl_assets.orchestration.contracts import (
    coverage_contract,
    index_contract,
    level_contract,
    logits_contract,
    probabilities_contract,
    regime_contract,
)
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.leakage_checks import controls_look, leakage_look
from trademl_assets.orchestration.model_checks import (
    calibration_gate_look,
    calibration_look,
    skill_gate_look,
    verdict_look,
)
from trademl_assets.orchestration.refusals import refusals_of
from trademl_assets.orchestration.sights import Look, Sight
from trademl_assets.order_book.certificate import Certificate, certificate_problem
from trademl_assets.sources.bar_contract import bar_contract
from trademl_assets.sources.contracts import (
    aggregate_contract,
    series_contract,
    snapshot_contract,
    tall_contract,
    violations,
)
from trademl_assets.storage.commit import ArtifactStore

if TYPE_CHECKING:
    import pandera.polars as pa
else:
    pa = LazyModule("pandera.polars")

SECONDS = "seconds"
MOST_RECORDS = 1000
"""Records that Dagster gives at once."""

Contract = Callable[[pl.DataFrame], "pa.DataFrameSchema"]
"""From a table to what it must satisfy; most contracts are the same for every table."""


def build_checks(deployment: Deployment, assets: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Make the checks over the assets that there are."""
    slots = deployment.configuration.order_book.compression.slots
    tables: Sequence[tuple[Entry, str, Contract]] = (
        (RAW_DEPTH, "data", lambda _: tall_contract()),
        (BOOK_SNAPSHOTS, "data", lambda _: snapshot_contract(slots)),
        (DAILY_AGGREGATES, "data", lambda _: aggregate_contract()),
        (CANDLES, "data", lambda _: bar_contract(deployment.configuration.candles.cadence_seconds)),
        (MARKET_REGIME, "data", lambda _: regime_contract()),
        (EXTERNAL_SERIES, "data", lambda _: series_contract()),
        (COVERAGE_CALENDAR, "data", lambda _: coverage_contract()),
        (DATASET, "index", lambda _: index_contract()),
        (TRAINED_MODEL, "predictions", logits_contract),
        (CALIBRATED_MODEL, "predictions", probabilities_contract),
    )
    looks: Sequence[tuple[Entry, str, Look]] = (
        *((entry, "schema", table_look(entry.name, name, contract)) for entry, name, contract in tables),
        (DAILY_AGGREGATES, "levels", levels_look),
        (ALIGNED_GRID, "arrays", grid_look(deployment)),
        (BOOK_SNAPSHOTS, "fidelity", fidelity_look(deployment)),
        (DATASET, "no_leakage", leakage_look(deployment)),
    )
    gates: Sequence[tuple[Entry, str, Look]] = (
        (MODEL_EVALUATION, "calibration_within_limits", calibration_gate_look),
        (MODEL_EVALUATION, "beats_volatility_or_is_marked", skill_gate_look),
    )
    warnings: Sequence[tuple[Entry, str, Look]] = (
        (BOOK_SNAPSHOTS, "accepted", acceptance_look),
        (LEAKAGE_CONTROLS, "passed", controls_look),
        (CALIBRATED_MODEL, "calibrated", calibration_look),
        (MODEL_EVALUATION, "skill", verdict_look),
    )
    return [
        *(partition_check(deployment, *look) for look in looks if look[0].name in assets),
        *(partition_check(deployment, *look, takes_back=False) for look in gates if look[0].name in assets),
        *(
            partition_check(deployment, *look, severity=dg.AssetCheckSeverity.WARN)
            for look in warnings
            if look[0].name in assets
        ),
    ]


def partition_check(
    deployment: Deployment,
    entry: Entry,
    what: str,
    look: Look,
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    takes_back: bool = True,
) -> dg.AssetChecksDefinition:
    """Make the check `<asset>_<what>` that looks at every partition of a run, or at all where it names none.

    Dagster plans one evaluation for each partition of a range but takes only one result, which would leave the others
    open for ever; so the evaluations are written here, one for each partition.

    Args:
        deployment: The deployment.
        entry: The asset.
        what: Property that is checked.
        look: Looks at one partition.
        severity: Severity of a failure; ERROR keeps downstream assets of the run from being made, WARN only tells.
        takes_back: Whether a refused partition is removed; a judgement stays, for it is what tells why.
    """
    blocking = severity is dg.AssetCheckSeverity.ERROR
    name = f"{entry.name}_{what}"

    def check(context: dg.AssetCheckExecutionContext) -> Any:
        store: ArtifactStore = getattr(context.resources, STORE)
        failing: list[str] = []
        keys = _keys(context, store, entry)
        targets = _latest(context.instance, entry.name, len(keys))
        not_made = refusals_of(context.instance, context.run.run_id, entry.name)
        for key in keys if blocking else [key for key in keys if key not in not_made]:
            begun = time.monotonic()
            seen = Sight(not_made[key]) if key in not_made else _see(look, store, key)
            problem = seen.problem
            refused = bool(problem) and blocking and seen.refuses
            told: dict[str, Any] = {"partition": key, SECONDS: time.monotonic() - begun}
            failing += [key] if refused else []
            for file, text in seen.files.items():
                getattr(context.resources, TRACKING).attach(entry.name, context.run.run_id, text, file)
            yield AssetCheckEvaluation(
                asset_key=dg.AssetKey(entry.name),
                check_name=name,
                passed=not problem,
                metadata=told | ({"problem": problem} if problem else {}) | dict(seen.metadata),
                target_materialization_data=targets.get(key) or _target(context.instance, entry.name, key),
                severity=severity if refused or not problem else dg.AssetCheckSeverity.WARN,
                blocking=blocking,
                partition=key,
            )
        if failing:
            getattr(context.resources, TRACKING).fail(context.run.run_id)
        if failing and takes_back:
            _take_back(store, entry, failing, context.run.run_id)
        yield dg.Output(None)

    definition: dg.AssetChecksDefinition = dg.asset_check(
        asset=entry.name,
        name=name,
        blocking=blocking,
        partitions_def=deployment.space(entry.space),
        required_resource_keys={STORE, TRACKING},
        description=f"{what} of every partition that the run made",
    )(check)
    return definition


def table_look(asset: str, name: str, contract: Contract) -> Look:
    """Make the look that validates one table of a partition against its contract.

    A table that was removed after use was looked at when it was made, and is not looked at again.
    """

    def look(store: ArtifactStore, key: str) -> str:
        if name in store.require(asset, key).evicted:
            return ""
        table = store.read_table(asset, key, name)
        try:
            contract(table).validate(table, lazy=True)
        except (pa.errors.SchemaErrors, pa.errors.SchemaError) as error:
            return violations(error)
        return ""

    return look


def levels_look(store: ArtifactStore, day: str) -> str | Sight:
    """Look at the levels of a day; a day that came as aggregates has none."""
    look = table_look(DAILY_AGGREGATES.name, LEVELS, lambda _: level_contract())
    return look(store, day) if LEVELS in store.require(DAILY_AGGREGATES.name, day).files else ""


def grid_look(deployment: Deployment) -> Look:
    """Make the look at a grid day: its steps, finite streams, mids exactly where they were seen."""
    steps = deployment.configuration.grid.steps_per_day
    instruments = len(deployment.configuration.market.instruments)

    def look(store: ArtifactStore, key: str) -> str:
        arrays = store.open_arrays(ALIGNED_GRID.name, key)
        if arrays["mid"].shape != (steps, instruments):
            return f"mid has shape {arrays['mid'].shape}, expected {(steps, instruments)}"
        return "; ".join(_grid_problems(arrays))

    return look


def fidelity_look(deployment: Deployment) -> Look:
    """Make the look at what compression cost, against the configured maxima; imported history has no certificate."""
    allowed = deployment.configuration.order_book.certificate

    def look(store: ArtifactStore, key: str) -> str:
        if CERTIFICATE not in store.require(BOOK_SNAPSHOTS.name, key).files:
            return ""
        return certificate_problem(
            Certificate.from_dict(store.read_json(BOOK_SNAPSHOTS.name, key, CERTIFICATE)), allowed
        )

    return look


def acceptance_look(store: ArtifactStore, key: str) -> str:
    """Look whether the day was accepted: a rejected one that is masked has no rows and says why."""
    quality = store.require(BOOK_SNAPSHOTS.name, key).notes.get("quality", {})
    return str(quality["reason"]) if quality.get("rejected") else ""


def _grid_problems(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    problems = [
        f"{name} has values that are not finite"
        for name in ("book", "price", "mask")
        if not np.isfinite(arrays[name]).all()
    ]
    if (np.isnan(arrays["mid"]) != (arrays["state"] == 2)).any():  # noqa: PLR2004 -- the grid's code of a missing step
        problems.append("mid is not missing exactly where the state says so")
    return problems


def _keys(context: dg.AssetCheckExecutionContext, store: ArtifactStore, entry: Entry) -> list[str]:
    step = context.op_execution_context
    if step.has_partition_key or step.has_partition_key_range:
        return sorted(str(key) for key in step.partition_keys)
    return list(store.partitions(entry.name))


def _see(look: Look, store: ArtifactStore, key: str) -> Sight:
    try:
        seen = look(store, key)
    except TradeMLError as error:
        return Sight(str(error))
    return Sight(seen) if isinstance(seen, str) else seen


def _take_back(store: ArtifactStore, entry: Entry, keys: Sequence[str], run_id: str) -> None:
    """Remove what this run made and the check refuses, so that nothing downstream reads it, now or later."""
    for key in keys:
        manifest = store.manifest(entry.name, key)
        if manifest is not None and manifest.run_id == run_id:
            store.delete(entry.name, key)


def _latest(
    instance: dg.DagsterInstance, asset: str, count: int
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """What the last `count` materialisations made, by partition: as a rule all that a run's check looks at."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=min(max(count, 1), MOST_RECORDS)).records
    return {str(record.partition_key): _pointer(record) for record in reversed(records)}


def _target(instance: dg.DagsterInstance, asset: str, key: str) -> AssetCheckEvaluationTargetMaterializationData | None:
    latest = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
    records = instance.fetch_materializations(latest, limit=1).records
    return _pointer(records[0]) if records else None


def _pointer(record: dg.EventLogRecord) -> AssetCheckEvaluationTargetMaterializationData:
    return AssetCheckEvaluationTargetMaterializationData(
        run_id=record.run_id, storage_id=record.storage_id, timestamp=record.timestamp
    )
