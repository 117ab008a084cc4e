"""Sensors; all ship stopped."""

from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from trademl_assets.orchestration.batch import TRACKING
from trademl_assets.orchestration.catalog import ALIGNED_GRID
from trademl_assets.orchestration.resources.tracking import StageTracking


def build_sensors(jobs: list[UnresolvedAssetJobDefinition]) -> list[dg.SensorDefinition]:
    """Make the sensors over the jobs that there are."""
    by_name = {job.name: job for job in jobs}
    after_grid = [_long_term_after_grid(by_name["long_term_job"])] if "long_term_job" in by_name else []
    return [*after_grid, _failed_runs_in_tracking()]


def _long_term_after_grid(job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    @dg.asset_sensor(
        asset_key=dg.AssetKey(ALIGNED_GRID.name),
        job=job,
        name="long_term_after_grid",
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Makes aggregates and regime of a day as soon as its grid is there.",
    )
    def sensor(context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry) -> Iterator[dg.RunRequest]:
        event = asset_event.asset_materialization
        if event is not None and event.partition is not None:
            yield dg.RunRequest(run_key=context.cursor, partition_key=event.partition)

    return sensor


def _failed_runs_in_tracking() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="failed_runs_in_tracking",
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Marks the tracked runs of a failed Dagster run as failed, also where its process was killed.",
    )
    def sensor(context: dg.RunFailureSensorContext, mlflow: dg.ResourceParam[StageTracking]) -> None:
        mlflow.fail(context.dagster_run.run_id)

    assert TRACKING == "mlflow"  # noqa: S101 -- the resource reaches a sensor by its parameter's name
    return sensor
