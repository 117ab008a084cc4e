"""The guide page on bringing one's own books holds: its own statements and commands, run against a real PostgreSQL."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
import pytest
import yaml
from polars.testing import assert_frame_equal

from trademl_assets.configuration.reading import load_configuration
from trademl_assets.grid.gaps import FILLED, MISSING, OBSERVED
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.market import build_source
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.end_to_end.deployed import BIN, CANARIES, Site
from trademl_assets_tests.postgres import PostgresServer, postgres  # noqa: F401 -- a fixture

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(shutil.which("psql") is None, reason="no psql, which the page tells its reader to use"),
]

PAGE = (PROJECT / "docs" / "guide" / "bring_your_own_order_books.md").read_text()
BLOCK = re.compile(r"^```(bash|sql|python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASSWORD = 'canary-4f1d7c0e it\'s \\ "own" books'  # noqa: S105 -- a canary
DATABASE, ROLE = "own_books", "trademl_reader"
INSTRUMENTS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DAYS = (date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6))
LEAD_IN = timedelta(seconds=180)
SILENT = slice(720, 740)
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the page.

    Attributes:
        root: A folder that looks like the project's.
        environment: Environment of the shell.
        told: What each block said, in the page's order.
    """

    root: Path
    environment: dict[str, str]
    told: list[str]

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore.at(self.root / "var" / DATABASE / "store")

    @cached_property
    def drawn(self) -> pl.DataFrame:
        """What was put in, each row once."""
        rows = pl.read_csv(self.root / "books.csv").with_columns(pl.col("ts").str.to_datetime(time_zone="UTC"))
        return rows.unique().sort("symbol", "ts", "level").cast({"level": pl.Int32})

    def of_day(self, instrument: str, day: date) -> pl.DataFrame:
        """What was put in of an instrument and day, the lead-in too, as tall rows."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        is_within = pl.col("ts").is_between(midnight - LEAD_IN, midnight + timedelta(days=1), closed="left")
        return self.drawn.filter(is_within, symbol=instrument).select(*TALL_SCHEMA)

    def follow(self, language: str, text: str) -> str:
        """Do what a block says, in a shell that has entered the deployment."""
        program = {"bash": "bash -euo pipefail", "python": "python", "sql": f"psql -X -v ON_ERROR_STOP=1 {DATABASE}"}
        done = subprocess.run(
            ["bash", "-c", f". ./environment.sh {DATABASE} && exec {program[language]}"],
            input=text,
            env=self.environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:  # noqa: F811 -- asks for the fixture
    """Somebody who has followed the whole page, and changed nothing but the port in the configuration."""
    root = tmp_path_factory.mktemp("own_books")
    for name in ("environment.sh", "dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, root)
    shutil.copytree(PROJECT / "configs" / DATABASE, root / "configs" / DATABASE)
    (root / "examples").symlink_to(PROJECT / "examples")
    market = root / "configs" / DATABASE / "market.yaml"
    market.write_text(market.read_text().replace("port: 5432", f"port: {postgres.port}"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "DAGSTER", "TRADEML", "PG"))}
    environment = {
        **kept,
        **CANARIES,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PGHOST": postgres.host,
        "PGPORT": str(postgres.port),
        "PGUSER": postgres.user,
        "PGPASSWORD": postgres.password,
        "OWN_BOOKS_PASSWORD": PASSWORD,
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": "250",
        "POLARS_MAX_THREADS": "2",
    }
    clear(postgres)
    found = Reader(root, environment, [])
    try:
        for language, text in BLOCK.findall(PAGE):
            found.told.append("" if language == "yaml" else found.follow(language, text))
        yield found
    finally:
        clear(postgres)


def clear(server: PostgresServer) -> None:
    """Leave the server as it was."""
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")


def told_by(reader: Reader, command: str) -> str:
    """What the block said in which a command stands."""
    (said,) = [said for (_, text), said in zip(BLOCK.findall(PAGE), reader.told, strict=True) if command in text]
    return said


def test_the_table_holds_as_many_rows_as_the_page_says(reader: Reader, postgres: PostgresServer) -> None:  # noqa: F811 -- as above
    with psycopg.connect(
        host=postgres.host, port=postgres.port, dbname=DATABASE, user=ROLE, password=PASSWORD
    ) as connection:
        (count,) = connection.execute("SELECT count(*) FROM depth").fetchone() or (0,)
    assert f"{count:,} rows" in PAGE
    assert count > reader.drawn.height, "some books are delivered twice"


def test_the_commands_say_what_they_did(reader: Reader) -> None:
    assert "configs/own_books is valid" in told_by(reader, "trademl check")
    made = told_by(reader, "trademl run")
    assert "21 partition(s) made" in made
    assert "nothing to make" in reader.follow("bash", "trademl plan --until aligned_grid")


def test_raw_rows_are_those_of_the_table_each_once(reader: Reader) -> None:
    for day in DAYS:
        for instrument in INSTRUMENTS:
            found = reader.store.read_table("raw_depth", f"{day}|{instrument}")
            assert_frame_equal(found, reader.of_day(instrument, day), check_exact=True)
            told = reader.store.read_json("raw_depth", f"{day}|{instrument}", "extraction")
            assert (told["path"], told["counted_before"]["rows"]) == ("copy", found.height + told["duplicate_rows"])


def test_the_grid_shows_the_books_that_were_put_in(reader: Reader) -> None:
    best = reader.drawn.filter(level=0).with_columns(
        mid=(pl.col("bid_price") + pl.col("ask_price")) / 2, step=pl.col("ts").dt.offset_by("1m").dt.truncate("1m")
    )
    for day in DAYS:
        grid = reader.store.open_arrays("aligned_grid", str(day))
        assert grid["mid"].shape == (1440, len(INSTRUMENTS))
        for number, instrument in enumerate(INSTRUMENTS):
            state = np.zeros(1440, dtype=np.uint8)
            if (instrument, day) == ("SOLUSDT", DAYS[1]):
                state[SILENT] = [FILLED] * 2 + [MISSING] * 18
            np.testing.assert_array_equal(grid["state"][:, number], state, f"{instrument} {day}")
            put_in = best.filter(pl.col("step").dt.date() == day, symbol=instrument)
            assert put_in.height == 1440 - (20 if state.any() else 0)
            np.testing.assert_array_equal(grid["mid"][state == OBSERVED, number], put_in["mid"])
        assert grid["usable"].all(), "two instruments are enough"


def test_the_notebook_shows_the_silent_day(reader: Reader) -> None:
    assert "shape: (1_420, 3)" in told_by(reader, "load_book")


def test_the_other_layout_brings_the_same_rows(reader: Reader, tmp_path: Path) -> None:
    (block,) = [text for language, text in BLOCK.findall(PAGE) if language == "yaml"]
    shutil.copytree(reader.root / "configs" / DATABASE, tmp_path / DATABASE)
    file = tmp_path / DATABASE / "market.yaml"
    market = yaml.safe_load(file.read_text())
    market["sources"]["database"]["parameters"] |= yaml.safe_load(block)
    file.write_text(yaml.safe_dump(market))
    configured = load_configuration(tmp_path / DATABASE, {**reader.environment, "TRADEML_VAR": "unused"}).market
    for instrument in configured.instruments[1:]:
        rows = build_source(configured, "depth_source").extract(instrument, DAYS[1], LEAD_IN.seconds)
        assert_frame_equal(rows, reader.of_day(instrument.name, DAYS[1]), check_exact=True)


def test_the_password_is_written_nowhere(reader: Reader) -> None:
    names = {path.name for path in reader.root.rglob("*")}
    assert {"mlflow.db", "manifest.json", "books.csv"} <= names
    assert Site(reader.root).secrets_found() == []
    assert not any("canary-4f1d7c0e" in said for said in reader.told)
