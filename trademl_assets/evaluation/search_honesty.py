"""How likely the choice of a study's best trial was luck, where there are trials and days enough to tell."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from trademl_assets.evaluation.comparison import ComparisonParameters
from trademl_assets.evaluation.confidence_set import confidence_set
from trademl_assets.evaluation.overfitting import probability_of_overfitting
from trademl_assets.evaluation.superior_ability import superior_ability

_CONFIGURED = 0
"""Trial of the configured values: the first of every study."""

_BLOCK_DAYS = 1.0
"""Mean block of the bootstrap: rows are days, which hold many horizons each."""

NO_SEARCH = "No search: there was no choice among trials"


@dataclass(frozen=True)
class SearchHonesty:
    """What the losses of a study's trials on the days of validation say about its choice.

    Attributes:
        trials: Completed trials with a loss on every day.
        days: Days of validation.
        probability: Of backtest overfitting; None where it cannot be told.
        slope: Of the chosen trial's loss on the other half on that of the half it was chosen on; None likewise.
        latency_ms: Of a forecast of the best trial; None where the study did not measure it.
        sentence: All of it in one line.
        may_be_best: Trials that their losses by the day cannot tell from the best (Model Confidence Set); None where
            it cannot be told.
        superior_p: Of the null that no trial is better than the configured values, the choice among them allowed for
            (Hansen's consistent p); None where it cannot be told, or the configured values have no whole trial.
    """

    trials: int
    days: int
    probability: float | None
    slope: float | None
    latency_ms: float | None
    sentence: str
    may_be_best: tuple[int, ...] | None = None
    superior_p: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SearchHonesty":
        """Read what `as_dict` returned, also after a way through JSON."""
        return TypeAdapter(cls).validate_python(values)


def no_search() -> SearchHonesty:
    """Return what is said where nothing was searched."""
    return SearchHonesty(0, 0, None, None, None, NO_SEARCH)


def judge_search(
    daily_losses: pl.DataFrame,
    trials: pl.DataFrame,
    best_trial: int | None,
    parameters: ComparisonParameters,
    *,
    replicates: int,
    seed: int,
) -> SearchHonesty:
    """Judge a study's choice.

    Args:
        daily_losses: trial, day, log_loss of completed trials.
        trials: Table of the study; its latency_ms is read where there is one.
        best_trial: Index of the chosen trial; None where there is none.
        parameters: Groups of days, least trials, level of the set.
        replicates: Of the bootstrap of days.
        seed: Of its blocks.
    """
    latency = None
    if best_trial is not None and "latency_ms" in trials.columns:
        latency = trials.filter(index=best_trial)["latency_ms"].to_list()[0]
    matrix = daily_losses.sort("trial").pivot("trial", index="day", values="log_loss").sort("day").drop("day")
    whole = matrix.select(
        column for column in matrix.get_columns() if column.is_finite().all() and not column.has_nulls()
    )
    count, days, groups = whole.width, whole.height, parameters.overfitting_groups
    if count < parameters.minimum_trials or days < groups:
        sentence = (
            f"Whether the choice was luck cannot be told from {count} trial(s) on {days} day(s): "
            f"{parameters.minimum_trials} and {groups} are needed"
        )
        return SearchHonesty(count, days, None, None, latency, sentence)
    found = probability_of_overfitting(whole.to_numpy(), groups)
    sentence = (
        f"Probability of overfitting {found.probability:.2f}: so often the trial that was best on one half of {days} "
        f"days was below the median of {count} trials on the other (0.50 is pure luck)"
    )
    names, losses = [int(name) for name in whole.columns], whole.to_numpy()
    drawn: dict[str, Any] = {"replicates": replicates, "seed": seed}
    kept = confidence_set(losses, _BLOCK_DAYS, level=parameters.set_level, **drawn).members
    sentence += f"; {len(kept)} of {count} trials may be the best"
    superior = None
    if _CONFIGURED in names:
        gains = losses[:, [names.index(_CONFIGURED)]] - np.delete(losses, names.index(_CONFIGURED), axis=1)
        superior = superior_ability(gains, _BLOCK_DAYS, **drawn).p_value
        sentence += f"; against the configured values, the choice allowed for: p {superior:.3f}"
    may_be_best = tuple(sorted(names[number] for number in kept))
    return SearchHonesty(
        count, days, found.probability, found.slope, latency, sentence, may_be_best=may_be_best, superior_p=superior
    )
