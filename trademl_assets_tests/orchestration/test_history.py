"""Dagster's embedded history while a drive holds it open."""

from pathlib import Path

import dagster as dg
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from trademl_assets.orchestration.history import held_open
from trademl_assets_tests.orchestration.conftest import PROJECT


def test_files_in_write_ahead_mode_stay_open_within_the_block_only(tmp_path: Path):
    file = tmp_path / "history.db"
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode = WAL"))
    log = file.with_name("history.db-wal")
    with held_open() as held:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE events (id INTEGER)"))
        assert list(held) == [str(file)]
        assert log.exists()
    assert not log.exists()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0


def test_other_databases_are_left_alone(tmp_path: Path):
    engine = create_engine(f"sqlite:///{tmp_path / 'tracking.db'}", poolclass=NullPool)
    with held_open() as held, engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))
        assert held == {}
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


def test_the_instance_of_the_project_keeps_its_history_below_var(tmp_path: Path, monkeypatch):
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    with held_open() as held, dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_runs() == []
        assert {Path(file).parts[-4:-2] for file in held} <= {("var", "dagster"), ("dagster", "history")}
        assert not instance.telemetry_enabled
        assert instance.run_retries_enabled
        assert instance.run_monitoring_enabled
    assert (tmp_path / "var" / "dagster" / "history").is_dir()
