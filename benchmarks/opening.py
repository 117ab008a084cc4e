"""Opening a dataset of five years and seven assets: time, and memory beside the mapped files.

Its files stand in: every grid day is the same file, and the streams that the dataset owns are a hole in a file.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.made_dataset import (
    ASSETS,
    FIRST_DAY,
    PROVENANCE,
    STEPS_PER_DAY,
    day_after,
    index_of,
    recipe_of,
    write_grid,
)
from benchmarks.market import PROJECT
from benchmarks.measure import OURS, Benchmark, Limit
from trademl_assets.datasets.inputs import AGGREGATES_ASSET, DATASET_ASSET, GRID_ASSET, REGIME_ASSET
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.storage.arrays import write_arrays
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import MANIFEST_FILE, FileEntry, content_hash

DAYS = (date(2025, 1, 1) - FIRST_DAY).days
EXPERIMENT = "five_years"
DECISION_STEPS = 6
"""Steps between training decisions: a minute, as in the demo."""

BLOCK_BYTES = 1 << 22
STATISTICS = dict.fromkeys(("filled", "missing", "observed"), 0.5)

CHILD = """
import json, sys, time
from pathlib import Path
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.storage.commit import ArtifactStore
store = ArtifactStore.at(Path(sys.argv[1]))
started = time.perf_counter()
dataset = open_dataset(store, sys.argv[2])
opened = time.perf_counter() - started
book = dataset.gather("book", dataset.steps - 8640, dataset.steps)
del book
status = Path("/proc/self/status").read_text()
kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
print(json.dumps({"seconds": opened, "anonymous_mb": kilobytes / 1000}))
"""


def benchmark(folder: Path) -> Benchmark:
    """Open it again and again here, and once in a new process, where a window is read too."""
    store = ArtifactStore.at(folder)
    upstream = write_upstream(store)
    write_dataset(store, upstream)
    command = [sys.executable, "-c", CHILD, str(folder), EXPERIMENT]
    answer = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=True
    )
    fresh = json.loads(answer.stdout)
    return Benchmark(
        name="opening",
        contenders={OURS: lambda: open_dataset(store, EXPERIMENT)},
        promises={},
        agree=agree,
        rounds=5,
        limits={
            "seconds": Limit(lambda found: found.median(OURS), 2.0),
            "seconds_in_a_new_process": Limit(lambda _found: float(fresh["seconds"]), 2.0),
            "anonymous_mb": Limit(lambda _found: float(fresh["anonymous_mb"]), 300.0),
        },
    )


def write_upstream(store: ArtifactStore) -> dict[str, str]:
    """Write a grid day and a day's facts, and lay them down for all the other days too; return the hashes."""
    first = day_after(0).isoformat()
    write_grid(store, 0)
    facts = pl.DataFrame({"instrument": [f"ASSET{number}" for number in range(ASSETS)], "mean_bps": 0.5})
    for asset in (AGGREGATES_ASSET, REGIME_ASSET):
        with store.write(asset, first, schema_version=1, provenance=PROVENANCE) as writer:
            writer.table("data", facts)
            writer.note("summary", {f"ASSET{number}": STATISTICS for number in range(ASSETS)})
    upstream = {}
    for asset in (GRID_ASSET, AGGREGATES_ASSET, REGIME_ASSET):
        written = store.require(asset, first)
        for number in range(DAYS):
            day = day_after(number).isoformat()
            upstream[f"{asset}/{day}"] = written.content_hash
            target = store.layout.partition_folder(asset, day)
            if number:
                target.mkdir()
                for entry in written.files.values():
                    os.link(store.layout.partition_folder(asset, first) / entry.file, target / entry.file)
                (target / MANIFEST_FILE).write_text(replace(written, partition=day).to_json())
    return upstream


def write_dataset(store: ArtifactStore, upstream: dict[str, str]) -> None:
    """Write a dataset over all days, then put a price stream of their length, all zero, in place of a short one."""
    with store.write(DATASET_ASSET, EXPERIMENT, schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("index", index_of(DAYS, DECISION_STEPS))
        writer.json("recipe", recipe_of(DAYS, upstream))
        writer.arrays("streams", {"price": np.zeros((1, ASSETS * 5), np.float32)})
    manifest = store.require(DATASET_ASSET, EXPERIMENT)
    target = store.layout.partition_folder(DATASET_ASSET, EXPERIMENT)
    price = np.zeros((DAYS * STEPS_PER_DAY, ASSETS * 5), np.float32)
    with SparseFile(target / "streams-sparse.arrow") as file:
        write_arrays({"price": price}, file)
    entry = FileEntry("streams", "streams-sparse.arrow", file.digest.hexdigest(), file.size, hashed=True)
    files = manifest.files | {"streams": entry}
    content = content_hash(manifest.schema_version, manifest.rows, manifest.notes, files)
    (target / MANIFEST_FILE).write_text(replace(manifest, files=files, content_hash=content).to_json())


class SparseFile:
    """A file that leaves holes where it is given zeros, and hashes what it is given."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.digest = sha256()
        self.size = 0
        self.closed = False

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.truncate(self.size)
        self._file.close()

    def write(self, data: Any) -> int:
        """Write bytes, or skip them where they are zero."""
        given = memoryview(data).cast("B")
        for first in range(0, len(given), BLOCK_BYTES):
            block = given[first : first + BLOCK_BYTES]
            self.digest.update(block)
            if np.frombuffer(block, np.uint8).any():
                self._file.seek(self.size)
                self._file.write(block)
            self.size += len(block)
        return len(given)

    def tell(self) -> int:
        """Return how much was written."""
        return self.size

    def flush(self) -> None:
        """Do nothing; the file is flushed when it is closed."""

    def writable(self) -> bool:
        """Say that it is."""
        return True

    def readable(self) -> bool:
        """Say that it is not."""
        return False

    def seekable(self) -> bool:
        """Say that it is not."""
        return False


def agree(results: Mapping[str, Dataset]) -> None:
    """The dataset has all its days."""
    assert len(results[OURS].days) == DAYS  # noqa: S101 -- benchmarks check their contenders
