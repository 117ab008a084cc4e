"""dagster-mlflow's run, found again by Dagster run AND asset, so that assets of one Dagster run have one each.

Importing this module imports MLflow, which is slow; tracking.py does so when a run begins.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import BetaWarning

from trademl_assets.foundation.errors import TradeMLError
from trademl_assets.foundation.uncollected import uncollected
from trademl_assets.storage.locking import locked

with uncollected():
    import mlflow
    from mlflow.entities import RunStatus

with warnings.catch_warnings():
    warnings.simplefilter("ignore", BetaWarning)  # the whole package is beta; this project's tests tell if it changes
    from dagster_mlflow.resources import MlFlow

_EMBEDDED = "sqlite:///"
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

    def _get_current_run_id(
        self,
        experiment: Any = None,  # noqa: ARG002 -- dagster-mlflow calls it so
        dagster_run_id: str | None = None,
    ) -> str | None:
        """Find the run of this asset and Dagster run, None where there is none yet."""
        identity = mlflow.set_experiment(self.experiment_name).experiment_id
        asset = self.extra_tags["dagster_asset"]
        run = dagster_run_id or self.dagster_run_id
        found = mlflow.MlflowClient().search_runs(
            [identity], f"tags.dagster_run_id = '{run}' and tags.dagster_asset = '{asset}'"
        )
        return str(found[0].info.run_id) if found else None


def open_run(
    *, uri: str, artifact_location: str, experiment: str, run_name: str, tags: dict[str, str], dagster_run_id: str
) -> mlflow.entities.Run:
    """Start the run of an asset, or open it again after a retry, and make it the active one.

    Args:
        uri: Tracking URI.
        artifact_location: Folder or URL below which each experiment keeps its artifacts.
        experiment: Name of the experiment; made if there is none.
        run_name: Name of the run.
        tags: Tags of the run; `dagster_asset` tells the assets of a Dagster run apart.
        dagster_run_id: Dagster run.

    Returns:
        The run.

    Raises:
        TradeMLError: MLflow opened none.
    """
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    while mlflow.active_run() is not None:
        mlflow.end_run(RunStatus.to_string(RunStatus.FAILED))
    mlflow.set_tracking_uri(uri)
    with one_process_at_a_time(uri):
        if mlflow.get_experiment_by_name(experiment) is None:
            mlflow.create_experiment(experiment, artifact_location=f"{artifact_location}/{experiment}")
    config = {"mlflow_tracking_uri": uri, "experiment_name": experiment, "env": {}, "extra_tags": tags}
    opening = Opening(logging.getLogger("trademl_assets.tracking"), dagster_run_id, _DagsterRun(run_name), config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        AssetRun(opening)  # type: ignore[no-untyped-call]  # dagster-mlflow has no types
    run = mlflow.active_run()
    if run is None:
        raise TradeMLError(f"MLflow opened no run {run_name!r} at {uri} -> see its log")
    return run


def open_client(uri: str) -> mlflow.MlflowClient:
    """Open a client of the tracking store; the store's tables are there afterwards."""
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    with one_process_at_a_time(uri):
        return mlflow.MlflowClient(tracking_uri=uri)


@contextmanager
def one_process_at_a_time(uri: str) -> Iterator[None]:
    """Let one process at a time make an embedded store's tables and experiments; MLflow itself fails when two do.

    Args:
        uri: Tracking URI; servers look after themselves.
    """
    if uri.startswith(_EMBEDDED):
        with locked(Path(uri.removeprefix(_EMBEDDED)).parent):
            yield
    else:
        yield


def end_run(status: str) -> None:
    """End the active run as FINISHED, FAILED or KILLED."""
    mlflow.end_run(status)
