"""Weights of training samples in the loss, a product of configured parts with mean one. Held-out samples weigh one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.alignment import SECONDS_PER_DAY

Floats = NDArray[np.float64]
MICROSECONDS_PER_DAY = SECONDS_PER_DAY * MICROSECONDS_PER_SECOND
HalfLife = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ExponentialAge(Parameters):
    """exp(-age ln 2 / half-life), age counted back from the newest training sample."""

    kind: Literal["exponential_age"]
    half_life_days: HalfLife


class MultiScaleAge(Parameters):
    """Exponential ages of several half-lives, combined by their mean or by their product."""

    kind: Literal["multi_scale_age"]
    half_lives_days: tuple[HalfLife, ...] = Field(min_length=2)
    combined_by: Literal["mean", "product"]


class BalancedClasses(Parameters):
    """One over the number of training samples of the sample's class, so that all classes weigh the same together."""

    kind: Literal["balanced_classes"]


class Uniqueness(Parameters):
    """Mean uniqueness of the label among the training labels."""

    kind: Literal["uniqueness"]


WeightPart = Annotated[
    ExponentialAge | MultiScaleAge | BalancedClasses | Uniqueness,
    Field(discriminator="kind"),
]


class WeightParameters(Parameters):
    """Sample weights of the loss: the product of `parts`, divided by its mean; no parts: equal weights."""

    parts: tuple[WeightPart, ...]

    @model_validator(mode="after")
    def _parts_differ(self) -> Self:
        kinds = [part.kind for part in self.parts]
        if len(set(kinds)) != len(kinds):
            raise ValueError(f"parts repeat a kind: {kinds}")
        return self


@dataclass(frozen=True)
class TrainingLabels:
    """What the weights of n training samples are computed from.

    Attributes:
        t0_us: (n,) int64 decisions, microseconds.
        classes: (n,) int8 classes; None where the labels have none.
        uniqueness: (n,) float64 mean uniqueness among themselves.
    """

    t0_us: NDArray[np.int64]
    classes: NDArray[np.int8] | None
    uniqueness: Floats


def training_weights(labels: TrainingLabels, parts: Sequence[WeightPart]) -> Floats:
    """(n,) float64 weights of training samples, mean one.

    Raises:
        ConfigError: Labels without classes shall be balanced.
    """
    product = np.ones(len(labels.t0_us))
    for part in parts:
        product *= _weights_of(part, labels)
    return product / product.mean() if len(product) else product


def _weights_of(part: WeightPart, labels: TrainingLabels) -> Floats:
    match part:
        case ExponentialAge():
            return _aged(labels.t0_us, part.half_life_days)
        case MultiScaleAge():
            scales = np.stack([_aged(labels.t0_us, half_life) for half_life in part.half_lives_days])
            return np.asarray(scales.mean(axis=0) if part.combined_by == "mean" else scales.prod(axis=0))
        case BalancedClasses():
            if labels.classes is None:
                raise ConfigError("weights: balanced_classes needs labels with classes -> leave the part out")
            return np.asarray(1.0 / np.bincount(labels.classes)[labels.classes])
        case Uniqueness():
            return labels.uniqueness


def _aged(t0_us: NDArray[np.int64], half_life_days: float) -> Floats:
    age_days = (t0_us.max() - t0_us) / MICROSECONDS_PER_DAY
    return np.asarray(np.exp2(-age_days / half_life_days))
