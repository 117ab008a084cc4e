import os
import signal
from pathlib import Path

import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.cache import hold_group, shrink_cache
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance

ASSET = "derived"
PROVENANCE = Provenance("1", "f", {})


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.at(tmp_path).cache


def fill(cache: ArtifactStore, group: str, used: int) -> None:
    """Write a group of some 1000 bytes that was used last at an instant."""
    hold_group(cache, ASSET, group).release()
    with cache.write(ASSET, f"{group}|a", schema_version=1, provenance=PROVENANCE) as writer:
        writer.bytes("data", b"x" * 1000, ".bin")
    os.utime(cache.layout.partition_folder(ASSET, group) / ".held", (used, used))


def groups(cache: ArtifactStore) -> list[str]:
    return sorted({partition.split("|")[0] for partition in cache.partitions(ASSET)})


def test_what_was_unused_for_the_longest_time_goes_first(cache: ArtifactStore) -> None:
    for number, group in enumerate(("b", "a", "c"), start=1):
        fill(cache, group, number)
    assert shrink_cache(cache, ASSET, 1 << 20) == []
    assert shrink_cache(cache, ASSET, 4000) == ["b"]
    hold_group(cache, ASSET, "a").release()  # used again
    assert shrink_cache(cache, ASSET, 2000) == ["c"]
    assert groups(cache) == ["a"]
    assert shrink_cache(cache, ASSET, 0) == ["a"]
    assert groups(cache) == []


def test_what_is_held_stays_until_its_holder_lets_go_or_dies(cache: ArtifactStore) -> None:
    fill(cache, "a", 1)
    ready, held = os.pipe()
    child = os.fork()
    if not child:
        group = hold_group(cache, ASSET, "a")
        os.write(held, b".")
        signal.pause()
        group.release()
    os.read(ready, 1)
    with hold_group(cache, ASSET, "a"):
        assert shrink_cache(cache, ASSET, 0) == []
    assert shrink_cache(cache, ASSET, 0) == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert shrink_cache(cache, ASSET, 0) == ["a"]


def test_a_removed_group_can_be_held_and_written_again(cache: ArtifactStore) -> None:
    fill(cache, "a", 1)
    shrink_cache(cache, ASSET, 0)
    fill(cache, "a", 2)
    assert cache.read_bytes(ASSET, "a|a", "data") == b"x" * 1000


def test_artifacts_and_cache_lie_apart(cache: ArtifactStore, tmp_path: Path) -> None:
    fill(cache, "a", 1)
    assert ArtifactStore.at(tmp_path).partitions(ASSET) == ()


def test_a_folder_that_cannot_be_made_is_a_typed_error(cache: ArtifactStore) -> None:
    cache.layout.root.parent.mkdir(parents=True, exist_ok=True)
    cache.layout.root.write_text("in the way")
    with pytest.raises(StorageError, match="cannot write in"):
        hold_group(cache, ASSET, "a")
