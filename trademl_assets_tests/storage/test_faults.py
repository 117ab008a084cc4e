"""Killed at any instant, on a full disk, with a rival: the old version or the new one, never a mixture."""

import ctypes
import itertools
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, PROVENANCE, arrays, frame, write_version

CLONE_NEWNS, MS_REC, MS_PRIVATE, NO_MOUNT = 0x20000, 0x4000, 1 << 18, 77  # of the kernel; and our exit code
STEPS = {
    "before_write",
    "mid_write",
    "before_fsync",
    "before_replace",
    "after_replace",
    "before_manifest",
    "after_manifest",
}


def write_until_killed(root: Path, step: int) -> None:
    """Write a new version and die without warning at its `step`-th step, counted from 0."""
    steps = itertools.count()

    def die(_name: str) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    durable.failpoint = die
    write_version(ArtifactStore.at(root), 1)


def write_until_killed_at_each_step(roots: list[Path]) -> None:
    """Do so in a child for each step; this process has not used the store, so that forking it is safe."""
    for step, root in enumerate(roots):
        child = os.fork()
        if child == 0:
            write_until_killed(root, step)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            os._exit(step + 1)


def write_often(root: Path, version: int) -> None:
    for _ in range(8):
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


def steps_of_a_write(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    steps: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(durable, "failpoint", steps.append)
        write_version(store, 1, partition="undisturbed")
    return steps


def test_a_writer_killed_at_any_step_leaves_one_whole_version_and_a_rerun_finishes(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_a_write(store, monkeypatch)
    assert set(steps) == STEPS
    committed = len(steps) - 1 - steps[::-1].index("before_replace")
    write_version(store, 0)
    old, new = (store.require(ASSET, partition).content_hash for partition in (PARTITION, "undisturbed"))

    roots = [store.layout.root.with_name(f"killed-{step}") for step in range(len(steps))]
    for root in roots:
        shutil.copytree(store.layout.root, root)

    assert exit_code(start(write_until_killed_at_each_step, roots)) == 0

    for step, root in enumerate(roots):
        survivor = ArtifactStore.at(root)
        version = int(step > committed)
        assert survivor.require(ASSET, PARTITION).content_hash == (old, new)[version], (step, steps[step])
        assert_whole(survivor, version)
        write_version(survivor, 1)
        assert survivor.require(ASSET, PARTITION).content_hash == new
        assert files_in(survivor) == files_named(survivor)


def test_a_first_write_killed_at_any_step_leaves_nothing_or_all(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_a_write(store, monkeypatch)
    committed = len(steps) - 1 - steps[::-1].index("before_replace")
    for step in (0, len(steps) // 2, committed, committed + 1):
        store.delete(ASSET, PARTITION)
        assert exit_code(start(write_until_killed, store.layout.root, step)) == -signal.SIGKILL
        if step > committed:
            assert_whole(store, 1)
        else:
            assert PARTITION not in store.partitions(ASSET)
            store.sweep()
            assert files_in(store) == {".lock"}


def assert_whole(store: ArtifactStore, version: int) -> None:
    assert store.read_table(ASSET, PARTITION).equals(frame(version))
    assert store.read_json(ASSET, PARTITION, "facts") == {"version": version}
    mapped = store.open_arrays(ASSET, PARTITION)
    for name, expected in arrays(version).items():
        np.testing.assert_array_equal(mapped[name], expected)


def files_in(store: ArtifactStore) -> set[str]:
    return {path.name for path in store.layout.partition_folder(ASSET, PARTITION).iterdir()}


def files_named(store: ArtifactStore) -> set[str]:
    return {entry.file for entry in store.require(ASSET, PARTITION).files.values()} | {"manifest.json", ".lock"}


def test_two_writers_end_in_one_valid_version(store: ArtifactStore) -> None:
    rivals = [start(write_often, store.layout.root, version) for version in (1, 2)]
    assert [exit_code(rival) for rival in rivals] == [0, 0]
    assert_whole(store, store.read_json(ASSET, PARTITION, "facts")["version"])
    assert files_in(store) == files_named(store)


def test_a_reader_beside_a_writer_never_meets_half_a_version(store: ArtifactStore) -> None:
    write_version(store, 1)
    writer = start(write_often, store.layout.root, 2)
    reads = 0
    while writer.is_alive():
        found = store.read_table(ASSET, PARTITION)
        assert found.equals(frame(1)) or found.equals(frame(2))
        write_version(store, 1 + reads % 2)
        reads += 1
    assert exit_code(writer) == 0
    assert reads


def test_a_version_replaced_during_a_read_is_read_again(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version(store, 0)
    believed = [store.require(ASSET, PARTITION)]
    write_version(store, 1)
    require = store.require
    monkeypatch.setattr(store, "require", lambda *key: believed.pop() if believed else require(*key))
    assert store.read_table(ASSET, PARTITION).equals(frame(1))


def test_a_mapped_array_outlives_the_version_it_was_read_from(store: ArtifactStore) -> None:
    write_version(store, 0)
    book = store.open_arrays(ASSET, PARTITION)["book"]
    write_version(store, 1)
    np.testing.assert_array_equal(book, arrays(0)["book"])


def test_a_second_writer_waits_for_the_first(store: ArtifactStore) -> None:
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        rival = start(write_often, store.layout.root, 2)
        rival.join(timeout=0.5)
        assert rival.is_alive()
        writer.table("data", frame(1))
        writer.note("first", 1)
        assert store.manifest(ASSET, PARTITION) is None
    assert exit_code(rival) == 0
    assert_whole(store, 2)


def test_a_child_forked_while_writing_does_not_keep_the_lock(store: ArtifactStore) -> None:
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", frame(1))
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        assert exit_code(start(write_often, store.layout.root, 2)) == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_opening_a_partition_twice_in_one_thread_is_an_error_and_no_standstill(store: ArtifactStore) -> None:
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE):
        with pytest.raises(StorageError, match="already open for writing"):
            store.delete(ASSET, PARTITION)
        write_version(store, partition="another")


def test_sweep_leaves_a_version_alone_that_is_being_written(store: ArtifactStore) -> None:
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", frame(1))
        assert store.sweep() == 0
    assert store.read_table(ASSET, PARTITION).equals(frame(1))


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


def fill_a_small_disk(folder: Path) -> None:
    """Mount a small disk that only this process sees, commit to it, then ask for more than fits."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        os._exit(NO_MOUNT)
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=512k"):
        os._exit(NO_MOUNT)
    store = ArtifactStore.at(folder)
    write_version(store, 0)
    before = files_in(store)
    for form in ("bytes", "table", "arrays"):
        with pytest.raises(StorageError, match="the disk is full"):
            write_big_file(store, form)
        assert files_in(store) == before
        assert_whole(store, 0)
    write_version(store, 1)
    assert_whole(store, 1)


def test_a_full_disk_is_a_typed_error_and_keeps_the_old_version(tmp_path: Path) -> None:
    code = exit_code(start(fill_a_small_disk, tmp_path))
    if code == NO_MOUNT:
        pytest.skip("mounting a disk of its own is not allowed here")
    assert code == 0


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder belongs")
    with pytest.raises(StorageError, match=r"cannot write in .*book_snapshots"):
        write_version(ArtifactStore.at(tmp_path))


@pytest.mark.parametrize("failure", [pl.exceptions.PanicException, pl.exceptions.ComputeError, pa.ArrowInvalid])
def test_what_libraries_raise_while_writing_is_typed(tmp_path: Path, failure: type[BaseException]) -> None:
    def explode(_file: durable.HashingFile) -> None:
        raise failure("inside")

    with pytest.raises(StorageError, match="inside"):
        durable.stream_durably(tmp_path, explode, lambda digest: digest)
    assert not list(tmp_path.iterdir())
