"""Where classes of the return are cut: given, by instrument, at quantiles, or in multiples of the trailing sigma."""

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets.foundation.parameters import Parameters

Floats = NDArray[np.float64]


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"edges must increase strictly, found {list(edges)}")
    return edges


Edges = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1), AfterValidator(_increasing)
]


class FixedBoundaries(Parameters):
    """Class edges given in basis points of the log mid return, strictly increasing; C - 1 edges make C classes."""

    kind: Literal["fixed"]
    edges_bps: Edges


class InstrumentBoundaries(Parameters):
    """Class edges given in basis points of the log mid return for each instrument, as many for all."""

    kind: Literal["by_instrument"]
    edges_bps: dict[str, Edges] = Field(min_length=1)

    @model_validator(mode="after")
    def _make_as_many_classes(self) -> Self:
        counts = {name: len(edges) for name, edges in self.edges_bps.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"instruments must have as many edges each, found {counts}")
        return self


class QuantileBoundaries(Parameters):
    """Equal-probability class edges, fitted on the training samples of the decision stride."""

    kind: Literal["quantile"]
    classes: int = Field(ge=2)


class VolatilityScaledBoundaries(Parameters):
    """Class edges in multiples of the trailing sigma over the horizon, which each decision has of its own."""

    kind: Literal["volatility_scaled"]
    multiples: Edges


class VolatilityScaledQuantileBoundaries(Parameters):
    """Equal-probability edges of the return over its trailing sigma, fitted like `quantile`."""

    kind: Literal["volatility_scaled_quantile"]
    classes: int = Field(ge=2)


Boundaries = Annotated[
    FixedBoundaries
    | InstrumentBoundaries
    | QuantileBoundaries
    | VolatilityScaledBoundaries
    | VolatilityScaledQuantileBoundaries,
    Field(discriminator="kind"),
]
SCALED = (VolatilityScaledBoundaries, VolatilityScaledQuantileBoundaries)


def fit_boundaries(training: Floats, boundaries: Boundaries, instrument: str) -> Floats:
    """(C - 1,) class edges in the unit of what they cut: as given, or equal-probability quantiles.

    Args:
        training: (n,) training returns in bps, or of volatility-scaled boundaries these over their sigma.
        boundaries: how the classes are cut.
        instrument: the labelled instrument.

    Raises:
        ConfigError: no edges are given for the instrument.
        DataQualityError: quantiles coincide, because too many training returns are equal.
    """
    match boundaries:
        case FixedBoundaries():
            return np.asarray(boundaries.edges_bps, dtype=np.float64)
        case VolatilityScaledBoundaries():
            return np.asarray(boundaries.multiples, dtype=np.float64)
        case InstrumentBoundaries():
            if instrument not in boundaries.edges_bps:
                raise ConfigError(
                    f"labels.parameters.boundaries.edges_bps has {sorted(boundaries.edges_bps)}, not {instrument!r} -> "
                    "give its edges"
                )
            return np.asarray(boundaries.edges_bps[instrument], dtype=np.float64)
        case _:
            return quantile_edges(training, boundaries.classes)


def quantile_edges(training: Floats, classes: int) -> Floats:
    """(classes - 1,) equal-probability quantiles.

    Raises:
        DataQualityError: quantiles coincide, or there are fewer values than classes.
    """
    levels = np.arange(1, classes) / classes
    if len(training) < classes:
        raise DataQualityError(
            f"{len(training)} training labels cannot set {classes} quantile classes; "
            "lengthen the train block or give fixed edges"
        )
    edges = np.quantile(training, levels)
    if np.any(np.diff(edges) <= 0):
        raise DataQualityError(
            f"quantile edges coincide ({[round(float(edge), 4) for edge in edges]}): too many training returns are "
            "equal; use fewer classes, a longer horizon, or fixed edges"
        )
    return np.asarray(edges)


def classify(values: Floats, edges: Floats) -> NDArray[np.int8]:
    """(n,) int8 classes: c where edges[c-1] <= value < edges[c], so that an edge belongs to the class above it."""
    return np.searchsorted(edges, values, side="right").astype(np.int8)
