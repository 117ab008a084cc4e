"""A hyper-parameter study that can be killed and continued: the same configuration always ends with the same trials.

A trial's index is the number of trials completed before it, and the sampler is seeded by seed + index; a trial lost to
a kill is therefore drawn again as it was. (Optuna's own retry of stale trials would queue it a second time, so it is
not used; heartbeats only tell which trials are dead.)
"""

import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import optuna
import polars as pl
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from trademl_assets.foundation.errors import TrainingError
from trademl_assets.foundation.parameters import Parameters, combine_fingerprints
from trademl_assets.tuning.space import CategoricalRange, SearchRange, read_defaults

INDEX = "index"
DIVERGED = "diverged"
Objective = Callable[[dict[str, Any]], float]
"""From a trial's overrides (dotted path -> value) to its validation loss; not finite where the training diverged."""


class StudyParameters(Parameters):
    """One search over a model's parameters.

    The first trial runs the configured values, the next `random_trials` - 1 are random, the rest are proposed by TPE.
    Where not `enabled` the configured values are taken. Optuna's database waits `database_timeout_seconds` for a lock;
    a trial without a heartbeat for `heartbeat_grace_seconds` counts as dead.
    """

    enabled: bool
    n_trials: int = Field(ge=1)
    random_trials: int = Field(ge=1)
    seed: int = Field(ge=0)
    metric: Literal["validation_log_loss"]
    space: dict[str, SearchRange]
    heartbeat_seconds: int = Field(ge=1)
    heartbeat_grace_seconds: int = Field(ge=1)
    database_timeout_seconds: int = Field(ge=1)


@dataclass(frozen=True)
class StudyResult:
    """The outcome of a study.

    Attributes:
        best_parameters: Overrides (dotted path -> value) of the best trial, the configured values where not searched.
        best_value: Its loss; None where nothing was searched.
        trials: One row a trial in order: index, loss (null where diverged), best_so_far, configured (the first), and a
            column a searched path.
        note: What was found, in one sentence; the same whether or not the study was interrupted.
        trials_run_now: Trials that were run by this call rather than read back.
    """

    best_parameters: dict[str, Any]
    best_value: float | None
    trials: pl.DataFrame
    note: str
    trials_run_now: int


