"""A tiny planted market: the demo's own files with fewer days, levels and instants, below a temporary root."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from mlflow import MlflowClient

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.definitions import build_definitions
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.drive import Drive
from trademl_assets.orchestration.resources.tracking import StageTracking
from trademl_assets.storage.commit import ArtifactStore

PROJECT = Path(__file__).resolve().parents[2]
DEMO = PROJECT / "configs" / "demo"
CADENCE = 60
FIRST, LAST, TALL = "2024-01-01", "2024-01-06", "2024-01-06"
HISTORY_DAYS = 6


def order_book_steps(**changes: Any) -> dict[str, Any]:
    """The demo's steps on the books of the tiny market, with changes of what cleaning is told."""
    clean, compress = yaml.safe_load((DEMO / "order_book.yaml").read_text())["steps"]
    slots = {"near_market_levels": 4, "bins": {"by": "distance", "upper_edges_bps": [10.0, 40.0]}}
    return {
        "steps": [
            {**clean, "parameters": {**clean["parameters"], "gap_seconds": 300, "stuck_feed_seconds": 300, **changes}},
            {**compress, "parameters": {**compress["parameters"], **slots}},
        ]
    }


CHANGES: Mapping[str, Any] = {
    "market": {
        "history_first_day": "2023-12-26",
        "first_day": FIRST,
        "last_day": LAST,
        "tall_rows_from": TALL,
        "sources": {
            "planted": {
                "parameters": {
                    "first_day": FIRST,
                    "last_day": LAST,
                    "history_days": HISTORY_DAYS,
                    "cadence_seconds": CADENCE,
                    "near_levels": 4,
                    "bin_upper_edges_bps": [10.0, 40.0],
                    "books": {"levels": 10, "bands": [{"slots": 4, "loading": 0.5}]},
                }
            }
        },
    },
    "order_book": {
        **order_book_steps(),
    },
    "grid": {"cadence_seconds": CADENCE, "max_gap_seconds": 180},
    "long_term": {
        "regimes": {"window_days": 5, "min_days": 3},
        "level_groups": [
            {"name": "near", "first_slot": 0, "last_slot": 4},
            {"name": "deep", "first_slot": 4, "last_slot": 6},
        ],
    },
    "datasets": {
        "demo": {
            "first_day": FIRST,
            "last_day": LAST,
            "minimum_history": "PT6H",
            "split": {
                "embargo_seconds": 3600,
                "blocks": [
                    {"part": "train", "length": "P2D"},
                    {"part": "validation", "length": "P1D"},
                    {"part": "calibration", "length": "P1D"},
                    {"part": "test", "length": "P2D"},
                ],
            },
            "streams": {
                "book": {"lookback": "PT4H"},
                "price": {"lookback": "PT4H"},
                "mask": {"lookback": "PT4H"},
                "clock": {"lookback": "PT4H"},
                "long_term": {"lookback_days": 4},
            },
            "audit": {
                "random_cuts": 50,
                "edge_cuts_at_most": 10,
                "raw_cuts": 2,
                "raw_reach": "PT1H",
                "raw_whole_day_cuts": 1,
                "controls": {"draws": 1, "training_rows_at_most": 500, "block": "PT2H"},
            },
        }
    },
    "models": {
        "dual_channel": {
            "parameters": {
                "book": {"slots_per_band": 2},
                "encoder": {"steps": 30, "shared_by_instruments": False, "step_width": 4, "token_width": 4},
                "history": {"width": 16, "initial_forget_bias": 0.0},
                "long_term": {"channels": [4], "kernel_days": 2, "stride_days": 2},
                "merge": {"widths": [4]},
            }
        }
    },
    "ablations": None,
    "training": {"seeds": [1, 2], "max_epochs": 2, "progress_seconds": 0.01},
    "tuning": {"n_trials": 2},
    "evaluation": {"bootstrap_replicates": 100, "excess_replicates": 100, "minimum_effective_test": 50},
}


