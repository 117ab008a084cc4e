"""How far a study is: which of its trials count, whether it gives up, and which is the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from trademl_assets.tuning.parameters import DIRECTIONS, StudyParameters
from trademl_assets.tuning.trials import FAILURE, OUTCOME, Place

LOST = "its process died or was stopped"


@dataclass(frozen=True)
class Verdict:
    """How far a study is.

    Attributes:
        counted: Its places in order up to the wanted number, or to the trial at which it gave up.
        gives_up: Why it goes no further; empty where it does.
        is_complete: Whether all wanted trials are over.
    """

    counted: tuple[Place, ...]
    gives_up: str
    is_complete: bool


def judge_study(begun: Sequence[Place], parameters: StudyParameters) -> Verdict:
    """Judge what was begun, in the order of the numbers up to the first trial that is not over."""
    limits = parameters.limits
    counted: list[Place] = []
    failures = consecutive = 0
    for place in begun[: parameters.n_trials]:
        if place.state in ("running", "waiting") or (place.state == "lost" and not is_exhausted(place, parameters)):
            break
        counted.append(place)
        failed = bool(failure_of(place, parameters))
        failures += failed
        consecutive = consecutive + 1 if failed else 0
        if failures > limits.failures_at_most:
            return Verdict(tuple(counted), f"{failures} of {len(counted)} trials failed", is_complete=False)
        if consecutive > limits.consecutive_failures_at_most:
            return Verdict(tuple(counted), f"{consecutive} trials failed one after another", is_complete=False)
    return Verdict(tuple(counted), "", is_complete=len(counted) == parameters.n_trials)


def is_exhausted(place: Place, parameters: StudyParameters) -> bool:
    """Whether a lost trial was begun as often as is allowed."""
    return len(place.trial.system_attrs.get("retry_history", [])) >= parameters.retries_at_most


def failure_of(place: Place, parameters: StudyParameters) -> str:
    """Why a trial that is over counts as failed, empty where it does not."""
    if place.state == "lost":
        return LOST
    if place.trial.state == TrialState.PRUNED:
        return ""
    if FAILURE in place.trial.user_attrs:
        return str(place.trial.user_attrs[FAILURE])
    outcome, most = place.trial.user_attrs[OUTCOME], parameters.limits.nats_above_prior
    above = outcome["values"]["log_loss"] - outcome["prior_log_loss"]
    if most is not None and above > most:
        return f"its log-loss lies {above:.4f} nats above that of the class prior"
    return ""


def is_success(place: Place, parameters: StudyParameters) -> bool:
    """Whether a trial was trained to its end and may be the best."""
    is_over = place.state == "settled" and place.trial.state == TrialState.COMPLETE
    return is_over and not failure_of(place, parameters)


def rank(place: Place, parameters: StudyParameters) -> tuple[float, ...]:
    """What successful trials are sorted by, the best first."""
    return (*losses_of(place.trial, parameters), place.index)


def losses_of(trial: FrozenTrial, parameters: StudyParameters) -> tuple[float, ...]:
    """The objectives of a successful trial in their order, the less the better."""
    values: dict[str, Any] = trial.user_attrs[OUTCOME]["values"]
    return tuple(values[name] if DIRECTIONS[name] == "minimize" else -values[name] for name in parameters.objectives)


def loss_sign(parameters: StudyParameters) -> int:
    """Sign with which Optuna is told the log-loss of an epoch, so that it compares as the objective does."""
    return 1 if DIRECTIONS[parameters.objectives[0]] == "minimize" else -1


def pareto_front(losses: Sequence[tuple[float, ...]]) -> list[bool]:
    """Whether no other point is at least as good in everything and better in something."""
    return [
        all(math.isfinite(value) for value in mine)
        and not any(
            other != mine and all(theirs <= own for theirs, own in zip(other, mine, strict=True)) for other in losses
        )
        for mine in losses
    ]
