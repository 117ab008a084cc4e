"""Schedules; all ship stopped, since nothing runs by itself unless a workstation's owner turns it on."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_JOB_HOURS: Mapping[str, int] = {"aligned_grid_job": 3, "long_term_job": 4}
"""Hour after midnight UTC at which the finished day is made; sources settle first, the slow channel needs the grid."""


def build_schedules(jobs: list[UnresolvedAssetJobDefinition]) -> list[Any]:
    """Make the daily schedules of the jobs whose partitions are days."""
    return [
        dg.build_schedule_from_partitioned_job(
            job,
            name=f"{job.name.removesuffix('_job')}_daily",
            hour_of_day=_JOB_HOURS[job.name],
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description="Makes the day that has ended.",
        )
        for job in jobs
        if job.name in _JOB_HOURS
    ]
