"""Writers, readers and the sweep beside each other: every one meets whole versions."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import (
    ASSET,
    PARTITION,
    PROVENANCE,
    arrays,
    assert_whole,
    files_in,
    files_named,
    frame,
    write_version,
)
from trademl_assets_tests.storage.processes import exit_code, start


def write_often(root: Path, version: int) -> None:
    for _ in range(8):
        write_version(ArtifactStore.at(root), version)


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
