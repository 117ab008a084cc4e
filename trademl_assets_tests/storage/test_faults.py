"""Killed at any instant, on a full disk, with a rival: the old version or the new one, never a mixture."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, PROVENANCE, frame, write_version

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import write_version
root, point, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
seen = 0
def die(name):
    global seen
    if name == point:
        seen += 1
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)
durable.failpoint = die
write_version(ArtifactStore.at(root), 1)
"""
POINTS = [
    (point, count)
    for point in ("before_write", "mid_write", "before_fsync", "before_replace", "after_replace")
    for count in (1, 3)
] + [("before_manifest", 1), ("after_manifest", 1)]


def run_writer(root: Path, point: str, count: int) -> int:
    command = [sys.executable, "-c", KILLED_WRITER, str(root), point, str(count)]
    return subprocess.run(command, check=False).returncode


@pytest.mark.parametrize(("point", "count"), POINTS)
def test_killed_writer_leaves_one_whole_version_and_a_rerun_finishes(tmp_path: Path, point: str, count: int) -> None:
    store = ArtifactStore.at(tmp_path)
    write_version(store, 0)
    old = store.require(ASSET, PARTITION).content_hash
    write_version(store, 1, partition="undisturbed")
    new = store.require(ASSET, "undisturbed").content_hash

    assert run_writer(tmp_path, point, count) == -signal.SIGKILL

    survivor = ArtifactStore.at(tmp_path)
    expected = (new, 1) if point == "after_manifest" else (old, 0)
    assert survivor.require(ASSET, PARTITION).content_hash == expected[0]
    assert survivor.read_table(ASSET, PARTITION).equals(frame(expected[1]))
    write_version(survivor, 1)
    assert survivor.require(ASSET, PARTITION).content_hash == new
    named = {entry.file for entry in survivor.require(ASSET, PARTITION).files.values()}
    folder = survivor.layout.partition_folder(ASSET, PARTITION)
    assert {path.name for path in folder.iterdir()} == named | {"manifest.json", ".lock"}


def test_two_writers_end_in_one_valid_version(tmp_path: Path) -> None:
    writer = (
        "import sys; from pathlib import Path; from trademl_assets.storage.commit import ArtifactStore; "
        "from trademl_assets_tests.storage.conftest import write_version; "
        "[write_version(ArtifactStore.at(Path(sys.argv[1])), int(sys.argv[2])) for _ in range(15)]"
    )
    rivals = [subprocess.Popen([sys.executable, "-c", writer, str(tmp_path), str(version)]) for version in (1, 2)]
    assert [rival.wait(timeout=120) for rival in rivals] == [0, 0]
    store = ArtifactStore.at(tmp_path)
    version = store.read_json(ASSET, PARTITION, "facts")["version"]
    assert store.read_table(ASSET, PARTITION).equals(frame(version))


@pytest.mark.parametrize("form", ["bytes", "table", "arrays"])
def test_a_disk_that_takes_no_more_is_a_typed_error_and_keeps_the_old_version(store: ArtifactStore, form: str) -> None:
    big = np.random.default_rng(0).normal(size=100_000)
    write_version(store, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with (
            pytest.raises(StorageError, match=r"cannot write in .*File too large"),
            store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer,
        ):
            if form == "bytes":
                writer.bytes("big", big.tobytes(), ".bin")
            elif form == "table":
                writer.table("big", pl.DataFrame({"x": big}))
            else:
                writer.arrays("big", {"x": big})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert store.read_table(ASSET, PARTITION).equals(frame(0))
    assert not list(store.layout.partition_folder(ASSET, PARTITION).glob("*.tmp"))
