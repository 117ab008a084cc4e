"""The models of an experiment held against each other and the volatility on the same test decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from trademl_assets.evaluation.confidence_set import confidence_set
from trademl_assets.evaluation.references import VOLATILITY_REFERENCES, baseline_losses
from trademl_assets.evaluation.superior_ability import superior_ability
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.scoring import metrics
from trademl_assets.scoring.baselines import BaselineParameters
from trademl_assets.scoring.predictions import class_columns

OWN = "model"
_SIDES = 2


class ComparisonParameters(Parameters):
    """How models and trials are compared.

    The best model is left out of the confidence set with chance `set_level`. Whether the choice among trials was luck
    is judged on `overfitting_groups` groups of days (even) from `minimum_trials` completed trials on. Of every model
    the last `kept_versions` evaluations are kept, so that it can be said what changed.
    """

    set_level: float = Field(gt=0, lt=1)
    overfitting_groups: int = Field(ge=2, le=20)
    minimum_trials: int = Field(ge=2)
    kept_versions: int = Field(ge=2)

    @field_validator("overfitting_groups")
    @classmethod
    def _even(cls, groups: int) -> int:
        if groups % _SIDES:
            raise ValueError(f"{groups} groups of days do not fall into halves -> write an even number")
        return groups


@dataclass(frozen=True)
class Comparison:
    """What the same test decisions say about several models.

    Attributes:
        set_p_values: Model -> smallest level at which it leaves the Model Confidence Set.
        members: Models in the set: those that the data cannot tell from the best.
        best: Model with the largest statistic against the reference; empty with fewer than two models.
        superior_p: Chance that the best of so many models looks as good as it does without any being better than the
            reference (Hansen's consistent p); None with fewer than two models.
        reference: The harder to beat of the forecasts that know the volatility alone; empty like `best`.
        replicates: Of the bootstrap: no p value below one over them can be told from 0.
    """

    set_p_values: Mapping[str, float]
    members: frozenset[str]
    best: str
    superior_p: float | None
    reference: str
    replicates: int


def decision_losses(
    predictions: pl.DataFrame,
    index: pl.DataFrame,
    *,
    classes: int,
    boundaries_bps: Sequence[float] | None,
    parameters: BaselineParameters,
) -> pl.DataFrame:
    """Log-losses (nats) on every test decision in time order: sample, t0, model, and the volatility references.

    Args:
        predictions: Table of `calibrate_predictions`.
        index: Sample index of the dataset; the references are fitted on its training rows.
        classes: Number of classes.
        boundaries_bps: Class edges; None where the classes are not cut by the return.
        parameters: Of the references.
    """
    rows = predictions.filter(pl.col("part") == "test").sort("t0", "sample")
    labels = rows["label"].to_numpy().astype(np.int64)
    losses = baseline_losses(rows, index, labels, classes=classes, boundaries_bps=boundaries_bps, parameters=parameters)
    references = {name: losses[name] for name in VOLATILITY_REFERENCES if name in losses}
    own = metrics.log_losses(class_columns(rows, "after"), labels)
    return rows.select("sample", "t0").with_columns(**{OWN: own}, **references)


def compare_models(
    losses: Mapping[str, pl.DataFrame], block_samples: float, level: float, *, replicates: int, seed: int
) -> Comparison:
    """Compare models on the decisions that all of them made.

    Args:
        losses: Model -> table of `decision_losses`.
        block_samples: Mean length of a bootstrap block in decisions.
        level: Chance that the best model is left out of the set.
        replicates: Of the bootstrap.
        seed: Of its blocks.

    Raises:
        EvaluationError: The models share no decision.
    """
    names = sorted(losses)
    if len(names) < _SIDES:
        return Comparison(dict.fromkeys(names, 1.0), frozenset(names), "", None, "", replicates)
    shared = losses[names[0]].rename({OWN: names[0]})
    for name in names[1:]:
        own = losses[name].select("sample", pl.col(OWN).alias(name))
        shared = shared.join(own, on="sample", how="inner", maintain_order="left")
    if shared.is_empty():
        raise EvaluationError(f"{', '.join(names)} share no test decision -> evaluate them on the same dataset")
    matrix = shared.select(names).to_numpy()
    known = [name for name in VOLATILITY_REFERENCES if name in shared.columns]
    reference = min(known, key=lambda name: float(shared[name].to_numpy().mean()))
    found = confidence_set(matrix, block_samples, level=level, replicates=replicates, seed=seed)
    gains = shared[reference].to_numpy()[:, None] - matrix
    superior = superior_ability(gains, block_samples, replicates=replicates, seed=seed)
    return Comparison(
        set_p_values=dict(zip(names, found.p_values, strict=True)),
        members=frozenset(names[number] for number in found.members),
        best=names[superior.best],
        superior_p=superior.p_value,
        reference=reference,
        replicates=replicates,
    )
