"""A partition is committed whole or not at all, and read only when its bytes are those committed."""

import dataclasses
import os
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError, StorageError
from trademl_assets.storage import verification
from trademl_assets.storage.arrays import map_arrays, write_arrays
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.durable import hash_file
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
    with pytest.raises(ValueError, match="WRITEABLE"):
        book.flags.writeable = True
    address = book.ctypes.data
    maps = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    holding = [line for line in maps if int(line[0].split("-")[0], 16) <= address < int(line[0].split("-")[1], 16)]
    assert holding[0][-1] == str(store.file_path(ASSET, PARTITION, "arrays"))


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


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "int16", ">f8", ">i4"])
def test_every_integer_and_byte_order_survives(store: ArtifactStore, kind: str) -> None:
    array = np.arange(12).astype(kind).reshape(3, 4).T
    with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
        writer.arrays("arrays", {"x": array, "scalar": np.array(7.0), "every_second": array[::2]})
    mapped = store.open_arrays(ASSET, PARTITION)
    np.testing.assert_array_equal(mapped["x"], array)
    np.testing.assert_array_equal(mapped["every_second"], array[::2])
    assert mapped["x"].dtype == array.dtype.newbyteorder("=")
    assert mapped["scalar"].shape == ()


def test_a_masked_array_is_refused_since_its_mask_would_be_lost(store: ArtifactStore) -> None:
    with (
        pytest.raises(StorageError, match="masked"),
        store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer,
    ):
        writer.arrays("arrays", {"x": np.ma.masked_array([1.0, 2.0], [False, True])})


def test_arrays_are_written_without_a_second_copy_in_memory(store: ArtifactStore) -> None:
    big = np.ones((2_000_000, 4), np.float32)
    tracemalloc.start()
    pa.default_memory_pool().release_unused()
    before = pa.total_allocated_bytes()
    try:
        with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
            writer.arrays("arrays", {"x": big})
            held = pa.total_allocated_bytes() - before
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak + held < big.nbytes / 4


def test_pieces_and_history_of_a_frame_do_not_change_its_bytes(store: ArtifactStore) -> None:
    whole = frame()
    pieces = pl.concat([whole[:7], whole[7:300], whole[300:]], rechunk=False)
    assert pieces.n_chunks() == 3
    hashes = set()
    for table in (whole, pieces, pl.DataFrame(whole.to_dict(as_series=False), schema=whole.schema), whole.sort("ts")):
        with store.write(ASSET, PARTITION, schema_version=1, provenance=PROVENANCE) as writer:
            writer.table("data", table)
        hashes.add(store.require(ASSET, PARTITION).content_hash)
    assert len(hashes) == 1


def test_keys_with_an_equals_sign_add_no_columns(store: ArtifactStore) -> None:
    for key in ("day=1", "day=2"):
        write_version(store, partition=key)
    assert store.read_table(ASSET, "day=1").columns == frame().columns
    assert store.scan_tables(ASSET, ["day=1", "day=2"]).collect_schema().names() == frame().columns


def test_scan_names_the_partition_whose_columns_differ(store: ArtifactStore) -> None:
    write_version(store, partition="2024-01-01")
    with store.write(ASSET, "2024-01-02", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", frame().with_columns(pl.col("mid").cast(pl.Float32), extra=1))
    with pytest.raises(StorageError, match=r"book_snapshots/2024-01-02.*2024-01-01 \(extra, mid\).*materialise"):
        store.scan_tables(ASSET, ["2024-01-01", "2024-01-02"])


def test_scan_takes_a_partition_named_twice_once(store: ArtifactStore) -> None:
    write_version(store)
    assert store.scan_tables(ASSET, [PARTITION, PARTITION]).collect().height == 500


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


def test_a_manifest_that_names_files_elsewhere_is_not_believed(store: ArtifactStore) -> None:
    write_version(store)
    manifest = store.require(ASSET, PARTITION)
    files = {"data": dataclasses.replace(manifest.files["data"], file="../../secret")}
    (folder_of(store) / "manifest.json").write_text(dataclasses.replace(manifest, files=files).to_json())
    with pytest.raises(CorruptArtifactError, match="outside of its folder"):
        store.read_table(ASSET, PARTITION)


def test_a_manifest_of_another_partition_is_not_believed(store: ArtifactStore) -> None:
    write_version(store, partition="2024-01-02|BTCUSDT")
    write_version(store)
    for path in folder_of(store).iterdir():
        path.write_bytes(path.read_bytes())
    other = store.layout.partition_folder(ASSET, "2024-01-02|BTCUSDT") / "manifest.json"
    (folder_of(store) / "manifest.json").write_bytes(other.read_bytes())
    with pytest.raises(CorruptArtifactError, match=r"belongs to book_snapshots/2024-01-02\|BTCUSDT"):
        store.require(ASSET, PARTITION)


def test_sound_bytes_of_the_wrong_form_are_a_typed_error(store: ArtifactStore) -> None:
    write_version(store)
    with pytest.raises(CorruptArtifactError, match=r"facts-.*cannot be read"):
        store.read_table(ASSET, PARTITION, "facts")
    with pytest.raises(CorruptArtifactError, match=r"data-.*cannot be read"):
        store.open_arrays(ASSET, PARTITION, "data")
    with pytest.raises(CorruptArtifactError, match=r"data-.*cannot be read"):
        store.read_json(ASSET, PARTITION, "data")
    with pytest.raises(CorruptArtifactError, match=r"nobody is not among its files.*facts"):
        store.read_table(ASSET, PARTITION, "nobody")


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


def test_a_file_is_hashed_once_when_settled_and_again_when_it_changes(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(verification, "hash_file", lambda path: hashed.append(path) or hash_file(path))
    write_version(store)
    store.read_table(ASSET, PARTITION)
    store.read_table(ASSET, PARTITION)
    assert len(hashed) == 2  # too young: it could still change within one tick of the clock
    monkeypatch.setattr(verification.time, "time_ns", lambda: 2**62)
    store.read_table(ASSET, PARTITION)
    ArtifactStore(store.layout).read_table(ASSET, PARTITION)
    assert len(hashed) == 3
    path = store.file_path(ASSET, PARTITION, "data")
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(CorruptArtifactError, match="another hash"):
        store.read_table(ASSET, PARTITION)
