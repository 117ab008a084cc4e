"""A hyper-parameter study that can be killed and continued: with one worker it always ends with the same trials.

Every wanted trial has a number and is seeded by it; a trial lost to a kill is begun again with the values it had. The
database, not this process, knows how far the study is, so whoever opens it goes on where it stands.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import polars as pl

from trademl_assets.foundation.errors import TrainingError
from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.space import overrides_of, read_defaults
from trademl_assets.tuning.tables import curve_table, daily_table, trial_table
from trademl_assets.tuning.trials import (
    SUBJECT,
    WARM_START,
    database_url,
    living_workers,
    open_storage,
    open_study,
    places,
    release_dead,
    remove_dead,
    retry_lost,
)
from trademl_assets.tuning.verdict import Verdict, is_success, judge_study, rank
from trademl_assets.tuning.work import StudyPlace, has_work

_POLL_SECONDS = 0.2
Employ = Callable[[StudyPlace, Callable[[], int]], None]
"""Has trials worked off until there is none left to begin. The function that it is given gives up the trials of dead
processes and returns their number."""


@dataclass(frozen=True)
class StudyResult:
    """The outcome of a study.

    Attributes:
        best_parameters: Overrides (dotted path -> value) of the best trial, the configured values where not searched.
        best_value: Its first objective; None where nothing was searched.
        best_trial: Its number; None where nothing was searched.
        trials: One row a trial in order, see `tables.trial_table`.
        daily_losses: Mean validation log-loss of each completed trial on each day: trial, day, log_loss, samples.
        curves: Loss of each trial after each epoch: trial, epoch, loss.
        note: What was found, in one sentence; the same whether or not the study was interrupted.
        trials_run_now: Trials that were settled during this call rather than read back.
    """

    best_parameters: dict[str, Any]
    best_value: float | None
    best_trial: int | None
    trials: pl.DataFrame
    daily_losses: pl.DataFrame
    curves: pl.DataFrame
    note: str
    trials_run_now: int


def run_study(
    parameters: StudyParameters,
    model: Mapping[str, Any],
    scratch: Path,
    identity: str,
    employ: Employ,
    *,
    subject: str,
) -> StudyResult:
    """Run, continue or read back a study.

    Args:
        parameters: The search; a raised `n_trials` continues a finished study.
        model: Nested parameters (JSON values) that the space's paths point into; other ones begin a new study.
        scratch: Existing folder for the study's file and its workers' locks, kept between runs.
        identity: Fingerprint of everything else that trials depend on (dataset, code); with another one a new study
            begins.
        employ: Has the trials worked off, here or in processes of their own.
        subject: What is searched for, for example "demo|dual_channel"; earlier studies of it can warm up this one.

    Raises:
        ConfigError: The space does not fit the model's parameters.
        TrainingError: Every trial failed.
    """
    defaults = read_defaults(model, parameters.space)
    if not parameters.enabled or not parameters.space:
        reason = "switched off" if not parameters.enabled else "the space is empty"
        note = f"no search ({reason}): configured values"
        nothing = (trial_table((), parameters), daily_table(()), curve_table((), parameters))
        return StudyResult(overrides_of(defaults, parameters.space), None, None, *nothing, note, 0)
    place = StudyPlace(
        study_name(parameters, model, identity), database_url(parameters, scratch), scratch / "workers", defaults
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = open_study(parameters, place.url, place.name)
        _remember(study, parameters, place, subject)
        _await_dying(study, parameters, place.workers)
        found_before = len(judge_study(places(study), parameters).counted)
        verdict = _finish(study, parameters, place, employ)
        return _result(verdict, parameters, len(verdict.counted) - found_before)


def study_name(parameters: StudyParameters, model: Mapping[str, Any], identity: str) -> str:
    """Name of a study in its database: equal where all trials would be equal, whatever their number.

    Parameters that are not searched count as much as those that are.
    """
    configured = json.dumps(model, sort_keys=True, separators=(",", ":"))
    return combine_fingerprints(parameters.searches_alike().fingerprint(), configured, identity)


def _finish(study: optuna.Study, parameters: StudyParameters, place: StudyPlace, employ: Employ) -> Verdict:
    """Have the study worked off; wait for trials that run elsewhere, until they end or their heartbeat does."""

    def release() -> int:
        return release_dead(study, parameters, place.workers)

    retry_lost(study, parameters)
    while True:
        release()
        optuna.storages.fail_stale_trials(study)
        begun = places(study)
        verdict = judge_study(begun, parameters)
        runs_elsewhere = any(each.state == "running" for each in begun)
        if (verdict.is_complete or verdict.gives_up) and not runs_elsewhere:
            remove_dead(place.workers)
            return verdict
        if has_work(study, parameters):
            employ(place, release)
            retry_lost(study, parameters)
        else:
            time.sleep(_POLL_SECONDS)
            retry_lost(study, parameters)  # of another machine that has given up


def _await_dying(study: optuna.Study, parameters: StudyParameters, workers: Path) -> None:
    """Let processes of an earlier run end, which die with what began them, and give up their trials."""
    until = time.monotonic() + parameters.heartbeat_grace_seconds
    while living_workers(workers) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    release_dead(study, parameters, workers)


def _remember(study: optuna.Study, parameters: StudyParameters, place: StudyPlace, subject: str) -> None:
    """Note what the study is about and, once, what it begins with."""
    if SUBJECT in study.user_attrs:
        return
    if parameters.warm_start_trials:
        study.set_user_attr(WARM_START, _earlier_choices(study, parameters, place, subject))
    study.set_user_attr(SUBJECT, subject)


def _earlier_choices(
    study: optuna.Study, parameters: StudyParameters, place: StudyPlace, subject: str
) -> list[dict[str, Any]]:
    """The best choices of the latest earlier study of the same subject that this space holds."""
    storage = open_storage(parameters, place.url)
    earlier = [
        summary
        for summary in optuna.get_all_study_summaries(storage)
        if summary.user_attrs.get(SUBJECT) == subject and summary.study_name != study.study_name and summary.n_trials
    ]
    if not earlier:
        return []
    latest = max(earlier, key=lambda summary: (summary.datetime_start is not None, summary.datetime_start))
    known = places(optuna.load_study(study_name=latest.study_name, storage=storage))
    objectives = set(parameters.objectives)
    done = [each for each in known if is_success(each, parameters)]
    judged = [each for each in done if objectives <= set(each.trial.user_attrs["outcome"]["values"])]
    best = sorted(judged, key=lambda each: rank(each, parameters))
    fitting = [dict(each.trial.params) for each in best if _fits(each.trial.params, parameters)]
    return [choices for choices in fitting if choices != dict(place.defaults)][: parameters.warm_start_trials]


def _fits(choices: Mapping[str, Any], parameters: StudyParameters) -> bool:
    space = parameters.space
    return all(path in space and space[path].holds_choice(choice) for path, choice in choices.items())


def _result(verdict: Verdict, parameters: StudyParameters, fresh: int) -> StudyResult:
    chosen = verdict.counted
    trials = trial_table(chosen, parameters)
    successes = [place for place in chosen if is_success(place, parameters)]
    if not successes:
        reasons = "; ".join(dict.fromkeys(trials["failure"].drop_nulls().to_list()[:3]))
        raise TrainingError(
            f"none of {len(chosen)} trials succeeded: {reasons} -> lower the learning rates in the space or the "
            "configured one, or look at limits"
        )
    best = min(successes, key=lambda place: rank(place, parameters))
    first = parameters.objectives[0]
    value = float(best.trial.user_attrs["outcome"]["values"][first])
    said = "a loss" if first == "log_loss" else f"{first}"
    note = f"{len(chosen)} trials, the best is number {best.index} with {said} of {value:.5f}"
    if verdict.gives_up:
        note += f"; given up after {len(chosen)} of {parameters.n_trials}: {verdict.gives_up}"
    return StudyResult(
        overrides_of(best.trial.params, parameters.space),
        value,
        best.index,
        trials,
        daily_table(successes),
        curve_table(chosen, parameters),
        note,
        fresh,
    )
