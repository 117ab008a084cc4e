"""What trials leave is removed once nobody can need it: after real studies and trainings, and whoever is killed."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.holding import hold_folder
from trademl_assets.training.launch import launch_training
from trademl_assets.training.parameters import TrainingSpec
from trademl_assets.training.results import SPEC_FILE
from trademl_assets.training.run import main
from trademl_assets.tuning.objective import TrainedTrials
from trademl_assets.tuning.remains import hold_trials, remove_losers, remove_trained
from trademl_assets.tuning.study import run_study
from trademl_assets.tuning.template import TrainingTemplate
from trademl_assets.tuning.work import work_off
from trademl_assets_tests.tuning.test_workers import parameters, template


@pytest.fixture
def trained(market: ArtifactStore, request: pytest.FixtureRequest) -> TrainingTemplate:
    """A model of this test alone, in a scratch space of its own."""
    return template(market).model_copy(update={"model_name": request.node.name})


def best_of(trained: TrainingTemplate, scratch: Path, n_trials: int) -> dict[str, Any]:
    stated = parameters(n_trials=n_trials)

    def employ(place: Any, _release: Any) -> None:
        objective = TrainedTrials(trained, stated, lambda _line: None)
        work_off(place, stated, objective, most_epochs=objective.most_epochs, report=lambda _line: None)

    return run_study(stated, trained.searchable, scratch, "data", employ, subject=trained.key).best_parameters


def train(spec: TrainingSpec) -> None:
    launch_training(spec, runner=lambda command, _environment: main([command[-1]]))


def folders(trained: TrainingTemplate) -> set[Path]:
    root = ArtifactStore.at(Path(trained.store_root)).layout.scratch_folder("training", trained.key)
    return {path for path in root.iterdir() if path.is_dir()}


def trial_folder(trained: TrainingTemplate, width: int) -> Path:
    """What a trial has left, without its training."""
    folder = Path(trained.specify({"model.history.width": width}, mode="search").output_folder)
    (folder / "member_1.safetensors").write_bytes(b"weights")
    (folder / "member_1.json").write_text("{}")
    return folder


@contextmanager
def held_by_a_process(folder: Path) -> Iterator[None]:
    """Have a process hold a folder, and kill it in the end."""
    ready, holds = os.pipe()
    child = os.fork()
    if not child:
        held = hold_folder(folder)
        os.write(holds, b".")
        signal.pause()
        held.release()
    os.read(ready, 1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_losers_go_with_their_study_and_the_winner_with_the_final_training_that_took_it_over(
    market: ArtifactStore, trained: TrainingTemplate, tmp_path: Path
) -> None:
    best = best_of(trained, tmp_path, 2)
    assert len(folders(trained)) == 2
    spec = trained.specify(best, mode="fit")
    final = Path(spec.output_folder)
    member = final / "member_1.safetensors"
    trained_at = member.stat().st_mtime_ns
    remove_losers(market, trained.key, final)
    assert folders(trained) == {final}
    assert best_of(trained, tmp_path, 2) == best  # read back: nothing of the losers is asked for
    assert folders(trained) == {final}
    train(spec)
    assert member.stat().st_mtime_ns == trained_at
    remove_trained(market, trained.key, final)
    assert folders(trained) == set()
    best_of(trained, tmp_path, 3)  # goes on with what the database knows
    assert len(folders(trained)) == 1


def test_what_is_in_use_or_was_launched_stays(market: ArtifactStore, trained: TrainingTemplate) -> None:
    final, loser, running, broken_off = (trial_folder(trained, width) for width in (4, 5, 6, 7))
    (broken_off / SPEC_FILE).write_text("{}")
    with held_by_a_process(running):
        remove_losers(market, trained.key, final)
        assert folders(trained) == {final, running, broken_off}
    remove_losers(market, trained.key, final)
    assert folders(trained) == {final, broken_off}
    assert not loser.exists()


def test_a_final_training_leaves_the_trials_of_a_study_that_runs(
    market: ArtifactStore, trained: TrainingTemplate
) -> None:
    final, settled = (trial_folder(trained, width) for width in (4, 5))
    root = market.layout.scratch_folder("training", trained.key)
    (final / SPEC_FILE).write_text("{}")
    with hold_trials(market, trained.key), held_by_a_process(root):
        remove_trained(market, trained.key, final)
        assert folders(trained) == {settled}
    remove_trained(market, trained.key, final)
    assert folders(trained) == set()


def test_a_trial_that_is_ended_early_takes_nothing_from_a_training_in_its_folder(
    trained: TrainingTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"model.history.width": 6}
    folder = Path(trained.specify(values, mode="search").output_folder)
    objective = TrainedTrials(trained, parameters(), lambda _line: None)
    monkeypatch.setattr(objective, "_train", lambda *_given: 1 / 0)
    with held_by_a_process(folder), pytest.raises(ZeroDivisionError):
        objective(values, lambda _epoch, _loss: None)
    assert folder.exists()
    with pytest.raises(ZeroDivisionError):
        objective(values, lambda _epoch, _loss: None)
    assert not folder.exists()


def test_after_a_kill_at_any_instant_the_rest_goes_and_the_winner_is_whole(
    market: ArtifactStore, trained: TrainingTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    removing, left = (Path.unlink, Path.rmdir, shutil.rmtree), 0

    def dying(number: int) -> Any:
        def remove(*given: Any, **more: Any) -> None:
            nonlocal left
            if not left:
                raise KilledError
            left -= 1
            removing[number](*given, **more)

        return remove

    kills = 0
    while True:
        final, *losers = (trial_folder(trained, width) for width in (4, 5, 6))
        (losers[0] / "checkpoints").mkdir()
        left = kills
        with monkeypatch.context() as patched:
            for number, (of, name) in enumerate(((Path, "unlink"), (Path, "rmdir"), (shutil, "rmtree"))):
                patched.setattr(of, name, dying(number))
            try:
                remove_losers(market, trained.key, final)
                break
            except KilledError:
                kills += 1
        assert (final / "member_1.safetensors").read_bytes() == b"weights"
        remove_losers(market, trained.key, final)
        assert folders(trained) == {final}
    assert kills == 9
    assert folders(trained) == {final}
