"""Partitions whose run ended between their commit and their checks: they exist, but nobody has looked at them.

A kill can also fall between a commit and the event that tells Dagster of it. Both kinds are made again, which gives
the same content, the missing event and the missing check.
"""

from collections.abc import Iterable

import dagster as dg
from dagster._core.execution.stats import StepEventStatus

from trademl_assets.storage.commit import ArtifactStore


class UnfinishedRuns:
    """Tells which partitions a run left without their checks.

    Args:
        instance: Dagster's instance, which knows how runs ended.
        definitions: The deployment's definitions, which know the checks of an asset.
    """

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        self._instance = instance
        self._steps: dict[str, set[str]] = {}
        for checks in definitions.asset_checks or ():
            if isinstance(checks, dg.AssetChecksDefinition):
                for key in checks.check_keys:
                    self._steps.setdefault(key.asset_key.to_user_string(), set()).add(checks.node_def.name)
        self._succeeded: dict[str, set[str] | None] = {}

    def unchecked(self, store: ArtifactStore, asset: str, keys: Iterable[str]) -> dict[str, str]:
        """Return why partitions that look up to date must be made again, by key."""
        wanted = {asset} | self._steps.get(asset, set())
        found = {}
        for key in keys:
            manifest = store.manifest(asset, key)
            if manifest is None or not manifest.run_id:
                continue
            succeeded = self._steps_of(manifest.run_id)
            if succeeded is not None and not wanted <= succeeded:
                found[key] = f"run {manifest.run_id[:8]}, which made it, ended before its checks"
        return found

    def _steps_of(self, run_id: str) -> set[str] | None:
        """Steps of a run that succeeded; None where the run succeeded, is not over, or is not known here."""
        if run_id not in self._succeeded:
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.is_success or not run.is_finished:
                self._succeeded[run_id] = None
            else:
                steps = self._instance.get_run_step_stats(run_id)
                self._succeeded[run_id] = {step.step_key for step in steps if step.status is StepEventStatus.SUCCESS}
        return self._succeeded[run_id]
