"""Files removed after use, and refused partitions kept aside."""

import os
import signal

import pytest

from trademl_assets.foundation.errors import MissingPartitionError
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, assert_whole, folder_of, frame, write_version


def test_an_evicted_file_is_gone_and_the_manifest_says_so(store: ArtifactStore) -> None:
    write_version(store)
    before = store.require(ASSET, PARTITION)
    store.evict(ASSET, PARTITION, ["data"])
    after = store.require(ASSET, PARTITION)
    assert after.evicted == ["data"]
    assert after.content_hash == before.content_hash
    assert after.files == before.files
    assert not (folder_of(store) / before.files["data"].file).exists()
    assert store.read_json(ASSET, PARTITION, "facts") == {"version": 0}
    with pytest.raises(MissingPartitionError, match="removed after use -> materialise book_snapshots"):
        store.read_table(ASSET, PARTITION)


def test_writing_again_brings_an_evicted_file_back(store: ArtifactStore) -> None:
    write_version(store)
    store.evict(ASSET, PARTITION, ["data"])
    write_version(store)
    assert store.require(ASSET, PARTITION).evicted == []
    assert_whole(store, 0)


def test_a_version_committed_meanwhile_is_not_evicted(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version(store, 0)
    outdated = store.require(ASSET, PARTITION)
    write_version(store, 1)
    monkeypatch.setattr(store, "require", lambda *_: outdated)
    stands = store.evict(ASSET, PARTITION, ["data"])
    monkeypatch.undo()
    assert stands == store.require(ASSET, PARTITION)
    assert_whole(store, 1)


def test_a_kill_while_evicting_leaves_no_manifest_that_lies(store: ArtifactStore) -> None:
    write_version(store)
    child = os.fork()
    if child == 0:
        durable.failpoint = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == "after_manifest" else None
        store.evict(ASSET, PARTITION, ["data"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    manifest = store.require(ASSET, PARTITION)
    assert manifest.evicted == ["data"]
    assert (folder_of(store) / manifest.files["data"].file).exists()
    assert store.sweep() == 1
    assert not (folder_of(store) / manifest.files["data"].file).exists()


def test_a_refused_partition_is_kept_aside_while_new_versions_come(store: ArtifactStore) -> None:
    write_version(store, 0)
    refused = store.require(ASSET, PARTITION)
    folder = store.set_aside(ASSET, PARTITION, cause="crossed", message="9 of 899 crossed", facts={"crossed": 9})
    write_version(store, 1)
    (kept,) = store.all_set_aside(ASSET)
    assert (kept.partition, kept.cause, kept.facts) == (PARTITION, "crossed", {"crossed": 9})
    assert kept.content_hash == refused.content_hash
    digest, _ = durable.hash_file(folder / refused.files["data"].file)
    assert digest == refused.files["data"].sha256
    assert_whole(store, 1)


def test_keeping_the_same_version_aside_again_changes_the_reason_only(store: ArtifactStore) -> None:
    write_version(store)
    first = store.set_aside(ASSET, PARTITION, cause="crossed", message="m", facts={})
    second = store.set_aside(ASSET, PARTITION, cause="coverage", message="m", facts={})
    assert first == second
    assert [kept.cause for kept in store.all_set_aside(ASSET)] == ["coverage"]
    assert store.read_table(ASSET, PARTITION).equals(frame(0))


def test_nothing_is_kept_aside_at_first(store: ArtifactStore) -> None:
    assert store.all_set_aside(ASSET) == ()
