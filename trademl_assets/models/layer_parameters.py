"""Typed parameters that layers of all families share, free of torch."""

from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.parameters import Parameters

Activation = Literal[
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "hardswish",
    "softplus",
    "softsign",
    "sigmoid",
    "tanh",
]
Width = Annotated[int, Field(ge=1)]
DropoutShare = Annotated[float, Field(ge=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WeightPattern = Annotated[str, Field(min_length=1)]
"""A shell pattern of names of weight matrices, such as `encoder.*` or `history.lstm.weight_hh_l0`."""


class InitialiserRule(Parameters):
    """What weight matrices begin with; biases stay as the layers make them.

    Attributes:
        weights: Which matrices.
        kind: `xavier_*` (Glorot and Bengio 2010), `he_*` (He et al. 2015, for rectifiers), `lecun_normal` (standard
            deviation 1 / root of the inputs), `orthogonal` (Saxe et al. 2014), `normal` and `uniform` (of standard
            deviation, or in the interval of +-, one), `zeros`. The gates of a recurrent layer begin each by itself.
        gain: Factor of what is drawn.
    """

    weights: WeightPattern
    kind: Literal[
        "xavier_uniform",
        "xavier_normal",
        "he_uniform",
        "he_normal",
        "lecun_normal",
        "orthogonal",
        "normal",
        "uniform",
        "zeros",
    ]
    gain: Positive


class MaxNorm(Parameters):
    """The weights into a unit are shortened to a length where they are longer (Srivastava et al. 2014)."""

    kind: Literal["max"]
    limit: Positive


class UnitNorm(Parameters):
    """The weights into a unit have length one."""

    kind: Literal["unit"]


class RegularisationRule(Parameters):
    """What is asked of weight matrices beside the loss.

    Attributes:
        weights: Which matrices.
        l1: Factor of the sum of their absolute values, added to the loss.
        l2: Factor of the sum of their squares, added to the loss (the decay of the optimiser is another thing).
        norm: Of the weights into each unit, after every step of optimisation; null for none.
    """

    weights: WeightPattern
    l1: NotNegative
    l2: NotNegative
    norm: Annotated[MaxNorm | UnitNorm, Field(discriminator="kind")] | None
