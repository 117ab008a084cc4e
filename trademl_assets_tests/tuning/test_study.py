"""Studies: the same trials whatever happens in between."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from trademl_assets.foundation.errors import ConfigError, TrainingError
from trademl_assets.tuning.history import draw_history
from trademl_assets.tuning.study import StudyParameters, run_study

MODEL = {"model": {"width": 8}, "training": {"rate": 1e-3, "optimiser": "adam"}}
SPACE = {
    "model.width": {"kind": "int", "low": 2, "high": 64, "log": True},
    "training.rate": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "training.optimiser": {"kind": "categorical", "choices": ["adam", "sgd"]},
}


def parameters(**changes) -> StudyParameters:
    values = {
        "enabled": True,
        "n_trials": 6,
        "random_trials": 3,
        "seed": 1,
        "metric": "validation_log_loss",
        "space": SPACE,
        "heartbeat_seconds": 1,
        "heartbeat_grace_seconds": 2,
        "database_timeout_seconds": 30,
    }
    return StudyParameters.model_validate_json(json.dumps(values | changes))


def loss(overrides: dict) -> float:
    return (math.log10(overrides["training.rate"]) + 2) ** 2 + overrides["model.width"] / 100


class Counted:
    """An objective that remembers how often it was asked, and may fail at one call."""

    def __init__(self, fails_at=None):
        self.calls, self.fails_at = 0, fails_at

    def __call__(self, overrides):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("killed")
        return loss(overrides)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run_study(parameters(), MODEL, tmp_path_factory.mktemp("study"), "data", loss)


def test_the_first_trial_runs_the_configured_values_so_the_best_is_never_worse(undisturbed):
    first = undisturbed.trials.row(0, named=True)
    assert (first["model.width"], first["training.rate"], first["training.optimiser"]) == (8, 1e-3, "adam")
    assert first["configured"]
    assert undisturbed.best_value == undisturbed.trials["loss"].min() <= first["loss"]
    assert loss(undisturbed.best_parameters) == undisturbed.best_value
    assert undisturbed.trials["model.width"].n_unique() > 2


def test_a_study_that_failed_in_a_trial_continues_to_the_same_trials(undisturbed, tmp_path):
    for fails_at in (1, 3):
        with pytest.raises(RuntimeError, match="killed"):
            run_study(parameters(), MODEL, tmp_path, "data", Counted(fails_at))
    finished = run_study(parameters(), MODEL, tmp_path, "data", Counted())
    assert finished.trials.equals(undisturbed.trials)
    assert (finished.best_parameters, finished.note) == (undisturbed.best_parameters, undisturbed.note)
    assert finished.trials_run_now == 4


def test_a_finished_study_is_read_back_and_a_raised_number_continues_it(undisturbed, tmp_path):
    told = []
    run_study(parameters(n_trials=4), MODEL, tmp_path, "data", loss, on_trial=lambda *trial: told.append(trial))
    assert [index for index, _, _ in told] == [0, 1, 2, 3]
    again = Counted()
    assert run_study(parameters(n_trials=4), MODEL, tmp_path, "data", again).trials_run_now == again.calls == 0
    assert run_study(parameters(), MODEL, tmp_path, "data", again).trials.equals(undisturbed.trials)
    assert again.calls == 2
    fewer = run_study(parameters(n_trials=4), MODEL, tmp_path, "data", again)
    assert fewer.trials.equals(undisturbed.trials[:4])


def test_other_data_another_seed_or_other_parameters_begin_a_new_study(undisturbed, tmp_path):
    run_study(parameters(n_trials=2), MODEL, tmp_path, "data", loss)
    other_model = MODEL | {"epochs": 20}
    for arguments in (
        (parameters(n_trials=2), MODEL, tmp_path, "other data"),
        (parameters(n_trials=2, seed=2), MODEL, tmp_path, "data"),
        (parameters(n_trials=2), other_model, tmp_path, "data"),
    ):
        counted = Counted()
        run_study(*arguments, counted)
        assert counted.calls == 2


def test_a_killed_process_leaves_a_study_that_ends_like_an_undisturbed_one(undisturbed, tmp_path):
    script = """
import sys, time
from pathlib import Path
from trademl_assets_tests.tuning import test_study as here
def slow(overrides):
    Path(sys.argv[1], "begun").touch()
    if overrides["training.rate"] != 1e-3:
        time.sleep(60)
    return here.loss(overrides)
here.run_study(here.parameters(), here.MODEL, Path(sys.argv[1]), "data", slow)
"""
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    deadline = time.monotonic() + 30
    database = f"sqlite:///{tmp_path / 'study.db'}"
    while time.monotonic() < deadline and not _has_states(tmp_path, database, ["COMPLETE", "RUNNING"]):
        time.sleep(0.2)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    finished = run_study(parameters(), MODEL, tmp_path, "data", loss)
    assert finished.trials.equals(undisturbed.trials)
    assert finished.trials_run_now == 5
    states = [trial.state.name for trial in _only_study(database).trials]
    assert sorted(states) == ["COMPLETE"] * 6 + ["FAIL"]


def _has_states(folder, database, states) -> bool:
    return (folder / "begun").exists() and [trial.state.name for trial in _only_study(database).trials] == states


def _only_study(database) -> optuna.Study:
    (name,) = optuna.get_all_study_names(database)
    return optuna.load_study(study_name=name, storage=database)


def test_a_diverged_trial_counts_and_is_never_the_best(tmp_path):
    found = run_study(
        parameters(n_trials=3), MODEL, tmp_path, "data", lambda o: loss(o) if o["training.rate"] == 1e-3 else math.nan
    )
    assert found.trials["loss"].null_count() == 2
    assert found.best_parameters["training.rate"] == 1e-3
    assert draw_history(found.trials).startswith(b"\x89PNG")
    with pytest.raises(TrainingError, match="all 3 trials diverged"):
        run_study(parameters(n_trials=3), MODEL, tmp_path, "other", lambda _: math.inf)


def test_switched_off_takes_the_configured_values_and_runs_nothing(tmp_path):
    counted = Counted()
    found = run_study(parameters(enabled=False), MODEL, tmp_path, "data", counted)
    assert found.best_parameters == {"model.width": 8, "training.rate": 1e-3, "training.optimiser": "adam"}
    assert (found.best_value, counted.calls, found.trials.height) == (None, 0, 0)
    assert "switched off" in found.note
    assert not list(tmp_path.iterdir())


def test_a_space_that_does_not_fit_the_model_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"model.depth"):
        run_study(parameters(space={"model.depth": SPACE["model.width"]}), MODEL, tmp_path, "data", loss)
