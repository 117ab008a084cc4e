"""A study whose trials cost nothing: a formula in place of a training, worked off in the process that asks."""

import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.study import StudyResult, run_study
from trademl_assets.tuning.work import Outcome, work_off

MODEL: dict[str, Any] = {"model": {"width": 8}, "training": {"rate": 1e-3, "optimiser": "adam"}}
SPACE: dict[str, Any] = {
    "model.width": {"kind": "int", "low": 2, "high": 64, "log": True, "when": None},
    "training.rate": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True, "when": None},
    "training.optimiser": {"kind": "categorical", "choices": ["adam", "sgd"], "when": None},
}
MOST_EPOCHS = 9
Ask = Callable[..., Outcome]


def parameters(**changes: Any) -> StudyParameters:
    values = {
        "enabled": True,
        "n_trials": 6,
        "random_trials": 3,
        "warm_start_trials": 0,
        "seed": 1,
        "objectives": ["log_loss"],
        "n_windows": None,
        "patience_epochs": None,
        "pruner": {"kind": "none"},
        "workers": 1,
        "limits": {"nats_above_prior": None, "failures_at_most": 10, "consecutive_failures_at_most": 10},
        "excess_replicates": 10,
        "space": SPACE,
        "database": None,
        "retries_at_most": 2,
        "heartbeat_seconds": 1,
        "heartbeat_grace_seconds": 3,
        "database_timeout_seconds": 30,
    }
    return StudyParameters.model_validate_json(json.dumps(values | changes))


def loss(overrides: dict[str, Any]) -> float:
    return (math.log10(overrides["training.rate"]) + 2) ** 2 + overrides["model.width"] / 100


def outcome(log_loss: float, **values: float) -> Outcome:
    days = [("2024-01-01", log_loss - 0.5, 10), ("2024-01-02", log_loss + 0.5, 10)]
    return Outcome({"log_loss": log_loss, **values}, 2.0, [log_loss], days)


def formula(overrides: dict[str, Any], tell: Any) -> Outcome:
    return outcome(loss(overrides))


def search(
    stated: StudyParameters, scratch: Path, ask: Ask = formula, data: str = "data", model: dict[str, Any] = MODEL
) -> StudyResult:
    """Run a study in this process."""

    def employ(place: Any, _release: Any) -> None:
        work_off(place, stated, ask, most_epochs=MOST_EPOCHS, report=lambda _line: None)

    return run_study(stated, model, scratch, data, employ, subject="demo|small")


class Counted:
    """An objective that remembers how often it was asked, and may fail at one call."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.calls, self.fails_at = 0, fails_at

    def __call__(self, overrides: dict[str, Any], tell: Any) -> Outcome:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("killed")
        return formula(overrides, tell)


def slowly(overrides: dict[str, Any], tell: Any, seconds: float = 0.0) -> Outcome:
    time.sleep(seconds)
    return formula(overrides, tell)


slow = partial(slowly, seconds=60)


def only_study(url: str) -> optuna.Study:
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


def states_of(study: optuna.Study) -> list[str]:
    return sorted(trial.state.name for trial in study.get_trials(deepcopy=False))