def run_study(
    parameters: StudyParameters,
    model: Mapping[str, Any],
    scratch: Path,
    identity: str,
    objective: Objective,
    *,
    on_trial: Callable[[int, dict[str, Any], float], None] | None = None,
) -> StudyResult:
    """Run, continue or read back a study.

    Args:
        parameters: The search; a raised `n_trials` continues a finished study.
        model: Nested parameters (JSON values) that the space's paths point into; other ones begin a new study.
        scratch: Existing folder for Optuna's database, kept between runs.
        identity: Fingerprint of everything else that trials depend on (dataset, code); with another one a new study
            begins.
        objective: Runs one training and returns its loss.
        on_trial: Told index, overrides and loss of every trial that completes now.

    Raises:
        ConfigError: The space does not fit the model's parameters.
        TrainingError: Every trial diverged.
    """
    defaults = read_defaults(model, parameters.space)
    if not parameters.enabled or not parameters.space:
        reason = "switched off" if not parameters.enabled else "the space is empty"
        return StudyResult(
            defaults, None, _as_table([], parameters.space), f"no search ({reason}): configured values", 0
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats and fixed first trials
        study = optuna.create_study(
            storage=_open_storage(parameters, scratch),
            study_name=study_name(parameters, model, identity),
            direction="minimize",
            load_if_exists=True,
        )
        return _search(study, parameters, defaults, objective, on_trial)


def _search(
    study: optuna.Study,
    parameters: StudyParameters,
    defaults: Mapping[str, Any],
    objective: Objective,
    on_trial: Callable[[int, dict[str, Any], float], None] | None,
) -> StudyResult:
    optuna.storages.fail_stale_trials(study)
    found_before = len(_completed(study))
    while (index := len(_completed(study))) < parameters.n_trials:
        study.sampler = _sampler(parameters, defaults, index)
        study.optimize(partial(_run_trial, index=index, space=parameters.space, objective=objective), n_trials=1)
        latest = _completed(study).get(index)
        if latest is not None and on_trial is not None:
            on_trial(index, dict(latest.params), _loss(latest))
    _close_abandoned(study)
    completed = _completed(study)
    chosen = [completed[index] for index in range(parameters.n_trials)]
    if all(trial.user_attrs[DIVERGED] for trial in chosen):
        raise TrainingError(
            f"all {len(chosen)} trials diverged -> lower the learning rates in the space or the configured one"
        )
    best = min(chosen, key=_loss)
    fresh = max(parameters.n_trials - found_before, 0)
    note = f"{len(chosen)} trials, the best is number {best.user_attrs[INDEX]} with a loss of {_loss(best):.5f}"
    return StudyResult(
        _overrides(best, parameters.space), _loss(best), _as_table(chosen, parameters.space), note, fresh
    )


def study_name(parameters: StudyParameters, model: Mapping[str, Any], identity: str) -> str:
    """Name of a study in its database: equal where all trials would be equal, whatever their number.

    Parameters that are not searched count as much as those that are.
    """
    searched = parameters.model_copy(update={"enabled": True, "n_trials": 1})
    configured = json.dumps(model, sort_keys=True, separators=(",", ":"))
    return combine_fingerprints(searched.fingerprint(), configured, identity)


def _open_storage(parameters: StudyParameters, scratch: Path) -> optuna.storages.RDBStorage:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.RDBStorage(
        f"sqlite:///{scratch / 'study.db'}",
        engine_kwargs={"connect_args": {"timeout": parameters.database_timeout_seconds}},
        heartbeat_interval=parameters.heartbeat_seconds,
        grace_period=parameters.heartbeat_grace_seconds,
    )


def _sampler(parameters: StudyParameters, defaults: Mapping[str, Any], index: int) -> optuna.samplers.BaseSampler:
    """Sampler of one trial; trials still running elsewhere must not move it, hence no constant liar."""
    proposing = optuna.samplers.TPESampler(
        seed=parameters.seed + index,
        n_startup_trials=parameters.random_trials,
        multivariate=True,
        constant_liar=False,
    )
    return optuna.samplers.PartialFixedSampler(dict(defaults), proposing) if index == 0 else proposing


def _run_trial(trial: optuna.Trial, index: int, space: Mapping[str, SearchRange], objective: Objective) -> float:
    overrides = {path: searched.suggest(trial, path) for path, searched in space.items()}
    loss = float(objective(overrides))
    trial.set_user_attr(INDEX, index)
    trial.set_user_attr(DIVERGED, not math.isfinite(loss))
    return loss if math.isfinite(loss) else math.inf


def _completed(study: optuna.Study) -> dict[int, FrozenTrial]:
    """Completed trials by index; of two by overlapping processes the first counts (both ran the same)."""
    found: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        found.setdefault(trial.user_attrs[INDEX], trial)
    return found


def _close_abandoned(study: optuna.Study) -> None:
    """Mark trials of killed processes as failed, so that a finished study has none running."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _loss(trial: FrozenTrial) -> float:
    return math.inf if trial.value is None else trial.value


def _overrides(trial: FrozenTrial, space: Mapping[str, SearchRange]) -> dict[str, Any]:
    return {path: trial.params[path] for path in space}


def _as_table(trials: list[FrozenTrial], space: Mapping[str, SearchRange]) -> pl.DataFrame:
    """Trials as a frame; a categorical path is text, so that choices of several types fit one column."""
    kinds = {"float": pl.Float64, "int": pl.Int64, "categorical": pl.String}
    schema = {"index": pl.Int64, "loss": pl.Float64, "best_so_far": pl.Float64, "configured": pl.Boolean}
    schema |= {path: kinds[searched.kind] for path, searched in space.items()}
    best, rows = math.inf, []
    for trial in trials:
        best = min(best, _loss(trial))
        row: dict[str, Any] = {
            "index": trial.user_attrs[INDEX],
            "loss": _loss(trial) if math.isfinite(_loss(trial)) else None,
            "best_so_far": best if math.isfinite(best) else None,
            "configured": trial.user_attrs[INDEX] == 0,
        }
        for path, searched in space.items():
            value = trial.params[path]
            row[path] = str(value) if isinstance(searched, CategoricalRange) else value
        rows.append(row)
    return pl.DataFrame(rows, schema=schema)
