"""After a kill: runs whose process is gone are marked failed, in Dagster and MLflow, and give back their slots."""

import os
import platform
from pathlib import Path

import dagster as dg

from trademl_assets.orchestration.resources.tracking import StageTracking

PROCESS_TAG = "trademl/process"
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tag() -> dict[str, str]:
    """Return the tag by which a run is known to belong to this process: host, process and when the process began."""
    return {PROCESS_TAG: f"{platform.node()}:{os.getpid()}:{_began(os.getpid())}"}


def close_dead_runs(instance: dg.DagsterInstance, tracking: StageTracking) -> list[str]:
    """Mark runs as failed whose process on this host is gone.

    Args:
        instance: Dagster's instance.
        tracking: MLflow.

    Returns:
        The Dagster runs that were marked.
    """
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)) if _is_dead(run)]
    for run in dead:
        instance.report_run_failed(run, "The process that executed this run is gone.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    for tracked, dagster_run_id in tracking.running().items():
        dagster_run = instance.get_run_by_id(dagster_run_id) if dagster_run_id else None
        if dagster_run is not None and dagster_run.is_finished:
            tracking.end(tracked, "FAILED")
    return [run.run_id for run in dead]


def _is_dead(run: dg.DagsterRun) -> bool:
    host, _, process = run.tags.get(PROCESS_TAG, "").partition(":")
    identity, _, began = process.partition(":")
    return host == platform.node() and began != _began(int(identity))


def _began(process: int) -> str:
    """Clock ticks from boot to the start of a process, empty where there is none; process numbers are used again."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return ""
