"""A study's trials as tables."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from optuna.trial import TrialState

from trademl_assets.tuning.parameters import DIRECTIONS, StudyParameters
from trademl_assets.tuning.trials import OUTCOME, Place
from trademl_assets.tuning.verdict import failure_of, is_success, loss_sign, losses_of, pareto_front

FIXED = ("index", "state", "failure", "loss", "best_so_far", "configured", "on_front")
"""Columns that are there in every study; `configured` is the trial of the configured values."""


def trial_table(chosen: Sequence[Place], parameters: StudyParameters) -> pl.DataFrame:
    """One row a trial.

    Columns: index; state (complete, pruned, failed); failure (why, null where it did not); loss (validation log-loss,
    null where there is none); best_so_far (first objective); configured; on_front (on the Pareto front); a column for
    each objective beside log_loss; and one for each searched path, null where it was not searched. A path with choices
    or options is text, so that choices of several types fit one column.
    """
    kinds = {"float": pl.Float64, "int": pl.Int64, "categorical": pl.String, "options": pl.String}
    more = [name for name in parameters.objectives if name != "log_loss"]
    schema: dict[str, Any] = dict(
        zip(FIXED, (pl.Int64, pl.String, pl.String, pl.Float64, pl.Float64, pl.Boolean, pl.Boolean), strict=True)
    )
    schema |= dict.fromkeys(more, pl.Float64) | {path: kinds[each.kind] for path, each in parameters.space.items()}
    successes = [place for place in chosen if is_success(place, parameters)]
    front = pareto_front([losses_of(place.trial, parameters) for place in successes])
    on_front = {place.index for place, is_on in zip(successes, front, strict=True) if is_on}
    best: float | None = None
    rows = []
    for place in chosen:
        values = place.trial.user_attrs.get(OUTCOME, {}).get("values", {})
        if is_success(place, parameters):
            best = _better(best, values[parameters.objectives[0]], parameters)
        row: dict[str, Any] = {
            "index": place.index,
            "state": _state(place, parameters),
            "failure": failure_of(place, parameters) or None,
            "loss": values.get("log_loss"),
            "best_so_far": best,
            "configured": place.index == 0,
            "on_front": place.index in on_front,
        }
        row |= {name: values.get(name) for name in more}
        for path, searched in parameters.space.items():
            choice = place.trial.params.get(path)
            text = searched.kind in ("categorical", "options") and path in place.trial.params
            row[path] = str(choice) if text else choice
        rows.append(row)
    return pl.DataFrame(rows, schema=schema)


def daily_table(successes: Sequence[Place]) -> pl.DataFrame:
    """Mean validation log-loss (nats) of each completed trial on each day, and over how many decisions."""
    rows = [
        (place.index, date.fromisoformat(day), loss, samples)
        for place in successes
        for day, loss, samples in place.trial.user_attrs[OUTCOME]["days"]
    ]
    schema = {"trial": pl.Int64, "day": pl.Date, "log_loss": pl.Float64, "samples": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def curve_table(chosen: Sequence[Place], parameters: StudyParameters) -> pl.DataFrame:
    """Log-loss of each trial after each epoch, counted over all its windows."""
    rows = [
        (place.index, epoch, loss * loss_sign(parameters))
        for place in chosen
        for epoch, loss in sorted(place.trial.intermediate_values.items())
    ]
    return pl.DataFrame(rows, schema={"trial": pl.Int64, "epoch": pl.Int64, "loss": pl.Float64}, orient="row")


def _state(place: Place, parameters: StudyParameters) -> str:
    if failure_of(place, parameters):
        return "failed"
    return "pruned" if place.trial.state == TrialState.PRUNED else "complete"


def _better(best: float | None, value: float, parameters: StudyParameters) -> float:
    if best is None:
        return value
    return min(best, value) if DIRECTIONS[parameters.objectives[0]] == "minimize" else max(best, value)