def merged(base: Any, changes: Any) -> Any:
    """Mappings are merged, everything else is replaced."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}


def write_configuration(folder: Path, *changes: Mapping[str, Any]) -> Path:
    """Write the demo's files with the changes of the tiny market and then `changes`; None empties a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(DEMO.glob("*.yaml")):
        section = yaml.safe_load(file.read_text())
        for change in (CHANGES, *changes):
            section = merged(section, change.get(file.stem, {}))
        (folder / file.name).write_text(yaml.safe_dump(section or {}, sort_keys=False))
    return folder


def tiny_configuration(root: Path, *changes: Mapping[str, Any]) -> Configuration:
    """Read the tiny market whose artifacts lie below `root`."""
    folder = write_configuration(root / "config", *changes)
    return load_configuration(folder, {**os.environ, "TRADEML_VAR": str(root / "var")})


@pytest.fixture(scope="session")
def empty_tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database as it is before the first run; making its tables takes seconds, copying them does not."""
    file = tmp_path_factory.mktemp("tracking") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def root(tmp_path: Path, empty_tracking: Path) -> Path:
    """Folder of a deployment with nothing but empty tracking."""
    (tmp_path / "var" / "demo").mkdir(parents=True)
    shutil.copy(empty_tracking, tmp_path / "var" / "demo" / "mlflow.db")
    return tmp_path


@pytest.fixture
def configuration(root: Path) -> Configuration:
    return tiny_configuration(root)


@pytest.fixture
def environment(root: Path) -> dict[str, str]:
    """Environment of a process that works on the tiny market below `root` with a DAGSTER_HOME of its own."""
    write_configuration(root / "config")
    home = root / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home / "dagster.yaml")
    return {
        **os.environ,
        "TRADEML_CONFIG": str(root / "config"),
        "TRADEML_VAR": str(root / "var"),
        "DAGSTER_HOME": str(home),
        "PYTHONWARNINGS": "ignore",
    }


@dataclass
class World:
    """A deployment of the tiny market with an instance that keeps its history in memory."""

    configuration: Configuration
    deployment: Deployment
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    store: ArtifactStore
    tracking: StageTracking
    lines: list[str]

    def drive(self) -> Drive:
        return Drive(
            self.deployment,
            self.definitions,
            instance=self.instance,
            store=self.store,
            tracking=self.tracking,
            report=self.lines.append,
        )

    def run(self, job: str, first: str, last: str | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        tags = {
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last or first,
        }
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            **options,
        )

    def materializations(self, asset: str) -> list[dg.AssetMaterialization]:
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
        return [record.asset_materialization for record in records if record.asset_materialization is not None]


def make_world(
    configuration: Configuration, instance: dg.DagsterInstance, overrides: Mapping[str, Any] | None = None
) -> World:
    return World(
        configuration,
        Deployment.of(configuration),
        build_definitions(configuration, overrides),
        instance,
        ArtifactStore.at(Path(configuration.platform.storage_root)),
        StageTracking(configuration.tracking),
        [],
    )


@pytest.fixture(scope="session")
def made_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tiny market made up to its dataset; tests must leave it as it is."""
    world = make_world(tiny_configuration(tmp_path_factory.mktemp("made")), dg.DagsterInstance.ephemeral())
    world.drive().run("demo", "dataset")
    return world


def copy_world(made: World, root: Path, **platform: int) -> World:
    """The tiny market as it was made, in a store of its own and with a history that begins here."""
    shutil.copytree(made.configuration.platform.storage_root, root / "var" / "demo" / "store")
    return make_world(tiny_configuration(root, {"platform": platform}), dg.DagsterInstance.ephemeral())


@pytest.fixture
def world(configuration: Configuration) -> World:
    """The tiny market with nothing made."""
    return make_world(configuration, dg.DagsterInstance.ephemeral())
