"""Typed parameters that layers of all families share, free of torch."""

from typing import Annotated, Literal

from pydantic import Field

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
