"""Real trainings in real worker processes, on a file and on a PostgreSQL, some of them killed."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import optuna
import polars as pl
import pytest
from optuna.trial import TrialState

from trademl_assets.datasets.windows import open_dataset
from trademl_assets.foundation.errors import ConfigError, StorageError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.locking import locked_if_free
from trademl_assets.training.leases import Cards
from trademl_assets.training.results import SUMMARY_FILE, read_json
from trademl_assets.tuning.objective import TrainedTrials
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.study import StudyResult, run_study
from trademl_assets.tuning.template import TrainingTemplate
from trademl_assets.tuning.trials import WORKER, open_storage
from trademl_assets.tuning.work import work_off
from trademl_assets.tuning.workers import WorkerProcesses
from trademl_assets_tests.postgres import PostgresServer, postgres
from trademl_assets_tests.training.conftest import dataset_values, model_values, training_values
from trademl_assets_tests.tuning.studies import parameters as stated_parameters
from trademl_assets_tests.tuning.studies import states_of

__all__ = ["postgres"]
SPACE: dict[str, Any] = {
    "model.history.width": {"kind": "int", "low": 4, "high": 12, "log": False, "when": None},
    "training.optimiser.learning_rate": {"kind": "float", "low": 0.005, "high": 0.05, "log": True, "when": None},
}


def parameters(**changes: Any) -> StudyParameters:
    return stated_parameters(**{"space": SPACE, "n_trials": 2, "heartbeat_grace_seconds": 20, **changes})


def template(store: ArtifactStore, experiment: str = "signal", **training: Any) -> TrainingTemplate:
    return TrainingTemplate(
        store_root=str(store.layout.root),
        experiment=experiment,
        model_name="small",
        family="dual_channel",
        searchable={
            "model": model_values(),
            "training": training_values(**{"max_epochs": 2, "progress_seconds": 100.0, **training}),
            "weights": dataset_values()["weights"],
        },
        code_version="1",
    )


def in_this_process(store: ArtifactStore, scratch: Path, stated: StudyParameters, **given: Any) -> StudyResult:
    trained = template(store, **given)

    def employ(place: Any, _release: Any) -> None:
        objective = TrainedTrials(trained, stated, lambda _line: None)
        work_off(place, stated, objective, most_epochs=objective.most_epochs, report=lambda _line: None)

    return run_study(stated, trained.searchable, scratch, "data", employ, subject=trained.key)


def by_processes(
    store: ArtifactStore,
    scratch: Path,
    stated: StudyParameters,
    lines: list[str],
    cards: Cards | None = None,
    **given: Any,
) -> StudyResult:
    trained = template(store, **given)
    workers = WorkerProcesses(trained, stated, scratch, lines.append, cards)
    return run_study(stated, trained.searchable, scratch, "data", workers, subject=trained.key)


def test_a_trial_is_judged_on_validation_day_by_day(market: ArtifactStore, tmp_path: Path) -> None:
    found = in_this_process(market, tmp_path, parameters(n_trials=1))
    assert found.trials["state"].to_list() == ["complete"]
    daily = found.daily_losses
    validation = open_dataset(market, "signal").samples("validation", on_stride_only=True)
    assert dict(daily.select("day", "samples").iter_rows()) == dict(
        validation.group_by(pl.col("t0").dt.date()).len().iter_rows()
    )
    mean = (daily["log_loss"] * daily["samples"]).sum() / daily["samples"].sum()
    assert mean == pytest.approx(found.best_value, rel=1e-9)


def test_class_weights_of_the_loss_are_taken_out_before_a_trial_is_judged(
    market: ArtifactStore, tmp_path: Path
) -> None:
    loss = {"kind": "cross_entropy", "class_weights": [1.0, 3.0, 1.0, 0.3], "label_smoothing": 0.0}
    found = in_this_process(market, tmp_path, parameters(n_trials=1), loss=loss)
    trained = Path(template(market, loss=loss).specify(found.best_parameters, mode="search").output_folder)
    assert found.best_value == pytest.approx(
        read_json(trained / SUMMARY_FILE)["ensemble_validation_log_loss"], rel=1e-6
    )


def test_trials_take_one_device_where_the_final_training_takes_two(market: ArtifactStore) -> None:
    one, two = (Cards(Path(), tuple(map(str, range(count)))) for count in (1, 2))

    def folder(cards: Cards | None, devices: str, mode: Any) -> str:
        stated = template(market, devices=devices)
        return (stated if mode == "fit" else stated.alone(cards)).specify({}, mode=mode).output_folder

    for cards, devices in ((None, "auto"), (one, "auto"), (two, "1"), (two, "cpu")):
        assert folder(cards, devices, "search") == folder(cards, devices, "fit")
    for cards, devices in ((two, "auto"), (two, "2"), (None, "2")):
        assert folder(cards, devices, "search") == folder(cards, "1", "fit") != folder(cards, devices, "fit")


def test_windows_are_the_last_folds_and_nothing_held_out_is_looked_at(market: ArtifactStore, tmp_path: Path) -> None:
    stated = parameters(n_trials=1, n_windows=2, patience_epochs=1)
    found = in_this_process(market, tmp_path, stated, experiment="folded")
    days = found.daily_losses["day"].to_list()
    folds = open_dataset(market, "folded").recipe["folds"][-2:]
    first = np.datetime64(folds[0]["validation"][0][0], "us").astype("datetime64[D]").item()
    last = np.datetime64(folds[1]["validation"][-1][1], "us").astype("datetime64[D]").item()
    assert (days[0], len(days)) == (first, 2)
    assert days[-1] < last
    losses = found.daily_losses["log_loss"].to_list()
    assert found.best_value == pytest.approx(np.mean(losses))
    with pytest.raises(ConfigError, match="has 3 folds, the study asks for n_windows: 4"):
        in_this_process(market, tmp_path, parameters(n_windows=4), experiment="folded")


def test_several_objectives_are_measured_and_half_lives_searched(market: ArtifactStore, tmp_path: Path) -> None:
    half_life = {"kind": "float", "low": 0.5, "high": 20.0, "log": True, "when": None}
    stated = parameters(
        objectives=["log_loss", "excess_ece", "latency_ms", "weighted_f1", "direction_log_loss"],
        space={"weights.parts.0.half_life_days": half_life},
    )
    found = in_this_process(market, tmp_path, stated).trials
    assert found["weights.parts.0.half_life_days"][0] == 2.0
    assert found["loss"].n_unique() == 2
    assert (found["latency_ms"] > 0).all()
    assert found["weighted_f1"].is_between(0, 1).all()
    assert found["excess_ece"].is_between(-1, 1).all()
    assert found["direction_log_loss"].is_between(0, 1).all()


def test_a_model_that_cannot_be_built_fails_its_trial_alone(market: ArtifactStore, tmp_path: Path) -> None:
    space = {"model.encoder.steps": {"kind": "categorical", "choices": [10, 7], "when": None}}
    configured = model_values()["encoder"]["steps"]
    space["model.encoder.steps"]["choices"] = [configured, 7]
    found = in_this_process(market, tmp_path, parameters(space=space, n_trials=6)).trials
    assert set(found.filter(pl.col("model.encoder.steps") == "7")["state"]) == {"failed"}
    assert set(found.filter(pl.col("model.encoder.steps") == str(configured))["state"]) == {"complete"}


def test_pruning_ends_a_real_training(market: ArtifactStore, tmp_path: Path) -> None:
    pruner = {"kind": "median", "after_trials": 1, "after_epochs": 0}
    stated = parameters(pruner=pruner, n_trials=5, random_trials=5)
    found = in_this_process(market, tmp_path, stated, max_epochs=3)
    pruned = found.trials.filter(state="pruned")
    assert pruned.height
    epochs = dict(found.curves.group_by("trial").len().iter_rows())
    assert min(epochs[index] for index in pruned["index"]) < 3
    assert all(epochs[index] == 3 for index in found.trials.filter(state="complete")["index"])


def seen_by_workers(scratch: Path) -> set[str]:
    """The cards that the workers which are registered see."""
    found = set()
    for path in (scratch / "workers").iterdir():
        stated = Path("/proc", path.name.split("-")[0], "environ").read_bytes().split(b"\0")
        found |= {line.partition(b"=")[2].decode() for line in stated if line.startswith(b"CUDA_VISIBLE_DEVICES=")}
    return found


def are_free(cards: Cards) -> bool:
    """Whether nobody holds a card."""
    with ExitStack() as held:
        return all(held.enter_context(locked_if_free(cards.folder / f"card_{name}")) for name in cards.names)


def kill_one(scratch: Path, lines: list[str], cards: Cards, seen: list[tuple[set[str], bool]]) -> None:
    """Kill -9 the first worker that has begun a trial, once both workers were looked at."""
    url, deadline = f"sqlite:///{scratch / 'study.db'}", time.monotonic() + 60
    while time.monotonic() < deadline:
        if any("reads step features" in line for line in lines):
            (name,) = optuna.get_all_study_names(url)
            for trial in optuna.load_study(study_name=name, storage=url).get_trials(states=(TrialState.RUNNING,)):
                if WORKER in trial.user_attrs and len(seen_by_workers(scratch)) == len(cards.names):
                    seen.append((seen_by_workers(scratch), are_free(cards)))
                    os.kill(int(trial.user_attrs[WORKER].split("-")[0]), signal.SIGKILL)
                    return
        time.sleep(0.02)


def test_a_trial_killed_after_its_training_is_told_of_as_if_it_had_trained_now(
    market: ArtifactStore, tmp_path: Path
) -> None:
    objective = TrainedTrials(template(market), parameters(), lambda _line: None)
    values = {"model.history.width": 5, "training.optimiser.learning_rate": 0.01}
    told: list[list[tuple[int, float]]] = []
    outcomes = []
    for _ in range(2):
        told.append([])
        outcomes.append(objective(values, lambda epoch, loss: told[-1].append((epoch, loss))))
    assert told[0] == told[1]
    assert [epoch for epoch, _ in told[0]] == [0, 1]
    assert outcomes[0] == outcomes[1]


def test_nothing_of_a_trial_that_was_ended_early_remains(market: ArtifactStore, tmp_path: Path) -> None:
    trained = template(market)
    values = {"model.history.width": 6}

    def end(_epoch: int, _loss: float) -> None:
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        TrainedTrials(trained, parameters(), lambda _line: None)(values, end)
    assert not any(Path(trained.specify(values, mode="search").output_folder).iterdir())


@pytest.mark.end_to_end
def test_two_workers_on_a_file_one_of_them_killed(market: ArtifactStore, tmp_path: Path) -> None:
    lines: list[str] = []
    stated = parameters(n_trials=4, workers=2)
    cards, seen = Cards(tmp_path / "leases", ("3", "7")), []
    killer = threading.Thread(target=kill_one, args=(tmp_path, lines, cards, seen))
    killer.start()
    found = by_processes(market, tmp_path, stated, lines, cards, max_epochs=6, devices="auto")
    killer.join()
    assert seen == [({"3", "7"}, False)]
    assert are_free(cards)
    assert found.trials["state"].to_list() == ["complete"] * 4
    assert any("died" in line for line in lines)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    (name,) = optuna.get_all_study_names(url)
    assert not list((tmp_path / "workers").iterdir())
    assert states_of(optuna.load_study(study_name=name, storage=url)) == ["COMPLETE"] * 4 + ["FAIL"]
    again: list[str] = []
    assert by_processes(market, tmp_path, stated, again, cards, max_epochs=6, devices="auto").trials.equals(
        found.trials
    )
    assert again == []


@pytest.mark.end_to_end
def test_two_machines_on_one_postgresql(market: ArtifactStore, tmp_path: Path, postgres: PostgresServer) -> None:
    address = f"{quote(postgres.user)}:{quote(postgres.password, safe='')}@{postgres.host}:{postgres.port}"
    url = f"postgresql://{address}/{postgres.database}"
    values = parameters(n_trials=4, workers=1).model_dump(mode="json") | {"database": "${STUDY_DATABASE}"}
    stated = StudyParameters.model_validate(values, strict=False, context={"environment": {"STUDY_DATABASE": url}})
    results: dict[str, StudyResult] = {}
    lines: dict[str, list[str]] = {"one": [], "two": []}

    def machine(name: str) -> None:
        (tmp_path / name).mkdir()
        results[name] = by_processes(market, tmp_path / name, stated, lines[name])

    machines = [threading.Thread(target=machine, args=(name,)) for name in lines]
    for each in machines:
        each.start()
    for each in machines:
        each.join()
    assert results["one"].trials.equals(results["two"].trials)
    assert results["one"].trials["state"].to_list() == ["complete"] * 4
    said = [line for name in lines for line in lines[name] if "validation log_loss" in line]
    assert sorted(line.split(":")[0] for line in said) == [f"trial {number} of 4" for number in (1, 2, 3, 4)]
    assert all(any("validation log_loss" in line for line in lines[name]) for name in lines)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if postgres.password.encode() in path.read_bytes()]


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"://me:\*\*\*@127\.0\.0\.1") as raised:
        open_storage(parameters(), "postgresql+psycopg://me:hidden-word@127.0.0.1:1/none")
    assert "hidden-word" not in str(raised.value)
