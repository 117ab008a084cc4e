"""A disk that is full or refuses: a typed error, and the old version stays; what is committed is on the disk."""

import ctypes
import os
import resource
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import (
    ASSET,
    PARTITION,
    PROVENANCE,
    assert_whole,
    files_in,
    frame,
    write_version,
)
from trademl_assets_tests.storage.processes import exit_code, start

CLONE_NEWNS, MS_REC, MS_PRIVATE, NO_MOUNT = 0x20000, 0x4000, 1 << 18, 77  # of the kernel; and our exit code


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


def test_bytes_reach_the_disk_before_their_name_and_names_before_the_next_file(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    flush_to_disk = os.fsync

    def watch(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append("folder" if target.is_dir() else "temporary" if target.suffix == ".tmp" else target.name)
        flush_to_disk(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", watch)
        patch.setattr(durable, "failpoint", events.append)
        write_version(store)
    begun = events.index("before_write")
    assert events[:begun] == ["folder"] * len(["store", "artifacts", ASSET, *PARTITION.split("|")])
    told = [event for event in events[begun:] if event != "mid_write"]
    one_file = ["before_write", "before_fsync", "temporary", "before_replace", "after_replace", "folder"]
    assert told == [*one_file * 4, "before_manifest", *one_file, "after_manifest"]
