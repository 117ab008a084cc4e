"""Bad input and damage: a typed error that says where, a run that counts as failed everywhere, nothing written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from trademl_assets_tests.end_to_end.deployed import Site

pytestmark = pytest.mark.end_to_end

NAMES = ("LEADUSDT", "FOLAUSDT", "FOLBUSDT")
DAYS = tuple(f"2024-01-0{number}" for number in range(1, 7))


@pytest.fixture(scope="module")
def fed_by_files(finished: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A deployment whose history arrives as Parquet files, the planted books; nothing is made of them yet."""
    site = finished.copy(tmp_path_factory.mktemp("files") / "site")
    folder = site.root / "incoming"
    folder.mkdir()
    for key in finished.store.partitions("book_snapshots"):
        day, name = key.split("|")
        frame = finished.store.read_table("book_snapshots", key)
        frame.filter(pl.col("ts").dt.date() == pl.lit(day).str.to_date()).write_parquet(file_of(site, day, name))
    files = {name: str(folder / f"{name}-{{day}}.parquet") for name in NAMES}
    parameters = {"files": files, "max_rows": 100_000, "max_file_bytes": 100_000_000, "slots": 6}
    site.change(
        "market",
        {"snapshot_source": "incoming", "sources": {"incoming": {"kind": "snapshot_files", "parameters": parameters}}},
    )
    shutil.rmtree(site.store.layout.asset_folder("book_snapshots"))
    return site


def file_of(site: Site, day: str, name: str) -> Path:
    return site.root / "incoming" / f"{name}-{day}.parquet"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def change_types(file: Path) -> None:
    pl.read_parquet(file).with_columns(pl.col("mid").cast(pl.String)).write_parquet(file)


def empty(file: Path) -> None:
    pl.read_parquet(file).clear().write_parquet(file)


def assert_failed_everywhere(site: Site) -> tuple[str, str]:
    """Return class and message of the cause of the latest run, which has failed in Dagster and in MLflow."""
    run = site.dagster_runs()[0]
    assert run.status.value == "FAILURE"
    assert site.tracked_statuses(run.run_id) == {"FAILED"}
    return site.root_error(run.run_id)


SPOILED: dict[tuple[str, str], tuple[Callable[[Path], None], str]] = {
    ("2024-01-01", "FOLBUSDT"): (truncate, "damaged or truncated"),
    ("2024-01-02", "LEADUSDT"): (change_types, "column mid is String, expected Float64"),
    ("2024-01-03", "FOLAUSDT"): (empty, "no row of the day"),
}
LED_IN = ("2024-01-02|FOLBUSDT", "2024-01-03|LEADUSDT")
"""Days that begin with the last snapshot of a file that cannot be read."""


def test_bad_files_are_refused_by_instrument_day_and_name_and_cost_no_other_day(fed_by_files: Site):
    site, whole = fed_by_files, {}
    for (day, name), (spoil, _) in SPOILED.items():
        file = file_of(site, day, name)
        whole[file] = file.read_bytes()
        spoil(file)
    done = site.run("trademl", "run", "--until", "book_snapshots", check=False)
    assert done.returncode == 1
    bad = {*(f"{day}|{name}" for day, name in SPOILED), *LED_IN}
    assert set(site.store.partitions("book_snapshots")) == {f"{day}|{name}" for day in DAYS for name in NAMES} - bad
    last = done.stdout.splitlines()[-1]
    assert "Traceback" not in last
    assert bad <= {each for each in bad if each in last}
    run = site.dagster_runs()[0]
    assert run.status.value == "FAILURE"
    assert site.tracked_statuses(run.run_id) == {"FAILED"}
    refused = site.refused(run.run_id)
    assert set(refused) == bad
    for (day, name), (_, told) in SPOILED.items():
        kind, message = refused[f"{day}|{name}"]
        assert kind == "SourceError"
        assert all(fact in message for fact in (name, day, file_of(site, day, name).name, told))
    for file, content in whole.items():
        file.write_bytes(content)
    mended = {*bad, "2024-01-04|FOLAUSDT"}  # its lead-in was read from a file without rows, which has changed
    assert f"{len(mended)} partition(s) made" in site.run("trademl", "run", "--until", "book_snapshots").stdout


def test_a_file_that_changed_makes_its_day_and_the_lead_in_of_the_next_again(fed_by_files: Site):
    fed_by_files.run("trademl", "run", "--until", "book_snapshots")
    file = file_of(fed_by_files, "2024-01-04", "LEADUSDT")
    pl.read_parquet(file).head(-3).write_parquet(file)
    done = fed_by_files.run("trademl", "run", "--until", "book_snapshots")
    assert f"book_snapshots: 2 of 18 to make (input file {file} changed)" in done.stdout


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        ("data", lambda path: path.write_bytes(path.read_bytes()[:-100]), " bytes "),
        ("manifest", lambda path: path.write_text(path.read_text()[:-40]), "manifest.json"),
    ],
)
def test_damaged_upstream_fails_the_run_and_the_next_drive_mends_it(
    copied: Callable[[], Site], file: str, damage: Callable[[Path], object], told: str
):
    site = copied()
    place, hashes = "book_snapshots/2024-01-04|FOLAUSDT", site.hashes()
    written = site.written()["aligned_grid/2024-01-04"]
    folder = site.store.layout.partition_folder(*place.split("/"))
    damage(folder / "manifest.json" if file == "manifest" else site.store.file_path(*place.split("/"), "data"))
    command = ("asset", "materialize", "-m", "trademl_assets.definitions", "--select", "aligned_grid")
    done = site.run("dagster", *command, "--partition", "2024-01-04", check=False)
    assert done.returncode == 1
    kind, message = assert_failed_everywhere(site)
    assert kind == "CorruptArtifactError"
    assert place in message
    assert told in message
    assert "materialise book_snapshots 2024-01-04|FOLAUSDT again" in message
    folder = site.store.layout.partition_folder("aligned_grid", "2024-01-04")
    assert (folder / "manifest.json").stat().st_mtime_ns == written[1]
    if file == "manifest":
        assert "(damaged)" in site.run("trademl", "run", "demo").stdout
        assert site.hashes() == hashes
