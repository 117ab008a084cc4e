"""Bytes that are not those committed are never read, and every message names the file and the remedy."""

import dataclasses
import os

import numpy as np
import pytest

from trademl_assets.foundation.errors import CorruptArtifactError, StorageError
from trademl_assets.storage import verification
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.durable import hash_file
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, arrays, folder_of, frame, write_version


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


def test_a_file_is_hashed_once_when_settled_and_again_when_it_changes(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(verification, "hash_file", lambda path: hashed.append(path.name) or hash_file(path))
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
