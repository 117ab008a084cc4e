"""Works off a study, trial after trial, in this process; any number of processes may do so at once."""

import math
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna

from trademl_assets.foundation.errors import ConfigError, TrainingError
from trademl_assets.storage.locking import locked
from trademl_assets.tuning.parameters import DIRECTIONS, StudyParameters
from trademl_assets.tuning.sampling import SeededSampler, build_pruner
from trademl_assets.tuning.space import overrides_of, suggest_choices
from trademl_assets.tuning.trials import (
    FAILURE,
    OUTCOME,
    SURPLUS,
    WARM_START,
    WORKER,
    number_trials,
    open_study,
    places,
)
from trademl_assets.tuning.verdict import judge_study, loss_sign

Tell = Callable[[int, float], None]
"""Takes the epoch, counted over all windows, and the loss so far; ends the trial by an exception."""


@dataclass(frozen=True)
class Outcome:
    """What a finished trial is judged by.

    Attributes:
        values: Each objective on validation, the mean over windows; `log_loss` is always among them.
        prior_log_loss: Log-loss of the class prior of the training rows on the same validation, in nats.
        windows: Log-loss of each window.
        days: Day (ISO), mean log-loss and number of decisions of every day of validation.
    """

    values: Mapping[str, float]
    prior_log_loss: float
    windows: Sequence[float]
    days: Sequence[tuple[str, float, int]]


Objective = Callable[[dict[str, Any], Tell], Outcome]
"""From a trial's overrides (dotted path -> value) to its outcome. TrainingError: diverged; ConfigError: impossible."""


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is, for whoever works on it.

    Attributes:
        name: In its database.
        url: Address of the database; may hold a password.
        workers: Folder in which every process that works on it has a locked one of its own.
        defaults: Configured choices, tried first.
    """

    name: str
    url: str
    workers: Path
    defaults: Mapping[str, Any]


class _SurplusError(Exception):
    """Two workers began the last trial at once."""


def work_off(
    place: StudyPlace,
    parameters: StudyParameters,
    objective: Objective,
    *,
    most_epochs: int,
    report: Callable[[str], None],
) -> None:
    """Begin trials until there is none left to begin, or the study gives up.

    Args:
        place: Where the study is.
        parameters: The search.
        objective: Trains and judges a trial.
        most_epochs: Epochs of a trial over all its windows.
        report: Takes a line for every trial that ends.

    Raises:
        Exception: What the objective raises beside TrainingError and ConfigError; its trial is begun again later.
    """
    with _registered(place.workers) as worker, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats and fixed first trials
        study = open_study(parameters, place.url, place.name)
        first = [place.defaults, *study.user_attrs.get(WARM_START, [])]
        study.sampler = SeededSampler(study, parameters, first)
        study.pruner = build_pruner(parameters, most_epochs)

        said: list[str] = []

        def run(trial: optuna.Trial) -> float | tuple[float, ...]:
            trial.set_user_attr(WORKER, worker)
            return _run_trial(study, trial, parameters, objective, said.append)

        while has_work(study, parameters):
            study.optimize(run, n_trials=1, catch=(_SurplusError,))
            while said:  # what is said of a trial holds whatever happens next: it is in the database
                report(said.pop(0))


def has_work(study: optuna.Study, parameters: StudyParameters) -> bool:
    """Whether a trial may be begun: one that waits, or a number that nobody has begun."""
    begun = places(study)
    if judge_study(begun, parameters).gives_up:
        return False
    waits = any(place.state == "waiting" and place.index < parameters.n_trials for place in begun)
    return waits or len(begun) < parameters.n_trials


def _run_trial(
    study: optuna.Study,
    trial: optuna.Trial,
    parameters: StudyParameters,
    objective: Objective,
    report: Callable[[str], None],
) -> float | tuple[float, ...]:
    index = number_trials(study.get_trials(deepcopy=False))[trial.number]
    if index >= parameters.n_trials:
        trial.set_user_attr(SURPLUS, True)
        raise _SurplusError
    choices = suggest_choices(trial, parameters.space)
    said = f"trial {index + 1} of {parameters.n_trials}"

    def tell(epoch: int, loss: float) -> None:
        if len(parameters.objectives) > 1 or not math.isfinite(loss):
            return
        trial.report(loss * loss_sign(parameters), epoch)
        if parameters.pruner.kind != "none" and trial.should_prune():
            report(f"{said}: ended at epoch {epoch + 1}, log-loss {loss:.4f}")
            raise optuna.TrialPruned

    try:
        outcome = objective(overrides_of(choices, parameters.space), tell)
    except (TrainingError, ConfigError) as error:
        trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}")
        report(f"{said}: failed, {error}")
        return _values({}, parameters)
    if not math.isfinite(outcome.values["log_loss"]):
        trial.set_user_attr(FAILURE, f"its log-loss is {outcome.values['log_loss']}")
        report(f"{said}: failed, its log-loss is {outcome.values['log_loss']}")
        return _values({}, parameters)
    trial.set_user_attr(OUTCOME, asdict(outcome))
    found = ", ".join(
        f"{name} {outcome.values[name]:.4f}" for name in dict.fromkeys(("log_loss", *parameters.objectives))
    )
    report(f"{said}: validation {found}")
    return _values(outcome.values, parameters)


def _values(values: Mapping[str, float], parameters: StudyParameters) -> float | tuple[float, ...]:
    """Values as Optuna takes them, the worst of all for an objective without one, so that TPE keeps away from it."""
    worst = {"minimize": math.inf, "maximize": -math.inf}
    found = tuple(float(values.get(name, worst[DIRECTIONS[name]])) for name in parameters.objectives)
    return found if len(found) > 1 else found[0]


@contextmanager
def _registered(workers: Path) -> Iterator[str]:
    """Hold a locked folder, which the kernel frees with the process, and yield its name."""
    name = f"{os.getpid()}-{uuid.uuid4().hex}"
    with locked(workers / name):
        yield name
    shutil.rmtree(workers / name, ignore_errors=True)
