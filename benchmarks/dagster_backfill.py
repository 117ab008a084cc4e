"""A backfill through Dagster: 30 days of seven simulated instruments, from raw rows to the grid.

What is told: the wall time, how much of it is not the work itself (reading, computing, writing, checking) but Dagster's
and MLflow's, start-up included, and whether memory stays flat over hundreds of partitions. It runs in a process of its
own.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.events import DagsterEventType

from benchmarks.market import PROJECT
from benchmarks.measure import Outcome, Study

DAYS = 30
FOLLOWERS = 6
FIRST = date(2024, 1, 1)
ASSETS = ("raw_depth", "book_snapshots", "aligned_grid")
MOST_OVERHEAD_SHARE = 0.2
MOST_GROWTH_MB = 1.0  # a hundred partitions
SAMPLE_SECONDS = 0.25


def benchmark(folder: Path) -> Study:
    """Run the backfill in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dagster_backfill", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    if told.returncode != 0:
        raise RuntimeError(f"the backfill failed:\n{told.stdout[-2000:]}\n{told.stderr[-4000:]}")
    found = json.loads(told.stdout.splitlines()[-1])
    size = (
        f"{DAYS} days x {FOLLOWERS + 1} instruments, {found['partitions']} partitions, {found['rows'] / 1e6:.0f} M rows"
    )
    took = f"{found['wall_seconds']:.0f} s, of them {found['work_seconds']:.0f} s work"
    rows = [f"| {asset} | {count} | {seconds:.3f} |" for asset, (count, seconds) in found["assets"].items()]
    head = ["| asset | partitions | seconds a partition |", "| --- | --- | --- |"]
    memory = f"memory at most {found['peak_mb']:.0f} MB"
    lines = ["### dagster_backfill", "", f"{size}: {took}; {memory}", "", *head, *rows, ""]
    return Study(
        lines,
        [
            Outcome("dagster_backfill/overhead_share", found["overhead_share"], MOST_OVERHEAD_SHARE),
            Outcome("dagster_backfill/growth_mb_per_100_partitions", found["growth_mb"], MOST_GROWTH_MB),
        ],
    )


def main(folder: Path) -> dict[str, Any]:
    """Run the backfill here and say what it took."""
    _deploy(folder)
    from trademl_assets.configuration.reading import load_configuration  # noqa: PLC0415 -- after the environment is set
    from trademl_assets.definitions import build_definitions  # noqa: PLC0415 -- as above
    from trademl_assets.orchestration.session import run_target  # noqa: PLC0415 -- as above
    from trademl_assets.storage.commit import ArtifactStore  # noqa: PLC0415 -- as above

    configuration = load_configuration(folder / "config", os.environ)
    definitions = build_definitions(configuration)
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    with _memory(store) as samples:
        begun = time.monotonic()
        run_target(configuration, definitions, experiment=None, until="aligned_grid", report=_quiet)
        wall = time.monotonic() - begun
    manifests = {asset: [store.require(asset, key) for key in store.partitions(asset)] for asset in ASSETS}
    work = _seconds_of_work()
    return {
        "partitions": sum(len(several) for several in manifests.values()),
        "rows": sum(each.rows for each in manifests["raw_depth"]),
        "wall_seconds": wall,
        "work_seconds": work,
        "overhead_share": 1 - work / wall,
        "peak_mb": max(megabytes for _, megabytes in samples),
        "growth_mb": _growth(samples),
        "assets": {
            asset: (len(several), statistics.mean(each.seconds for each in several))
            for asset, several in manifests.items()
        },
    }


def _seconds_of_work() -> float:
    """Seconds in which partitions were made or checked, as the event log tells; the rest is Dagster's and MLflow's."""
    with dg.DagsterInstance.get() as instance:
        made = [
            record.asset_materialization
            for asset in ASSETS
            for record in instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
        ]
        checked = instance.get_event_records(
            dg.EventRecordsFilter(event_type=DagsterEventType.ASSET_CHECK_EVALUATION), limit=10_000
        )
    events = [record.event_log_entry.dagster_event for record in checked]
    looks = [event.asset_check_evaluation_data.metadata["seconds"] for event in events if event is not None]
    makes = [each.metadata["seconds"] for each in made if each is not None]
    return sum(float(each.value) for each in [*makes, *looks])


def _deploy(folder: Path) -> None:
    last = FIRST + timedelta(days=DAYS - 1)
    (folder / "config").mkdir(parents=True)
    for file in sorted((PROJECT / "configs" / "demo").glob("*.yaml")):
        section = yaml.safe_load(file.read_text())
        if file.stem == "market":
            _widen(section, last)
        if file.stem in {"datasets", "models", "ablations"}:
            section = {}
        (folder / "config" / file.name).write_text(yaml.safe_dump(section, sort_keys=False))
    home = folder / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home / "dagster.yaml")
    os.environ.update(TRADEML_VAR=str(folder / "var"), DAGSTER_HOME=str(home), TRADEML_CONFIG=str(folder / "config"))
    os.chdir(home)


def _widen(market: dict[str, Any], last: date) -> None:
    """Seven instruments, every day from tall rows."""
    leader, follower = market["instruments"][0], market["instruments"][1]
    planted = market["sources"]["planted"]["parameters"]
    names = [leader["name"], *(f"FOL{letter}USDT" for letter in "ABCDEF"[:FOLLOWERS])]
    market["instruments"] = [leader, *({**follower, "name": name, "symbol": name} for name in names[1:])]
    leads, follows = planted["instruments"][0], planted["instruments"][1]
    planted["instruments"] = [leads, *({**follows, "name": name} for name in names[1:])]
    for days in (market, planted):
        days.update(first_day=FIRST, last_day=last)
    market.update(tall_rows_from=FIRST)


@contextmanager
def _memory(store: Any) -> Iterator[list[tuple[int, float]]]:
    """Samples of (partitions there, resident megabytes) while the block runs."""
    samples: list[tuple[int, float]] = [(0, _resident_mb())]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples.append((sum(len(store.partitions(asset)) for asset in ASSETS), _resident_mb()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def _growth(samples: list[tuple[int, float]]) -> float:
    """Megabytes by which memory grows with a hundred partitions: the slope over the later half of each asset's run."""
    half = [sample for sample in samples if sample[0] >= samples[-1][0] / 2]
    if len({count for count, _ in half}) < 2:
        return 0.0
    return 100 * statistics.linear_regression([c for c, _ in half], [mb for _, mb in half]).slope


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _quiet(_line: str) -> None:
    pass


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
