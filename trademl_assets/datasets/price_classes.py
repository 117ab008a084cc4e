"""Label kind `price_classes`: the log mid return over the horizon in half-open classes."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.datasets.label_kinds import LABELS, Outcomes
from trademl_assets.datasets.labels import forward_outcomes
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]


class FixedBoundaries(Parameters):
    """Class edges given in basis points of the log mid return, strictly increasing; C - 1 edges make C classes."""

    kind: Literal["fixed"]
    edges_bps: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _edges_increase(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges_bps)):
            raise ValueError(f"edges_bps must increase strictly, found {list(self.edges_bps)}")
        return self


class QuantileBoundaries(Parameters):
    """Equal-probability class edges, fitted on the training samples of the decision stride."""

    kind: Literal["quantile"]
    classes: int = Field(ge=2)


Boundaries = Annotated[FixedBoundaries | QuantileBoundaries, Field(discriminator="kind")]


class PriceClassesParameters(Parameters):
    """Parameters of `price_classes`: where the classes are cut."""

    boundaries: Boundaries


@LABELS.register("price_classes")
class PriceClasses:
    """Classes of the return from the decision to the horizon's end, both mids observed."""

    parameters: ClassVar[type[Parameters]] = PriceClassesParameters

    def __init__(self, parameters: PriceClassesParameters) -> None:
        self._boundaries = parameters.boundaries

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64]) -> Outcomes:
        """Returns over exactly the horizon."""
        return forward_outcomes(ingredients, steps)

    def fit_boundaries(self, training: Outcomes) -> Floats:
        """As given, or quantiles of the training returns."""
        return fit_boundaries(training.return_bps, self._boundaries)

    def classify(self, outcomes: Outcomes, boundaries_bps: Floats) -> NDArray[np.int8]:
        """Class c where edges[c-1] <= return < edges[c]."""
        return classify(outcomes.return_bps, boundaries_bps)


def fit_boundaries(training_returns_bps: Floats, boundaries: FixedBoundaries | QuantileBoundaries) -> Floats:
    """(C - 1,) class edges in bps: as given, or equal-probability quantiles of the training returns.

    Raises:
        DataQualityError: quantiles coincide, because too many training returns are equal.
    """
    if isinstance(boundaries, FixedBoundaries):
        return np.asarray(boundaries.edges_bps, dtype=np.float64)
    levels = np.arange(1, boundaries.classes) / boundaries.classes
    if len(training_returns_bps) < boundaries.classes:
        raise DataQualityError(
            f"{len(training_returns_bps)} training labels cannot set {boundaries.classes} quantile classes; "
            "lengthen the train block or give fixed edges"
        )
    edges = np.quantile(training_returns_bps, levels)
    if np.any(np.diff(edges) <= 0):
        raise DataQualityError(
            f"quantile edges coincide ({[round(float(edge), 4) for edge in edges]} bps): too many training returns are "
            "equal; use fewer classes, a longer horizon, or fixed edges"
        )
    return np.asarray(edges)


def classify(returns_bps: Floats, edges_bps: Floats) -> NDArray[np.int8]:
    """(n,) int8 classes: c where edges[c-1] <= return < edges[c], so that an edge belongs to the class above it."""
    return np.searchsorted(edges_bps, returns_bps, side="right").astype(np.int8)
