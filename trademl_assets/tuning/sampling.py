"""What a trial tries, seeded by its number, and which trials are ended early."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from trademl_assets.tuning.parameters import HyperbandPruner, MedianPruner, StudyParameters
from trademl_assets.tuning.trials import number_trials


class SeededSampler(optuna.samplers.BaseSampler):
    """Fixed choices for the first trials, then TPE, in every trial with a seed of its own.

    So a trial that is begun again proposes what it proposed before, and a study does not depend on how often it was
    interrupted.

    Args:
        study: The study, for the numbers of its trials.
        parameters: The search.
        first: Choices of the first trials, by number: the configured ones, then those of an earlier study.
    """

    def __init__(self, study: optuna.Study, parameters: StudyParameters, first: Sequence[Mapping[str, Any]]) -> None:
        self._study = study
        self._parameters = parameters
        self._first = first
        self._built: tuple[int, optuna.samplers.BaseSampler] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask TPE."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask TPE, or take what is fixed."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Ask TPE, or take what is fixed."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        if self._built is None or self._built[0] != trial.number:
            index = number_trials(self._study.get_trials(deepcopy=False)).get(trial.number, self._parameters.n_trials)
            self._built = trial.number, self._build(index)
        return self._built[1]

    def _build(self, index: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            proposing = optuna.samplers.TPESampler(
                seed=self._parameters.seed + index,
                n_startup_trials=self._parameters.random_trials,
                multivariate=True,
                group=any(searched.when is not None for searched in self._parameters.space.values()),
                constant_liar=self._parameters.workers > 1,
            )
            fixed = self._first[index] if index < len(self._first) else None
            return proposing if fixed is None else optuna.samplers.PartialFixedSampler(dict(fixed), proposing)


def build_pruner(parameters: StudyParameters, most_epochs: int) -> optuna.pruners.BasePruner:
    """Build what ends hopeless trials.

    Args:
        parameters: The search.
        most_epochs: Epochs of a trial over all its windows.
    """
    stated = parameters.pruner
    if isinstance(stated, MedianPruner):
        return optuna.pruners.MedianPruner(n_startup_trials=stated.after_trials, n_warmup_steps=stated.after_epochs)
    if isinstance(stated, HyperbandPruner):
        return optuna.pruners.HyperbandPruner(
            min_resource=stated.min_epochs, max_resource=most_epochs, reduction_factor=stated.reduction_factor
        )
    return optuna.pruners.NopPruner()
