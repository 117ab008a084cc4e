"""Killed at any instant, on a full disk, with a rival: the old version or the new one, never a mixture."""

import itertools
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, PROVENANCE, frame, write_version

POINTS = [
    (point, count)
    for point in ("before_write", "mid_write", "before_fsync", "before_replace", "after_replace")
    for count in (1, 3)
] + [("before_manifest", 1), ("after_manifest", 1)]


def write_until_killed(root: Path, point: str, count: int) -> None:
    """Write a new version and die without warning when `point` is reached for the `count`-th time."""
    reached = itertools.count(1)

    def die(name: str) -> None:
        if name == point and next(reached) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    durable.failpoint = die
    write_version(ArtifactStore.at(root), 1)


def write_often(root: Path, version: int) -> None:
    for _ in range(15):
        write_version(ArtifactStore.at(root), version)


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process of its own: forked from a server that has imported the store but never used it."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__])
    process = forks.Process(target=target, args=arguments)
    process.start()
    return process


def exit_code(process: BaseProcess) -> int | None:
    process.join(timeout=60)
    return process.exitcode


@pytest.mark.parametrize(("point", "count"), POINTS)
def test_killed_writer_leaves_one_whole_version_and_a_rerun_finishes(tmp_path: Path, point: str, count: int) -> None:
    store = ArtifactStore.at(tmp_path)
    write_version(store, 0)
    old = store.require(ASSET, PARTITION).content_hash
    write_version(store, 1, partition="undisturbed")
    new = store.require(ASSET, "undisturbed").content_hash

    assert exit_code(start(write_until_killed, tmp_path, point, count)) == -signal.SIGKILL

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
    rivals = [start(write_often, tmp_path, version) for version in (1, 2)]
    assert [exit_code(rival) for rival in rivals] == [0, 0]
    store = ArtifactStore.at(tmp_path)
    version = store.read_json(ASSET, PARTITION, "facts")["version"]
    assert store.read_table(ASSET, PARTITION).equals(frame(version))


def write_big_file(store: ArtifactStore, form: str) -> None:
    big = np.random.default_rng(0).normal(size=100_000)
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        if form == "bytes":
            writer.bytes("big", big.tobytes(), ".bin")
        elif form == "table":
            writer.table("big", pl.DataFrame({"x": big}))
        else:
            writer.arrays("big", {"x": big})


@pytest.mark.parametrize("form", ["bytes", "table", "arrays"])
def test_a_disk_that_takes_no_more_is_a_typed_error_and_keeps_the_old_version(store: ArtifactStore, form: str) -> None:
    write_version(store, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write in .*File too large"):
            write_big_file(store, form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert store.read_table(ASSET, PARTITION).equals(frame(0))
    assert not list(store.layout.partition_folder(ASSET, PARTITION).glob("*.tmp"))
