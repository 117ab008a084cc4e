"""Tracing in MLflow: one run an asset and Dagster run, in the experiment of its stage, failed where that failed."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from trademl_assets.configuration.platform import TrackingParameters
from trademl_assets.evaluation.versions import flatten
from trademl_assets.orchestration.catalog import Entry
from trademl_assets.storage.commit import Manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SOURCE_RUNS_AT_MOST = 5
_METRICS_PER_REQUEST = 1000
_PARAMETERS_PER_REQUEST = 100
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow refuses in the name of a parameter."""
_INPUTS_PER_REQUEST = 1000
_DIGEST_DIGITS = 36
_DOCUMENTED = {"aligned_grid": "preprocessing", "dataset": "dataset", "hyperparameter_study": "optimization"}
"""Assets whose runs the documented tags `<name>_run_id` name, on every run that stands on them."""
_INHERITED = (*(f"{name}_run_id" for name in _DOCUMENTED.values()), "best_trial_number")
"""Tags that a run takes over from those it stands on."""
_TERMINAL = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class TrackedRun:
    """The tracked run of one asset in one Dagster run.

    Attributes:
        run_id: MLflow's id of the run.
        experiment_id: MLflow's id of its experiment.
        client: Client of the tracking store.
        tracking: Where runs of other assets are found.
    """

    run_id: str
    experiment_id: str
    client: "MlflowClient"
    tracking: "StageTracking"

    def log_numbers(self, numbers: Mapping[str, float]) -> None:
        """Log metrics."""
        self.log_series([numbers])

    def log_series(self, series: Sequence[Mapping[str, float]]) -> None:
        """Log metrics of several steps, such as the partitions of a batch, in as few requests as MLflow allows."""
        from mlflow.entities import Metric  # noqa: PLC0415 -- MLflow is slow to import, definitions must not be

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, step)
            for step, numbers in enumerate(series)
            for name, value in numbers.items()
        ]
        for start in range(0, len(metrics), _METRICS_PER_REQUEST):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + _METRICS_PER_REQUEST])

    def log_step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log metrics of one step of something that is under way."""
        from mlflow.entities import Metric  # noqa: PLC0415 -- as in `log_series`

        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in numbers.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log nested parameters under dotted names; parameters that a retry logs again keep their first value."""
        from mlflow.entities import Param  # noqa: PLC0415 -- as in `log_series`

        known = self.client.get_run(self.run_id).data.params
        named = {_NOT_IN_NAMES.sub("_", name): str(value) for name, value in flatten(parameters).items()}
        new = [Param(name, value) for name, value in named.items() if name not in known]
        for start in range(0, len(new), _PARAMETERS_PER_REQUEST):
            self.client.log_batch(self.run_id, params=new[start : start + _PARAMETERS_PER_REQUEST])

    def log_text(self, text: str, file: str) -> None:
        """Log a text as artifact."""
        self.client.log_text(self.run_id, text, file)

    def log_file(self, path: Path, folder: str = "") -> None:
        """Log a file as artifact."""
        self.client.log_artifact(self.run_id, str(path), folder or None)

    def log_bytes(self, content: bytes, name: str, folder: str) -> None:
        """Log bytes as an artifact."""
        with TemporaryDirectory() as scratch:  # MLflow takes files only
            path = Path(scratch) / name
            path.write_bytes(content)
            self.log_file(path, folder)

    def page_of(self, file: str) -> str:
        """Return the address of an artifact in MLflow's interface."""
        return f"{self.tracking.interface_url}/#/experiments/{self.experiment_id}/runs/{self.run_id}/artifacts/{file}"

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        for name, value in tags.items():
            self.client.set_tag(self.run_id, name, value)

    def log_partitions(self, manifests: Sequence[Manifest]) -> None:
        """Log the table of partitions and content hashes."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("asset", "partition", "rows", "bytes", "content_hash", "code_version", "config_fingerprint"))
        for each in manifests:
            size = each.bytes
            table.writerow(
                (
                    each.asset,
                    each.partition,
                    each.rows,
                    size,
                    each.content_hash,
                    each.code_version,
                    each.config_fingerprint,
                )
            )
        self.log_text(text.getvalue(), "partitions.csv")

    def log_inputs(self, upstream: Mapping[str, tuple[str, Path]]) -> None:
        """Log every partition that was read as an input of the run, which MLflow shows beside its results.

        Args:
            upstream: Content hash and folder by "asset/partition". MLflow keeps the first 36 digits of a hash.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 -- as in `log_series`

        inputs = [
            DatasetInput(
                Dataset(place, content_hash[:_DIGEST_DIGITS], "local", json.dumps({"uri": str(folder)})),
                [InputTag("mlflow.data.context", place.split("/", 1)[0])],
            )
            for place, (content_hash, folder) in sorted(upstream.items())
        ]
        for start in range(0, len(inputs), _INPUTS_PER_REQUEST):
            self.client.log_inputs(self.run_id, inputs[start : start + _INPUTS_PER_REQUEST])

    def log_sources(self, upstream: Mapping[str, set[str]]) -> None:
        """Tag the run with the tracked runs that made its upstream partitions, and those that they stand on in turn.

        Args:
            upstream: Dagster runs by asset.
        """
        own: dict[str, str] = {}
        inherited: dict[str, str] = {}
        for asset, dagster_runs in upstream.items():
            found = [
                self.tracking.find(asset, dagster_run) for dagster_run in sorted(dagster_runs)[:_SOURCE_RUNS_AT_MOST]
            ]
            known = [run_id for run_id in found if run_id]
            if not known:
                continue
            own[f"source_{asset}_run_id"] = ",".join(known)
            if asset in _DOCUMENTED:
                name = _DOCUMENTED[asset]
                own |= {f"{prefix}{name}_run_id": ",".join(known) for prefix in ("", "source_")}
            tags = self.client.get_run(known[-1]).data.tags
            inherited |= {name: tags[name] for name in _INHERITED if name in tags}
        self.set_tags(inherited | own)

    def nested(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
        numbers: Mapping[str, float],
        status: str,
        series: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Record a finished run below this one; one that is there already is left as it is.

        Args:
            name: Name, unique below this run.
            tags: Tags beside those that make it nested.
            parameters: Its parameters.
            numbers: Its metrics.
            status: FINISHED or FAILED.
            series: Metrics of several steps.
        """
        below = f"tags.mlflow.parentRunId = '{self.run_id}' and attributes.run_name = '{name}'"
        if self.client.search_runs([self.experiment_id], below):
            return
        run = self.client.create_run(
            self.experiment_id, run_name=name, tags={"mlflow.parentRunId": self.run_id, **tags}
        )
        child = TrackedRun(run.info.run_id, self.experiment_id, self.client, self.tracking)
        child.log_parameters(parameters)
        child.log_series([numbers, *series] if numbers else series)
        self.client.set_terminated(child.run_id, status)


class StageTracking:
    """Runs in MLflow, an experiment a stage."""

    def __init__(self, parameters: TrackingParameters) -> None:
        self._parameters = parameters
        self.interface_url = parameters.interface_url
        self._experiments: Mapping[str, str] = parameters.experiments.model_dump()
        self._found: dict[tuple[str, str], str] = {}
        self._opened: MlflowClient | None = None

    @contextmanager
    def stage_run(
        self, entry: Entry, run_name: str, tags: Mapping[str, str], dagster_run_id: str
    ) -> Iterator[TrackedRun]:
        """Open the run of an asset and end it with the block: FINISHED, FAILED on an error, KILLED on an interrupt.

        Args:
            entry: The asset.
            run_name: Name of the run.
            tags: Tags of the run.
            dagster_run_id: Dagster run; a retry within it opens the same tracked run again.
        """
        from trademl_assets.orchestration.resources import mlflow_run  # noqa: PLC0415 -- MLflow is slow to import, definitions must not be

        parameters = self._parameters
        opened = mlflow_run.open_run(
            uri=parameters.uri,
            artifact_location=parameters.artifact_location,
            experiment=self._experiments[entry.stage],
            run_name=run_name,
            tags={"dagster_asset": entry.name, **tags},
            dagster_run_id=dagster_run_id,
        )
        status = "FAILED"
        try:
            yield TrackedRun(opened.info.run_id, opened.info.experiment_id, self._client(), self)
            status = "FINISHED"
        except (KeyboardInterrupt, GeneratorExit):
            status = "KILLED"
            raise
        finally:
            mlflow_run.end_run(status)

    def find(self, asset: str, dagster_run_id: str) -> str:
        """Return the tracked run of an asset in a Dagster run, empty where there is none."""
        known = self._found.get((asset, dagster_run_id))
        if known is None:
            runs = self._search(f"tags.dagster_run_id = '{dagster_run_id}' and tags.dagster_asset = '{asset}'")
            known = self._found[asset, dagster_run_id] = runs[0].info.run_id if runs else ""
        return known

    def attach(self, asset: str, dagster_run_id: str, text: str, file: str) -> None:
        """Log a text to the tracked run of an asset in a Dagster run; nowhere where there is none."""
        run_id = self.find(asset, dagster_run_id)
        if run_id:
            self._client().log_text(run_id, text, file)

    def fail(self, dagster_run_id: str) -> None:
        """Mark every tracked run of a Dagster run as failed: a check or another step of it failed."""
        for run in self._search(f"tags.dagster_run_id = '{dagster_run_id}'"):
            self._client().set_terminated(run.info.run_id, "FAILED")

    def running(self) -> dict[str, str]:
        """Return the runs that have no end yet: MLflow's id to the Dagster run that made them."""
        return {
            run.info.run_id: run.data.tags.get("dagster_run_id", "")
            for run in self._search("attributes.status = 'RUNNING'")
        }

    def end(self, run_id: str, status: str) -> None:
        """End a run that its process could not end."""
        if status not in _TERMINAL:
            raise ValueError(f"{status} is not an end, expected one of {_TERMINAL}")
        self._client().set_terminated(run_id, status)

    def _client(self) -> "MlflowClient":
        from trademl_assets.orchestration.resources import mlflow_run  # noqa: PLC0415 -- MLflow is slow to import

        if self._opened is None:
            self._opened = mlflow_run.open_client(self._parameters.uri)
        return self._opened

    def _search(self, condition: str) -> list[Any]:
        client = self._client()
        named = [client.get_experiment_by_name(name) for name in sorted(set(self._experiments.values()))]
        identities = [experiment.experiment_id for experiment in named if experiment is not None]
        return list(client.search_runs(identities, condition)) if identities else []
