"""The commands as a user types them, against a DAGSTER_HOME of its own: Dagster's and ours work on the same assets."""

import json
import subprocess
import sys
from pathlib import Path

from trademl_assets.cli import main
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.orchestration.conftest import write_configuration

BIN = Path(sys.executable).parent


def run(environment: dict[str, str], *command: str) -> str:
    home = environment["DAGSTER_HOME"]
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_job_execute_and_asset_materialize_fill_the_same_store(
    root: Path, environment: dict[str, str], monkeypatch, capsys
):
    module = ("-m", "trademl_assets.definitions")
    store = ArtifactStore.at(root / "var" / "demo" / "store")
    books = {
        "dagster/partition": "2024-01-02|LEADUSDT",
        "dagster/partition/day": "2024-01-02",
        "dagster/partition/instrument": "LEADUSDT",
    }
    run(environment, "dagster", "job", "execute", *module, "-j", "book_snapshots_job", "--tags", json.dumps(books))
    partition = ("--select", "book_snapshots", "--partition", "2024-01-02|FOLAUSDT")
    run(environment, "dagster", "asset", "materialize", *module, *partition)
    assert store.partitions("book_snapshots") == ("2024-01-02|FOLAUSDT", "2024-01-02|LEADUSDT")
    monkeypatch.setenv("TRADEML_VAR", environment["TRADEML_VAR"])
    assert main(["plan", "--until", "book_snapshots", "--config", environment["TRADEML_CONFIG"]]) == 0
    assert "book_snapshots: 16 of 18 to make" in capsys.readouterr().out


def test_check_validates_without_running(root: Path, monkeypatch, capsys):
    folder = write_configuration(root / "config")
    monkeypatch.setenv("TRADEML_VAR", str(root / "var"))
    assert main(["check", str(folder)]) == 0
    assert "is valid: deployment demo" in capsys.readouterr().out
    (folder / "grid.yaml").write_text("cadence_seconds: soon\n")
    assert main(["check", str(folder)]) == 2
    assert "grid.yaml: cadence_seconds" in capsys.readouterr().err


def test_run_says_what_is_missing_before_anything_starts(root: Path, monkeypatch, capsys):
    folder = write_configuration(root / "config")
    monkeypatch.setenv("TRADEML_VAR", str(root / "var"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert main(["run", "demo", "--config", str(folder)]) == 2
    assert "DAGSTER_HOME is not set" in capsys.readouterr().err
    monkeypatch.delenv("TRADEML_CONFIG", raising=False)
    assert main(["run", "demo"]) == 2
    assert "TRADEML_CONFIG is not set" in capsys.readouterr().err


def test_state_counts_partitions(root: Path, monkeypatch, capsys):
    folder = write_configuration(root / "config")
    monkeypatch.setenv("TRADEML_VAR", str(root / "var"))
    assert main(["state", "--config", str(folder)]) == 0
    assert "book_snapshots" in capsys.readouterr().out
