"""Folders are held by real processes; who removes them never takes anything from under a holder."""

import os
import signal
import time
from pathlib import Path

import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.holding import HELD_FILE, claimed, hold_folder, remove_unheld


def rival(folder: Path, number: int, until: float) -> int:
    """Hold the folder, or remove it where the number is even, again and again; 0 where nothing went wrong."""
    done = 0
    while time.monotonic() < until:
        if number % 2 == 0:
            done += remove_unheld(folder)
            continue
        with hold_folder(folder):
            for name in (f"{number}", "shared"):
                (folder / name).touch()
            time.sleep(0.0005)
            if not ((folder / f"{number}").exists() and (folder / "shared").exists()):
                return 1
            done += 1
        time.sleep(0.002)
    return 0 if done else 2


def filled(folder: Path) -> Path:
    (folder / "checkpoints" / "1").mkdir(parents=True)
    (folder / "checkpoints" / "1" / "step.ckpt").write_text("state")
    (folder / "weights").write_text("bits")
    return folder


def test_what_nobody_uses_is_removed_and_what_is_not_there_is_gone(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a")
    assert remove_unheld(folder)
    assert not folder.exists()
    assert remove_unheld(folder)


def test_a_file_can_keep_a_folder(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a")
    assert not remove_unheld(folder, unless="weights")
    assert (folder / "checkpoints" / "1" / "step.ckpt").exists()
    (folder / "weights").unlink()
    assert remove_unheld(folder, unless="weights")


def test_what_is_held_stays_until_all_its_holders_let_go_or_die(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a")
    ready, holds = os.pipe()
    child = os.fork()
    if not child:
        held = hold_folder(folder)
        os.write(holds, b".")
        signal.pause()
        held.release()
    os.read(ready, 1)
    with hold_folder(folder):
        assert not remove_unheld(folder)
    with claimed(folder) as alone:
        assert not alone
    assert not remove_unheld(folder)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with claimed(folder) as alone:
        assert alone
        assert not remove_unheld(folder)
    assert remove_unheld(folder)


def test_a_process_forked_meanwhile_does_not_go_on_holding(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a")
    with hold_folder(folder):
        child = os.fork()
        if not child:
            signal.pause()
    assert remove_unheld(folder)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_after_a_kill_at_any_instant_of_a_removal_the_rest_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    unlink, left = Path.unlink, 0

    def dying(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 -- pathlib's signature
        nonlocal left
        if not left:
            raise KilledError
        left -= 1
        unlink(path, missing_ok)

    for survived in range(2):
        folder = filled(tmp_path / f"{survived}")
        left = survived
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", dying)
            with pytest.raises(KilledError):
                remove_unheld(folder)
        assert (folder / HELD_FILE).exists()
        assert remove_unheld(folder)


def test_nothing_vanishes_under_a_holder_however_many_remove_at_once(tmp_path: Path) -> None:
    children = []
    for number in range(1, 6):
        children.append(os.fork())
        if not children[-1]:
            status = 3
            try:
                status = rival(tmp_path / "a", number, time.monotonic() + 0.7)
            finally:
                os._exit(status)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)


def test_a_folder_that_cannot_be_made_or_removed_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write in"):
        hold_folder(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot write in"):
        remove_unheld(tmp_path / "file")
