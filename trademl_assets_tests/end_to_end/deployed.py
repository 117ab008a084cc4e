"""A deployment as its user has it: configuration, home, artifacts and history; driven by whole processes."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.events import DagsterEventType
from mlflow import MlflowClient
from mlflow.entities import Run

from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.refusals import KIND, REFUSAL
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Manifest
from trademl_assets_tests.orchestration.conftest import PROJECT, merged, write_configuration

BIN = Path(sys.executable).parent
KEY = "demo|dual_channel"
MADE = tuple(
    asset for asset in ENTRIES if asset not in {"external_series", "candles", "leakage_controls", "ablation_study"}
)
"""The assets that `trademl run demo` makes; the tiny market has no external series, no candles and no ablations."""
CANARIES = {
    "CANARY_TOKEN": "canary-4f1d7c0e-token",
    "CANARY_DATABASE_URL": "postgresql://reader:canary-4f1d7c0e-password@127.0.0.1/market",
    "AWS_SECRET_ACCESS_KEY": "canary-4f1d7c0e-access-key",
}
"""Secrets in the environment of every process; `canary-4f1d7c0e` may stand nowhere that is written."""
ONE_THREAD: Mapping[str, Any] = {"training": {"threads": 1}}
_PATIENCE_SECONDS = 240


@dataclass(frozen=True)
class Site:
    """A deployment below one folder."""

    root: Path

    @classmethod
    def at(cls, root: Path, *changes: Mapping[str, Any]) -> "Site":
        site = cls(root)
        write_configuration(site.config, ONE_THREAD, *changes)
        site.home.mkdir()
        shutil.copyfile(PROJECT / "dagster.yaml", site.home / "dagster.yaml")
        return site

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def var(self) -> Path:
        return self.root / "var"

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore.at(self.var / "demo" / "store")

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DAGSTER"))}
        return {
            **kept,
            **CANARIES,
            "TRADEML_CONFIG": str(self.config),
            "TRADEML_VAR": str(self.var),
            "DAGSTER_HOME": str(self.home),
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "PYTHONWARNINGS": "ignore",
            "COLUMNS": "250",
            "POLARS_MAX_THREADS": "2",
        }

    def copy(self, root: Path) -> "Site":
        """Copy everything; tracked experiments of the copy keep their artifacts below it."""
        subprocess.run(["cp", "-r", "--reflink=auto", str(self.root), str(root)], check=True)
        with contextlib.closing(sqlite3.connect(root / "var" / "demo" / "mlflow.db")) as database, database:
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                statement = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 -- names are ours
                database.execute(statement, (str(self.root), str(root)))
        return Site(root)

    def change(self, section: str, change: Mapping[str, Any]) -> None:
        file = self.config / f"{section}.yaml"
        file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), change), sort_keys=False))

    def run(self, program: str, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment in the home, as `environment.sh` sets it up."""
        done = subprocess.run(
            [str(BIN / program), *arguments],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def manifests(self) -> dict[str, Manifest]:
        store = self.store
        return {f"{asset}/{key}": store.require(asset, key) for asset in ENTRIES for key in store.partitions(asset)}

    def hashes(self) -> dict[str, str]:
        return {place: manifest.content_hash for place, manifest in self.manifests().items()}

    def written(self) -> dict[str, tuple[str, int]]:
        """When each manifest was written, by what it says and by what the file system says."""
        folder = self.store.layout.partition_folder
        files = {place: folder(*place.split("/", 1)) / "manifest.json" for place in self.manifests()}
        return {
            place: (manifest.created_at, files[place].stat().st_mtime_ns)
            for place, manifest in self.manifests().items()
        }

    def dagster_runs(self) -> list[dg.DagsterRun]:
        """All runs, the latest first."""
        with self._instance() as instance:
            return list(instance.get_runs())

    def materialised(self, asset: str) -> set[str]:
        with self._instance() as instance:
            return {str(key) for key in instance.get_materialized_partitions(dg.AssetKey(asset))}

    def passed_checks(self) -> dict[str, set[str]]:
        """Partitions that passed, by the name of the check."""
        found: dict[str, set[str]] = {}
        with self._instance() as instance:
            records = instance.get_event_records(
                dg.EventRecordsFilter(event_type=DagsterEventType.ASSET_CHECK_EVALUATION), limit=100_000
            )
        for record in records:
            event = record.event_log_entry.dagster_event
            assert event is not None
            evaluation = event.asset_check_evaluation_data
            if evaluation.passed:
                found.setdefault(evaluation.check_name, set()).add(str(evaluation.partition))
        return found

    def root_error(self, run_id: str) -> tuple[str, str]:
        """Class and message of the error of a failed step, without Dagster's wrappers around it."""
        with self._instance() as instance:
            entries = instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
        event = entries[0].dagster_event
        assert event is not None
        error = event.step_failure_data.error
        while error is not None and error.cause is not None and str(error.cls_name).startswith("Dagster"):
            error = error.cause
        assert error is not None
        return str(error.cls_name), error.message

    def refused(self, run_id: str) -> dict[str, tuple[str, str]]:
        """Class and message of the error of every partition that a run passed over."""
        with self._instance() as instance:
            entries = instance.all_logs(run_id, of_type=DagsterEventType.ASSET_OBSERVATION)
        told = [
            entry.dagster_event.asset_observation_data.asset_observation for entry in entries if entry.dagster_event
        ]
        texts = {
            str(each.partition): {name: str(value.value) for name, value in each.metadata.items()} for each in told
        }
        return {key: (text[KIND], text[REFUSAL]) for key, text in texts.items()}

    def tracked(self) -> dict[str, list[Run]]:
        """Runs by the name of their experiment."""
        client = MlflowClient(tracking_uri=f"sqlite:///{self.var}/demo/mlflow.db")
        found = {each.name: each.experiment_id for each in client.search_experiments()}
        return {name: list(client.search_runs([identity], max_results=1000)) for name, identity in found.items()}

    def tracked_statuses(self, dagster_run_id: str) -> set[str]:
        runs = (run for several in self.tracked().values() for run in several)
        return {run.info.status for run in runs if run.data.tags.get("dagster_run_id") == dagster_run_id}

    def secrets_found(self) -> list[str]:
        """Files that hold the value of a canary, or the name of one that nobody asked for."""
        words = [b"canary-4f1d7c0e", *(name.encode() for name in CANARIES if name.startswith("CANARY_"))]
        found = []
        for path in self.root.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a running database drops its write-ahead log when it likes
                if path.is_file() and any(word in path.read_bytes() for word in words):
                    found.append(str(path))
        return found

    def training_processes(self) -> list[int]:
        """Processes that train for this deployment."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
                trains = any(
                    module in command for module in (b"trademl_assets.training.run", b"trademl_assets.tuning.worker")
                )
                if trains and str(self.root).encode() in command:
                    found.append(int(folder.name))
        return found

    @contextlib.contextmanager
    def _instance(self) -> Any:
        with contextlib.chdir(self.home), dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance


@dataclass
class Watched:
    """A process in a group of its own whose lines are read as they come."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, site: Site, program: str, *arguments: str) -> "Watched":
        process = subprocess.Popen(
            [str(BIN / program), *arguments],
            env=site.environment,
            cwd=site.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        watched = cls(process)
        threading.Thread(target=watched._read, daemon=True).start()
        return watched

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as the condition holds; fail if the process ends before."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, f"ended before the awaited moment:\n{self.output}"
            assert time.monotonic() < deadline, f"the awaited moment did not come:\n{self.output}"
            time.sleep(0.003)

    def kill(self) -> int:
        """Kill the whole group and return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line)
