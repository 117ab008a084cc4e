"""Killed at any step: the old version or the new one, never a mixture; a rerun ends as an undisturbed run does."""

import itertools
import os
import shutil
import signal
from pathlib import Path

import pytest

from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.storage.conftest import ASSET, PARTITION, assert_whole, files_in, files_named, write_version
from trademl_assets_tests.storage.processes import exit_code, start

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
