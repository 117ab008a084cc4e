"""Typed parameters of a study, free of torch and of Optuna's machinery."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters, SecretReference
from trademl_assets.tuning.space import SearchRange, refuse_unsound

Objective = Literal["log_loss", "direction_log_loss", "weighted_f1", "excess_ece", "latency_ms"]
DIRECTIONS: dict[Objective, Literal["minimize", "maximize"]] = {
    "log_loss": "minimize",
    "direction_log_loss": "minimize",
    "weighted_f1": "maximize",
    "excess_ece": "minimize",
    "latency_ms": "minimize",
}
Count = Annotated[int, Field(ge=1)]


class NoPruner(Parameters):
    """Every trial is trained to its end."""

    kind: Literal["none"]


class MedianPruner(Parameters):
    """Ends a trial whose best loss so far is worse than the median of the others at the same epoch.

    Attributes:
        after_trials: Trials that are completed before any is ended.
        after_epochs: Epochs of a trial before it is ended.
    """

    kind: Literal["median"]
    after_trials: Annotated[int, Field(ge=0)]
    after_epochs: Annotated[int, Field(ge=0)]


class HyperbandPruner(Parameters):
    """Successive halving in brackets (Li et al. 2018, Hyperband), a resource being an epoch.

    Attributes:
        min_epochs: That the least patient bracket gives a trial.
        reduction_factor: Of the trials of a bracket one in so many goes on.
    """

    kind: Literal["hyperband"]
    min_epochs: Count
    reduction_factor: Annotated[int, Field(ge=2)]


class StudyLimits(Parameters):
    """When a study gives up: it then ends with the trials it has.

    Attributes:
        nats_above_prior: A trial whose log-loss lies further above that of the class prior counts as failed and is
            never the best; None allows any.
        failures_at_most: Failed trials in all: diverged (a loss that is not a number), impossible, or above the prior.
        consecutive_failures_at_most: Failed trials one after another, in the order of their numbers.
    """

    nats_above_prior: float | None
    failures_at_most: Annotated[int, Field(ge=0)]
    consecutive_failures_at_most: Annotated[int, Field(ge=0)]


class StudyParameters(Parameters):
    """One search over a model's parameters, and over the half-lives of its dataset's weights.

    The first trial runs the configured values, the next are the best of the latest earlier study of the same model
    where `warm_start_trials` asks for them; `random_trials` trials are random before TPE proposes. A trial is seeded by
    its number. Where not `enabled` the configured values are taken.

    Attributes:
        enabled: Whether anything is searched.
        n_trials: Trials of the study; a raised number continues a finished one.
        random_trials: Completed trials before TPE proposes.
        warm_start_trials: Trials that repeat the best values of the latest earlier study, if there is one.
        seed: Of the proposals.
        objectives: What is judged on validation: the first decides which trial is the best; several make a front.
            `direction_log_loss` can be compared between studies on datasets whose classes are cut differently.
        n_windows: Last folds of the dataset whose validation is averaged; None judges on the validation blocks.
        patience_epochs: Of a trial's early stopping; None takes that of the training.
        pruner: What ends hopeless trials early.
        workers: Trials at once on this machine, each in a process of its own on a device of its own.
        limits: When to give up.
        excess_replicates: Draws of a perfect model that an excess calibration error is measured against.
        space: Searched paths below `model`, `training` and `weights`, with their ranges.
        database: URL of a PostgreSQL that several machines share, as `${NAME}`; None keeps the study in a file.
        retries_at_most: How often a trial is begun again whose process was killed.
        heartbeat_seconds: Between two signs of life of a trial.
        heartbeat_grace_seconds: Without one, after which a trial of another machine counts as dead.
        database_timeout_seconds: That a lock of the file is waited for.
    """

    enabled: bool
    n_trials: Count
    random_trials: Count
    warm_start_trials: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    n_windows: Count | None
    patience_epochs: Count | None
    pruner: Annotated[NoPruner | MedianPruner | HyperbandPruner, Field(discriminator="kind")]
    workers: Count
    limits: StudyLimits
    excess_replicates: Count
    space: dict[str, SearchRange]
    database: SecretReference | None
    retries_at_most: Annotated[int, Field(ge=0)]
    heartbeat_seconds: Count
    heartbeat_grace_seconds: Count
    database_timeout_seconds: Count

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        refuse_unsound(self.space)
        if len(set(self.objectives)) != len(self.objectives):
            raise ValueError(f"objectives repeat one: {list(self.objectives)}")
        if self.pruner.kind != "none" and self.objectives not in (("log_loss",), ("weighted_f1",)):
            raise ValueError(
                f"a {self.pruner.kind} pruner compares the log-loss of epochs: write objectives: [log_loss] or "
                "[weighted_f1], or pruner: {kind: none}"
            )
        return self

    def searches_alike(self) -> "StudyParameters":
        """Return the parameters with everything set alike that does not decide what a trial is."""
        same = {"enabled": True, "n_trials": 1, "workers": 1, "database": None, "retries_at_most": 0}
        same |= {"heartbeat_seconds": 1, "heartbeat_grace_seconds": 1, "database_timeout_seconds": 1}
        limits = StudyLimits(nats_above_prior=None, failures_at_most=0, consecutive_failures_at_most=0)
        return self.model_copy(update={**same, "limits": limits})
