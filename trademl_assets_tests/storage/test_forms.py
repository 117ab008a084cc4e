"""Tables and arrays come back as they were given, and the same content gives the same bytes."""

import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from trademl_assets.foundation.errors import MissingPartitionError, StorageError
from trademl_assets.storage.arrays import map_arrays, write_arrays
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, PROVENANCE, frame, write_version


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
    whole = pl.DataFrame({"ts": np.arange(30_000), "mid": np.random.default_rng(0).normal(size=30_000)})
    pieces = pl.concat([whole[:7], whole[7:20_000], whole[20_000:]], rechunk=False)
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


def test_scan_joins_partitions_in_the_order_of_their_keys(store: ArtifactStore) -> None:
    for number, key in enumerate(("2024-01-02|A", "2024-01-01|A")):
        write_version(store, number, partition=key)
    scanned = store.scan_tables(ASSET, ["2024-01-02|A", "2024-01-01|A"]).collect()
    assert scanned.equals(pl.concat([frame(1), frame(0)]))


def test_scan_names_everything_that_is_missing(store: ArtifactStore) -> None:
    write_version(store, partition="2024-01-01|A")
    with pytest.raises(MissingPartitionError, match=r"book_snapshots.*2024-01-02\|A, 2024-01-03\|A.*materialise"):
        store.scan_tables(ASSET, ["2024-01-03|A", "2024-01-01|A", "2024-01-02|A"])


def test_scan_names_the_partition_whose_columns_differ(store: ArtifactStore) -> None:
    write_version(store, partition="2024-01-01")
    with store.write(ASSET, "2024-01-02", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", frame().with_columns(pl.col("mid").cast(pl.Float32), extra=1))
    with pytest.raises(StorageError, match=r"book_snapshots/2024-01-02.*2024-01-01 \(extra, mid\).*materialise"):
        store.scan_tables(ASSET, ["2024-01-01", "2024-01-02"])


def test_scan_takes_a_partition_named_twice_once(store: ArtifactStore) -> None:
    write_version(store)
    assert store.scan_tables(ASSET, [PARTITION, PARTITION]).collect().height == 500
