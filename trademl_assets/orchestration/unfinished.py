"""Partitions whose run ended between their commit and their checks: they exist, but nobody has looked at them.

A kill can also fall between a commit and the event that tells Dagster of it. Both kinds are made again, which gives
the same content, the missing event and the missing check.
"""

from collections.abc import Iterable

import dagster as dg

from trademl_assets.storage.commit import ArtifactStore

_RECORDED = ""
Evidence = tuple[str, str, str]
"""Asset, partition, and the check that looked at it; no check where it was recorded as made."""


class UnfinishedRuns:
    """Tells which partitions a run left unrecorded or unchecked.

    Args:
        instance: Dagster's instance, which knows how runs ended.
        definitions: The deployment's definitions, which know the checks of an asset.
    """

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        self._instance = instance
        self._checks: dict[str, set[str]] = {}
        for checks in definitions.asset_checks or ():
            if isinstance(checks, dg.AssetChecksDefinition):
                for key in checks.check_keys:
                    self._checks.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
        self._evidence: dict[str, set[Evidence] | None] = {}

    def unchecked(self, store: ArtifactStore, asset: str, keys: Iterable[str]) -> dict[str, str]:
        """Return why partitions that look up to date must be made again, by key."""
        found = {}
        for key in keys:
            manifest = store.manifest(asset, key)
            if manifest is None or not manifest.run_id:
                continue
            evidence = self._evidence_of(manifest.run_id)
            wanted = {(asset, key, check) for check in {_RECORDED, *self._checks.get(asset, set())}}
            if evidence is not None and not wanted <= evidence:
                found[key] = f"run {manifest.run_id[:8]}, which made it, ended before its checks"
        return found

    def _evidence_of(self, run_id: str) -> set[Evidence] | None:
        """What a run recorded; None where it succeeded, is not over, or is not known here."""
        if run_id not in self._evidence:
            run = self._instance.get_run_by_id(run_id)
            over_without_success = run is not None and run.is_finished and not run.is_success
            self._evidence[run_id] = self._read(run_id) if over_without_success else None
        return self._evidence[run_id]

    def _read(self, run_id: str) -> set[Evidence]:
        kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
        found: set[Evidence] = set()
        for entry in self._instance.all_logs(run_id, of_type=kinds):
            event = entry.dagster_event
            if event is None:
                continue
            if event.is_step_materialization:
                made = event.step_materialization_data.materialization
                found.add((made.asset_key.to_user_string(), str(made.partition), _RECORDED))
            elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                looked = event.asset_check_evaluation_data
                found.add((looked.asset_key.to_user_string(), str(looked.partition), looked.check_name))
        return found
