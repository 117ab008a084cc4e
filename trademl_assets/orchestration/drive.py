"""Makes what a target needs: stale partitions, stage by stage, each contiguous range as one Dagster run.

What is stale is asked again before each stage, so a stage whose content did not change stops the wave behind it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from trademl_assets.foundation.errors import TradeMLError
from trademl_assets.foundation.progress import readable_seconds
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.console import PROGRESS_LOGGER
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.jobs import job_of
from trademl_assets.orchestration.partitions import ranges
from trademl_assets.orchestration.planning import READERS, REMOVED, stage_of, wanted
from trademl_assets.orchestration.recovery import close_dead_runs, process_tag
from trademl_assets.orchestration.refusals import refusals_of
from trademl_assets.orchestration.resources.tracking import StageTracking
from trademl_assets.orchestration.unfinished import UnfinishedRuns
from trademl_assets.storage.commit import ArtifactStore

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
EXPERIMENT_TAG = "trademl/experiment"
_SHOWN = 8
_CONSOLE: dict[str, Any] = {"loggers": {PROGRESS_LOGGER: {}}}

Report = Callable[[str], None]


class RunFailedError(TradeMLError):
    """A Dagster run failed; the message names the asset, the run and the cause.

    Args:
        message: The message.
        partitions: Partitions that were passed over because they could not be made.
    """

    def __init__(self, message: str, partitions: int) -> None:
        super().__init__(message)
        self.partitions = partitions


@dataclass(frozen=True)
class Outcome:
    """What a drive did.

    Attributes:
        made: Partitions made, by asset.
        fresh: Partitions that were up to date, by asset.
        seconds: How long it took.
    """

    made: dict[str, int]
    fresh: dict[str, int]
    seconds: float


class Drive:
    """Launches the runs of a deployment.

    Args:
        deployment: The deployment.
        definitions: Its definitions.
        instance: Dagster's persistent instance, which keeps the history.
        store: Where manifests are read.
        tracking: MLflow.
        report: Takes lines for the one who watches.
    """

    def __init__(
        self,
        deployment: Deployment,
        definitions: dg.Definitions,
        *,
        instance: dg.DagsterInstance,
        store: ArtifactStore,
        tracking: StageTracking,
        report: Report,
    ) -> None:
        self._deployment = deployment
        self._definitions = definitions
        self._instance = instance
        self._store = store
        self._tracking = tracking
        self._report = report

    def run(self, experiment: str | None, until: str | None = None) -> Outcome:
        """Make everything stale that a target needs.

        Args:
            experiment: The experiment; None means all partitions of `until`.
            until: Last asset that is made, None for all.

        Raises:
            ConfigError: The target is not known.
            RunFailedError: A run failed, or several of one stage; what else the stage makes was made and stays.
        """
        started = time.monotonic()
        needed = wanted(self._deployment, experiment, until)
        self._recover()
        unfinished = UnfinishedRuns(self._instance, self._definitions)
        made: dict[str, int] = {}
        fresh: dict[str, int] = {}
        for number, (asset, keys) in enumerate(needed.items(), start=1):
            for before in (source for source, reader in READERS.items() if reader == asset and source in needed):
                again = self._bring_back(before, needed[before], experiment)
                made[before], fresh[before] = made[before] + again, fresh[before] - again
            stale = self._stale(asset, keys, unfinished)
            made[asset], fresh[asset] = len(stale), len(keys) - len(stale)
            head = f"[{number}/{len(needed)}] {asset}"
            if not stale:
                self._report(f"{head}: {len(keys)} up to date")
                continue
            self._report(f"{head}: {len(stale)} of {len(keys)} to make ({next(iter(stale.values()))})")
            begun = time.monotonic()
            self._launch_all(asset, list(stale), experiment)
            self._report(f"{head}: {len(stale)} made in {readable_seconds(time.monotonic() - begun)}")
        return Outcome(made, fresh, time.monotonic() - started)

    def _bring_back(self, asset: str, keys: tuple[str, ...], experiment: str | None) -> int:
        """Make partitions again whose rows were removed after use and which the next stage needs.

        It waits until then, because a stage whose content turns out equal needs nothing of what lies before it.
        """
        stale = stage_of(self._store, self._deployment.lineage, asset, keys).stale
        wanted_again = [key for key, reason in stale.items() if reason.startswith(REMOVED)]
        if wanted_again:
            self._report(f"{asset}: {len(wanted_again)} to make again, their rows were removed after use")
        self._launch_all(asset, wanted_again, experiment)
        return len(wanted_again)

    def _stale(self, asset: str, keys: tuple[str, ...], unfinished: UnfinishedRuns) -> dict[str, str]:
        found = stage_of(self._store, self._deployment.lineage, asset, keys).stale
        stale = {key: reason for key, reason in found.items() if not reason.startswith(REMOVED)}
        unchecked = unfinished.unchecked(self._store, asset, (key for key in keys if key not in stale))
        return {key: reason for key in keys if (reason := stale.get(key) or unchecked.get(key))}

    def _recover(self) -> None:
        dead = close_dead_runs(self._instance, self._tracking)
        if dead:
            self._report(
                f"marked {len(dead)} run(s) as failed whose process is gone: {', '.join(run[:8] for run in dead)}"
            )
        swept = self._store.sweep()
        if swept:
            self._report(f"removed {swept} file(s) that a killed writer left behind")

    def _runs(self, asset: str, stale: list[str]) -> Iterator[tuple[str, str]]:
        space = self._deployment.space(ENTRIES[asset].space)
        limit = self._deployment.configuration.platform.partitions_per_run
        for start in range(0, len(stale), limit):
            yield from ranges(stale[start : start + limit], space)

    def _launch_all(self, asset: str, keys: list[str], experiment: str | None) -> None:
        """Make all ranges of a stage that can be made before the first failure is raised."""
        failures: list[RunFailedError] = []
        failed = 0
        for first, last in self._runs(asset, keys):
            try:
                self._launch(asset, first, last, experiment)
            except RunFailedError as error:
                failures.append(error)
                failed += max(error.partitions, 1)
                if failed >= self._deployment.configuration.platform.failures_per_run:
                    break
        if failures:
            raise (
                failures[0] if len(failures) == 1 else RunFailedError("; ".join(str(each) for each in failures), failed)
            )

    def _launch(self, asset: str, first: str, last: str, experiment: str | None) -> None:
        job = self._definitions.resolve_job_def(job_of(asset))
        layer = job.asset_layer
        checks = layer.get(dg.AssetKey(asset)).check_keys
        selected = job.get_subset(asset_selection={dg.AssetKey(asset)}, asset_check_selection=set(checks))
        target = {} if experiment is None else {EXPERIMENT_TAG: experiment}
        result = selected.execute_in_process(
            instance=self._instance,
            tags={RANGE_START: first, RANGE_END: last, **target, **process_tag()},
            run_config=_CONSOLE,
            raise_on_error=False,
        )
        if not result.success:
            refused = refusals_of(self._instance, result.run_id, asset)
            message = f"{asset} {first} to {last}: {_cause(result)} (Dagster run {result.run_id})"
            raise RunFailedError(message, len(refused))


def _is_check(event: dg.DagsterEvent) -> bool:
    return (
        event.step_key is not None
        and event.step_failure_data.error is not None
        and "DagsterAssetCheckFailedError" in str(event.step_failure_data.error.cls_name)
    )


def _cause(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure and not _is_check(event):
            error = event.step_failure_data.error  # within Dagster's wrappers lies ours, which says where
            while error is not None and error.cause is not None and str(error.cls_name).startswith("Dagster"):
                error = error.cause
            if error is not None:
                return error.message.strip()
    failed = [each for each in result.get_asset_check_evaluations() if not each.passed]
    for each in failed[:1]:
        others = sorted({str(other.partition) for other in failed} - {str(each.partition)})
        more = f"; so are {', '.join(others[:_SHOWN])}" if others else ""
        more += f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        return f"check {each.check_name} refuses {each.partition}: {each.metadata['problem'].value}{more}"
    return "see the run's log"
