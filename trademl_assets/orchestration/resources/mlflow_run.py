"""dagster-mlflow's run, found again by Dagster run AND asset, so that several assets of one Dagster run have a tracked run each.

Importing this module imports MLflow, which is slow; tracking.py does so when a run begins.
"""

import logging
from dataclasses import dataclass
from typing import Any

import mlflow
from dagster_mlflow.resources import MlFlow
from mlflow.entities import RunStatus

_QUIET = ("mlflow.store.db.utils", "alembic.runtime.migration", "mlflow.tracking.fluent")


@dataclass(frozen=True)
class _DagsterRun:
    job_name: str


@dataclass(frozen=True)
class Opening:
    """What dagster-mlflow reads from the context of a resource.

    Attributes:
        log: Logger.
        run_id: Dagster run.
        dagster_run: Holds the name that the tracked run gets.
        resource_config: Tracking URI, experiment, tags.
    """

    log: logging.Logger
    run_id: str
    dagster_run: _DagsterRun
    resource_config: dict[str, Any]


class AssetRun(MlFlow):
    """The tracked run of one asset in one Dagster run; opened again by a retry."""

    def _get_current_run_id(self, experiment: Any | None = None, dagster_run_id: str | None = None) -> str | None:
        """Find the run of this asset and Dagster run, None where there is none yet."""
        asset = self.extra_tags["dagster_asset"]
        found = mlflow.search_runs(
            experiment_ids=[(experiment or self.experiment).experiment_id],
            filter_string=f"tags.dagster_run_id = '{dagster_run_id or self.dagster_run_id}' and tags.dagster_asset = '{asset}'",
            output_format="list",
        )
        return str(found[0].info.run_id) if found else None


def open_run(
    *, uri: str, artifact_location: str, experiment: str, run_name: str, tags: dict[str, str], dagster_run_id: str
) -> AssetRun:
    """Start the run of an asset, or open it again after a retry, and make it the active one."""
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    while mlflow.active_run() is not None:
        mlflow.end_run(RunStatus.to_string(RunStatus.FAILED))
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(experiment) is None:
        mlflow.create_experiment(experiment, artifact_location=f"{artifact_location}/{experiment}")
    opening = Opening(
        log=logging.getLogger("trademl_assets.tracking"),
        run_id=dagster_run_id,
        dagster_run=_DagsterRun(run_name),
        resource_config={"mlflow_tracking_uri": uri, "experiment_name": experiment, "env": {}, "extra_tags": tags},
    )
    return AssetRun(opening)


def end_run(status: str) -> None:
    """End the active run as FINISHED, FAILED or KILLED."""
    mlflow.end_run(status)
