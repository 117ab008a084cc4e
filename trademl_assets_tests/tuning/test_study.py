"""Studies: the same trials whatever happens in between."""

import math
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from trademl_assets.foundation.errors import ConfigError, TrainingError
from trademl_assets_tests.tuning.studies import (
    MODEL,
    SPACE,
    Counted,
    formula,
    loss,
    only_study,
    outcome,
    parameters,
    search,
    states_of,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return search(parameters(), tmp_path_factory.mktemp("study"))


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
            search(parameters(), tmp_path, Counted(fails_at))
    finished = search(parameters(), tmp_path, Counted())
    assert finished.trials.equals(undisturbed.trials)
    assert (finished.best_parameters, finished.note) == (undisturbed.best_parameters, undisturbed.note)
    assert finished.trials_run_now == 4


def test_a_finished_study_is_read_back_and_a_raised_number_continues_it(undisturbed, tmp_path):
    first = Counted()
    search(parameters(n_trials=4), tmp_path, first)
    assert first.calls == 4
    again = Counted()
    assert search(parameters(n_trials=4), tmp_path, again).trials_run_now == again.calls == 0
    assert search(parameters(), tmp_path, again).trials.equals(undisturbed.trials)
    assert again.calls == 2
    fewer = search(parameters(n_trials=4), tmp_path, again)
    assert fewer.trials.drop("on_front").equals(undisturbed.trials[:4].drop("on_front"))


def test_other_data_another_seed_space_or_other_parameters_begin_a_new_study(tmp_path):
    search(parameters(n_trials=2), tmp_path)
    narrower = SPACE | {"model.width": {**SPACE["model.width"], "high": 32}}
    for stated, data, model in (
        (parameters(n_trials=2), "other data", MODEL),
        (parameters(n_trials=2, seed=2), "data", MODEL),
        (parameters(n_trials=2, space=narrower), "data", MODEL),
        (parameters(n_trials=2), "data", MODEL | {"epochs": 20}),
    ):
        counted = Counted()
        search(stated, tmp_path, counted, data, model)
        assert counted.calls == 2


def test_a_killed_process_leaves_a_study_that_ends_like_an_undisturbed_one(undisturbed, tmp_path):
    script = """
import sys
from pathlib import Path
from trademl_assets_tests.tuning import studies as here
def ask(overrides, tell):
    return (here.formula if overrides["training.rate"] == 1e-3 else here.slow)(overrides, tell)
here.search(here.parameters(), Path(sys.argv[1]), ask)
"""
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    deadline = time.monotonic() + 60
    database = f"sqlite:///{tmp_path / 'study.db'}"
    while time.monotonic() < deadline and not _has_begun_the_second(tmp_path, database):
        time.sleep(0.1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    finished = search(parameters(), tmp_path)
    assert finished.trials.equals(undisturbed.trials)
    assert finished.trials_run_now == 5
    assert states_of(only_study(database)) == ["COMPLETE"] * 6 + ["FAIL"]


def _has_begun_the_second(folder, database) -> bool:
    if not list(folder.glob("workers/*/.lock")):
        return False
    return states_of(only_study(database)) == ["COMPLETE", "RUNNING"]


def test_a_trial_is_begun_again_as_often_as_is_allowed_and_then_counts_as_lost(tmp_path):
    stated = parameters(n_trials=2, retries_at_most=1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            search(stated, tmp_path, Counted(1))
    found = search(stated, tmp_path, Counted())
    assert found.trials["state"].to_list() == ["failed", "complete"]
    assert "process" in found.trials["failure"][0]


def test_a_diverged_trial_counts_and_is_never_the_best(tmp_path):
    def diverges(overrides, tell):
        return formula(overrides, tell) if overrides["training.rate"] == 1e-3 else outcome(math.nan)

    def raises(overrides, tell):
        raise TrainingError("the loss is inf")

    found = search(parameters(n_trials=3), tmp_path, diverges)
    assert found.trials["loss"].null_count() == 2
    assert found.best_parameters["training.rate"] == 1e-3
    with pytest.raises(TrainingError, match="none of 3 trials succeeded: TrainingError: the loss is inf"):
        search(parameters(n_trials=3), tmp_path, raises, "other")


def limits(**changes):
    return {"nats_above_prior": None, "failures_at_most": 10, "consecutive_failures_at_most": 10} | changes


@pytest.mark.parametrize(("given", "ends"), [({"consecutive_failures_at_most": 1}, 4), ({"failures_at_most": 0}, 3)])
def test_a_study_gives_up_where_too_many_trials_fail_and_stays_given_up(tmp_path, given, ends):
    class FromTheThird(Counted):
        def __call__(self, overrides, tell):
            self.calls += 1
            if self.calls > 2:
                raise ConfigError("such a model cannot be built")
            return formula(overrides, tell)

    stated = parameters(limits=limits(**given))
    found = search(stated, tmp_path, FromTheThird())
    assert found.trials.height == ends
    assert f"given up after {ends} of 6" in found.note
    again = Counted()
    assert search(stated, tmp_path, again).note == found.note
    assert again.calls == 0


def test_a_trial_far_above_the_prior_counts_as_failed(tmp_path, undisturbed):
    worst = undisturbed.trials["loss"].max()
    found = search(parameters(limits=limits(nats_above_prior=worst - 2.0 - 1e-9)), tmp_path)
    assert found.trials.filter(state="failed")["loss"].to_list() == [worst]
    assert "above that of the class prior" in found.trials["failure"].drop_nulls()[0]
    assert found.trials["loss"].equals(undisturbed.trials["loss"])


def test_a_new_space_can_begin_with_the_best_of_the_study_before(undisturbed, tmp_path):
    search(parameters(), tmp_path)
    wider = SPACE | {"model.width": {**SPACE["model.width"], "high": 128}}
    warm = search(parameters(space=wider, warm_start_trials=2), tmp_path).trials
    best = undisturbed.trials.filter(~undisturbed.trials["configured"]).sort("loss")["loss"][:2].to_list()
    assert warm["loss"][1:3].to_list() == best
    cold = search(parameters(space=wider), tmp_path, data="cold").trials
    assert cold["loss"][1:3].to_list() != best


def test_several_objectives_make_a_front_and_the_first_decides(tmp_path):
    def ask(overrides, tell):
        return outcome(loss(overrides), latency_ms=1000.0 / overrides["model.width"], weighted_f1=0.5)

    found = search(parameters(objectives=["log_loss", "latency_ms"], n_trials=12), tmp_path, ask).trials
    front = found.filter("on_front")
    assert 1 < front.height < 12
    for row in front.iter_rows(named=True):
        better = (found["loss"] <= row["loss"]) & (found["latency_ms"] <= row["latency_ms"])
        assert found.filter(better)["index"].to_list() == [row["index"]]
    assert front["loss"].min() == found["loss"].min()


def test_weighted_f1_is_maximised(tmp_path):
    def ask(overrides, tell):
        return outcome(5.0, weighted_f1=1.0 / (1.0 + loss(overrides)))

    found = search(parameters(objectives=["weighted_f1"]), tmp_path, ask)
    assert found.best_value == found.trials["weighted_f1"].max()
    assert found.trials["best_so_far"].to_list() == sorted(found.trials["best_so_far"].to_list())


@pytest.mark.parametrize(
    ("pruner", "objective"),
    [
        ({"kind": "median", "after_trials": 2, "after_epochs": 1}, "log_loss"),
        ({"kind": "median", "after_trials": 2, "after_epochs": 1}, "weighted_f1"),
        ({"kind": "hyperband", "min_epochs": 1, "reduction_factor": 3}, "log_loss"),
    ],
)
def test_a_pruner_ends_hopeless_trials_and_the_best_is_the_same(tmp_path, pruner, objective):
    def ask(overrides, tell):
        for epoch in range(9):
            tell(epoch, loss(overrides) + 1.0 / (epoch + 1))
        return outcome(loss(overrides), weighted_f1=1.0 / (1.0 + loss(overrides)))

    stated = parameters(pruner=pruner, n_trials=12, objectives=[objective])
    found = search(stated, tmp_path, ask)
    pruned = found.trials.filter(state="pruned")
    assert 0 < pruned.height < 12
    assert pruned["failure"].null_count() == pruned.height
    assert loss(found.best_parameters) == found.trials.filter(state="complete")["loss"].min()
    assert found.curves["loss"].min() > 0
    epochs = found.curves.group_by("trial").len()
    assert set(epochs.filter(epochs["len"] < 9)["trial"]) <= set(pruned["index"])
    assert search(stated, tmp_path, ask).trials.equals(found.trials)


def test_the_daily_losses_of_every_completed_trial_are_kept(undisturbed):
    daily = undisturbed.daily_losses
    assert daily.height == 12
    means = daily.group_by("trial", maintain_order=True).mean()["log_loss"].to_list()
    assert means == pytest.approx(undisturbed.trials["loss"].to_list())
    assert daily["samples"].sum() == 120


def test_switched_off_takes_the_configured_values_and_runs_nothing(tmp_path):
    counted = Counted()
    found = search(parameters(enabled=False), tmp_path, counted)
    assert found.best_parameters == {"model.width": 8, "training.rate": 1e-3, "training.optimiser": "adam"}
    assert (found.best_value, counted.calls, found.trials.height) == (None, 0, 0)
    assert "switched off" in found.note
    assert not list(tmp_path.iterdir())


def test_a_space_that_does_not_fit_the_model_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"model.depth"):
        search(parameters(space={"model.depth": SPACE["model.width"]}), tmp_path)


def test_a_pruner_with_another_objective_than_log_loss_is_refused():
    with pytest.raises(ValueError, match="compares the log-loss"):
        parameters(objectives=["excess_ece"], pruner={"kind": "median", "after_trials": 1, "after_epochs": 1})


def test_optuna_keeps_no_trial_running(tmp_path):
    search(parameters(), tmp_path)
    states = {trial.state for trial in only_study(f"sqlite:///{tmp_path / 'study.db'}").trials}
    assert states == {optuna.trial.TrialState.COMPLETE}
