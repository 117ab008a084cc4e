"""From files of minutes to a leaderboard, by the commands that a user types."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from trademl_assets.cli import main
from trademl_assets.configuration.reading import configuration_from_environment
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.period_job import evaluate_period
from trademl_assets.orchestration.period_prediction import Period
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.orchestration.candle_deployment import EXPERIMENT, KEYS, write_candle_deployment

pytestmark = pytest.mark.end_to_end
WAY = ("candles", "dataset", "trained_model", "calibrated_model", "model_evaluation", "leaderboard")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Of a home of its own; also that of this process, for commands that only look."""
    (tmp_path / "home").mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", tmp_path / "home" / "dagster.yaml")
    stated = {
        "TRADEML_CONFIG": str(tmp_path / "config"),
        "TRADEML_VAR": str(tmp_path / "var"),
        "TRADEML_DATA": str(tmp_path / "nowhere"),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": "250",
    }
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trademl_assets.cli", *arguments],
        env=environment,
        cwd=environment["DAGSTER_HOME"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_minutes_become_a_judged_model_without_a_single_book(
    tmp_path: Path, environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]
):
    folder = write_candle_deployment(tmp_path)
    assert main(["check", str(folder)]) == 0
    assert f"experiments {EXPERIMENT}" in capsys.readouterr().out
    said = run(environment, "run", EXPERIMENT)
    for number, asset in enumerate(WAY, start=1):
        assert f"[{number}/{len(WAY)}] {asset}: {2 if asset == 'candles' else 1} made" in said
    assert main(["plan", EXPERIMENT]) == 0
    assert "nothing to make" in capsys.readouterr().out

    store = ArtifactStore.at(tmp_path / "var" / "real_candles" / "store")
    assert store.partitions("candles") == KEYS
    dataset = open_dataset(store, EXPERIMENT)
    step = int(dataset.index["step"][0])
    assert dataset.gather("bars", step - dataset.lookback_steps("bars") + 1, step + 1).shape == (180, 10)
    assert store.read_table("leaderboard", EXPERIMENT)["model"].to_list() == ["dual_channel"]
    predicted_again(Deployment.of(configuration_from_environment()), store)


def predicted_again(deployment: Deployment, store: ArtifactStore) -> None:
    """The test day as a period gives the predictions that are stored, made in a process that loads torch."""
    key, day = f"{EXPERIMENT}|dual_channel", date(2024, 3, 6)
    period = Period(key, day, day, hindsight=False)
    manifest, facts, page = evaluate_period(deployment, store, period, "run")
    found, stored = (
        store.read_table(asset, partition, "predictions").filter(part="test")
        for asset, partition in ((manifest.asset, manifest.partition), ("calibrated_model", key))
    )
    columns = [name for name in found.columns if name.startswith(("before_", "after_"))]
    assert found["t0"].equals(stored["t0"])
    assert np.abs(found.select(columns).to_numpy() - stored.select(columns).to_numpy()).max() < 1e-5
    assert "dual_channel, 2024-03-06 to 2024-03-06" in page
    assert facts.texts["verdict"] == manifest.notes["verdict"]
    assert store.partitions("dataset") == (EXPERIMENT,)
