"""How much each searched path mattered: PED-ANOVA (Watanabe et al. 2023), on the losses of a study's trials."""

import warnings
from dataclasses import dataclass

import optuna
import polars as pl

from trademl_assets.tuning.parameters import StudyParameters

_LEAST_TRIALS = 4


@dataclass(frozen=True)
class Importance:
    """Share (0..1) that a path has in whether a trial is among the best."""

    path: str
    share: float


def importances(trials: pl.DataFrame, parameters: StudyParameters) -> tuple[Importance, ...]:
    """Return the importance of every path that was searched in all completed trials; empty with fewer than four.

    Args:
        trials: As `tables.trial_table` makes them.
        parameters: The search.
    """
    done = trials.filter((pl.col("state") == "complete") & pl.col("loss").is_finite())
    paths = [path for path in parameters.space if not done[path].null_count() and done[path].n_unique() > 1]
    if done.height < _LEAST_TRIALS or done["loss"].n_unique() == 1 or not paths:
        return ()
    distributions = {path: _distribution(done[path], parameters, path) for path in paths}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="minimize")
        for row in done.iter_rows(named=True):
            values = {path: row[path] for path in paths}
            study.add_trial(optuna.create_trial(value=row["loss"], params=values, distributions=distributions))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=paths)
    return tuple(Importance(path, float(share)) for path, share in found.items())


def _distribution(values: pl.Series, parameters: StudyParameters, path: str) -> optuna.distributions.BaseDistribution:
    searched = parameters.space[path]
    if searched.kind == "float":
        return optuna.distributions.FloatDistribution(searched.low, searched.high, log=searched.log)
    if searched.kind == "int":
        return optuna.distributions.IntDistribution(searched.low, searched.high, log=searched.log)
    return optuna.distributions.CategoricalDistribution(values.unique(maintain_order=True).to_list())
