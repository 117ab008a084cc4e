"""A partition is committed whole or not at all, and read only when its bytes are those committed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError, StorageError
from trademl_assets.storage.arrays import map_arrays, write_arrays
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, PROVENANCE, arrays, frame, write_version


def folder_of(store: ArtifactStore) -> Path:
    return store.layout.partition_folder(ASSET, PARTITION)


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


def test_mapped_arrays_are_read_only_and_not_copied(store: ArtifactStore) -> None:
    write_version(store)
    book = store.open_arrays(ASSET, PARTITION)["book"]
    with pytest.raises(ValueError, match="read-only"):
        book[0] = 0
    assert book.base is not None


def test_content_hash_leaves_out_times_run_ids_and_unhashed_files(store: ArtifactStore) -> None:
    write_version(store, run_id="first")
    first = store.require(ASSET, PARTITION)
    write_version(store, run_id="second")
    second = store.require(ASSET, PARTITION)
    assert first.run_id != second.run_id
    assert first.content_hash == second.content_hash


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


def test_scan_joins_partitions_in_the_order_of_their_keys(store: ArtifactStore) -> None:
    for number, key in enumerate(("2024-01-02|A", "2024-01-01|A")):
        write_version(store, number, partition=key)
    scanned = store.scan_tables(ASSET, ["2024-01-02|A", "2024-01-01|A"]).collect()
    assert scanned.equals(pl.concat([frame(1), frame(0)]))


def test_scan_names_everything_that_is_missing(store: ArtifactStore) -> None:
    write_version(store, partition="2024-01-01|A")
    with pytest.raises(MissingPartitionError, match=r"book_snapshots.*2024-01-02\|A, 2024-01-03\|A.*materialise"):
        store.scan_tables(ASSET, ["2024-01-03|A", "2024-01-01|A", "2024-01-02|A"])


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


def test_lost_file_is_a_typed_error(store: ArtifactStore) -> None:
    write_version(store)
    store.file_path(ASSET, PARTITION, "data").unlink()
    with pytest.raises(CorruptArtifactError, match=r"data-.*is gone.*materialise"):
        store.read_table(ASSET, PARTITION)


def test_damage_after_a_first_read_is_noticed(store: ArtifactStore) -> None:
    write_version(store)
    path = store.file_path(ASSET, PARTITION, "data")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptArtifactError, match="another hash"):
        store.read_table(ASSET, PARTITION)


def test_a_manifest_edited_by_hand_is_not_believed(store: ArtifactStore) -> None:
    write_version(store)
    path = folder_of(store) / "manifest.json"
    text = path.read_text()
    assert text.count('"rows": 500') == 1
    path.write_text(text.replace('"rows": 500', '"rows": 501'))
    with pytest.raises(CorruptArtifactError, match=r"2024-01-01\|BTCUSDT: manifest.json checksum does not fit"):
        store.require(ASSET, PARTITION)


def test_random_damage_is_never_silent_and_always_typed(store: ArtifactStore) -> None:
    rng = np.random.default_rng(0)
    write_version(store)
    folder = folder_of(store)
    sound = {path: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    names = sorted(sound)
    for _ in range(300):
        path = names[int(rng.integers(len(names)))]
        data = bytearray(sound[path])
        if rng.random() < 0.3:
            data = data[: int(rng.integers(len(data)))]
        else:
            data[int(rng.integers(len(data)))] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(data))
        try:
            fresh = ArtifactStore(store.layout)
            read = fresh.read_table(ASSET, PARTITION)
            mapped = fresh.open_arrays(ASSET, PARTITION)
            facts, page = fresh.read_json(ASSET, PARTITION, "facts"), fresh.read_bytes(ASSET, PARTITION, "page")
        except StorageError:
            pass
        else:
            # JSON may be damaged in its blanks alone: then nothing that is read may differ.
            assert path.name == "manifest.json"
            assert read.equals(frame())
            assert (facts, page) == ({"version": 0}, b"<p></p>")
            np.testing.assert_array_equal(mapped["book"], arrays()["book"])
        path.write_bytes(sound[path])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=arrays_of.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]),
        arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    )
)
def test_any_array_survives_the_round_trip(tmp_path: Path, array: np.ndarray) -> None:
    with (tmp_path / "x.arrow").open("wb", buffering=0) as file:
        write_arrays({"x": array, "y": array[::-1]}, file)
    mapped = map_arrays(tmp_path / "x.arrow")
    np.testing.assert_array_equal(mapped["x"], array)
    np.testing.assert_array_equal(mapped["y"], array[::-1])
    assert mapped["x"].dtype == array.dtype


def test_array_that_cannot_be_mapped_is_refused(store: ArtifactStore) -> None:
    with (
        pytest.raises(StorageError, match="complex128"),
        store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer,
    ):
        writer.arrays("arrays", {"x": np.zeros(3, np.complex128)})
