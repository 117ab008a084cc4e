"""A partition is committed whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError, StorageError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, PROVENANCE, arrays, folder_of, frame, write_version


def write_half(store: ArtifactStore) -> None:
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", frame(1))
        raise RuntimeError("half way")


def test_what_is_read_is_what_was_written(store: ArtifactStore) -> None:
    write_version(store)
    assert store.read_table(ASSET, PARTITION).equals(frame())
    mapped = store.open_arrays(ASSET, PARTITION)
    for name, expected in arrays().items():
        assert mapped[name].dtype == expected.dtype
        np.testing.assert_array_equal(mapped[name], expected)
    assert store.read_json(ASSET, PARTITION, "facts") == {"version": 0}
    manifest = store.require(ASSET, PARTITION)
    assert (manifest.rows, manifest.notes, manifest.upstream) == (500, {"dropped": 0}, dict(PROVENANCE.upstream))


def test_content_hash_leaves_out_times_run_ids_and_unhashed_files(store: ArtifactStore) -> None:
    write_version(store, run_id="first")
    first = store.require(ASSET, PARTITION)
    write_version(store, run_id="second")
    second = store.require(ASSET, PARTITION)
    assert first.run_id != second.run_id
    assert first.content_hash == second.content_hash


def test_contents_are_told_at_a_glance_and_trouble_is_typed(store: ArtifactStore) -> None:
    keys = ["2024-01-01|BTCUSDT", "2024-01-02|BTCUSDT"]
    for version, key in enumerate(keys):
        write_version(store, version, partition=key)
    assert store.stated_contents(ASSET, keys) == store.upstream(ASSET, keys)
    with pytest.raises(MissingPartitionError, match=r"2024-01-03\|BTCUSDT"):
        store.stated_contents(ASSET, [*keys, "2024-01-03|BTCUSDT"])
    (folder_of(store) / "manifest.json").write_text('{"manifest": []}')
    with pytest.raises(CorruptArtifactError, match=r"checksum|not a manifest"):
        store.stated_contents(ASSET, keys)


def test_content_hash_follows_content(store: ArtifactStore) -> None:
    write_version(store, 0)
    first = store.require(ASSET, PARTITION).content_hash
    write_version(store, 1)
    assert store.require(ASSET, PARTITION).content_hash != first


def test_an_exception_leaves_the_old_version(store: ArtifactStore) -> None:
    write_version(store, 0)
    before = store.require(ASSET, PARTITION)
    with pytest.raises(RuntimeError, match="half way"):
        write_half(store)
    assert store.require(ASSET, PARTITION) == before
    assert store.read_table(ASSET, PARTITION).equals(frame(0))


def test_a_new_version_removes_the_files_of_the_old_one(store: ArtifactStore) -> None:
    write_version(store, 0)
    write_version(store, 1)
    named = {entry.file for entry in store.require(ASSET, PARTITION).files.values()}
    present = {path.name for path in folder_of(store).iterdir()}
    assert present == named | {"manifest.json", ".lock"}


def test_what_a_killed_writer_left_makes_room_before_the_next_one_writes(store: ArtifactStore) -> None:
    write_version(store)
    stray = folder_of(store) / ".1-a.tmp"
    stray.write_bytes(b"half")
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE):
        assert not stray.exists()
        assert store.read_table(ASSET, PARTITION).equals(frame())


def test_sweep_removes_what_killed_writers_left(store: ArtifactStore) -> None:
    write_version(store)
    (folder_of(store) / ".1-a.tmp").write_bytes(b"half")
    (folder_of(store) / "data-unreferenced.parquet").write_bytes(b"old")
    assert store.sweep() == 2
    assert store.read_table(ASSET, PARTITION).equals(frame())


def test_partitions_are_listed_sorted_and_only_when_committed(store: ArtifactStore) -> None:
    for key in ("2024-01-02|B", "2024-01-01|B", "2024-01-01|A"):
        write_version(store, partition=key)
    store.layout.partition_folder(ASSET, "2024-01-03|A").mkdir(parents=True)
    assert store.partitions(ASSET) == ("2024-01-01|A", "2024-01-01|B", "2024-01-02|B")


def test_missing_partition_is_a_typed_error(store: ArtifactStore) -> None:
    assert store.manifest(ASSET, PARTITION) is None
    with pytest.raises(MissingPartitionError, match="not materialised"):
        store.read_table(ASSET, PARTITION)


def test_deleted_partition_is_gone(store: ArtifactStore) -> None:
    write_version(store)
    store.delete(ASSET, PARTITION)
    assert store.manifest(ASSET, PARTITION) is None
    assert store.partitions(ASSET) == ()


@pytest.mark.parametrize("key", ["../x", "a||b", "", "/etc", "..", "a\n"])
def test_keys_cannot_leave_the_store(store: ArtifactStore, key: str) -> None:
    with pytest.raises(StorageError, match="cannot name a folder"):
        store.layout.partition_folder(ASSET, key)


def test_a_failed_version_leaves_no_files_behind(store: ArtifactStore) -> None:
    write_version(store, 0)
    before = {path.name for path in folder_of(store).iterdir()}
    with pytest.raises(RuntimeError, match="half way"):
        write_half(store)
    assert {path.name for path in folder_of(store).iterdir()} == before


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, {"a": np.float32(1)}, {1: "a", "b": 2}])
def test_a_note_that_is_no_json_is_a_typed_error(store: ArtifactStore, value: object) -> None:
    with (
        pytest.raises(StorageError, match="'share' is not JSON"),
        store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer,
    ):
        writer.note("share", value)


@pytest.mark.parametrize(("name", "suffix"), [("../data", ".bin"), ("a/b", ".bin"), ("", ".bin"), ("data", "/../x")])
def test_names_of_files_cannot_leave_the_partition(store: ArtifactStore, name: str, suffix: str) -> None:
    with (
        pytest.raises(StorageError, match="cannot name a file"),
        store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer,
    ):
        writer.bytes(name, b"x", suffix)


def test_an_adopted_file_is_copied_and_its_origin_stays(store: ArtifactStore, tmp_path: Path) -> None:
    origin = tmp_path / "weights.safetensors"
    origin.write_bytes(bytes(range(256)) * 40_000)
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        writer.adopt("weights", origin)
    assert store.read_bytes(ASSET, PARTITION, "weights") == origin.read_bytes()
    with (
        pytest.raises(StorageError, match="no such file to commit"),
        store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer,
    ):
        writer.adopt("weights", tmp_path / "nothing")
