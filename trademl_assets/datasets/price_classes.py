"""Label kind `price_classes`: the log mid return over the horizon in half-open classes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.class_boundaries import SCALED, Boundaries, classify, fit_boundaries
from trademl_assets.datasets.label_kinds import LABELS, EdgeUnit, LabelKind, Outcomes
from trademl_assets.datasets.labels import forward_outcomes, horizon_sigma
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]


class PriceClassesParameters(Parameters):
    """Parameters of `price_classes`: where the classes are cut."""

    boundaries: Boundaries


@dataclass(frozen=True)
class ScaledOutcomes(Outcomes):
    """Outcomes beside the trailing sigma over the horizon, known at the decision.

    Attributes:
        sigma_bps: (n,) float64, above zero.
    """

    sigma_bps: Floats


@LABELS.register("price_classes")
class PriceClasses(LabelKind):
    """Classes of the return from the decision to the horizon's end, both mids observed."""

    parameters: ClassVar[type[Parameters]] = PriceClassesParameters

    def __init__(self, parameters: PriceClassesParameters) -> None:
        self._boundaries = parameters.boundaries

    @property
    def edge_unit(self) -> EdgeUnit:
        """Basis points; multiples of sigma where the boundaries are volatility-scaled."""
        return "sigma" if isinstance(self._boundaries, SCALED) else "return_bps"

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Returns over exactly the horizon, none across a gap."""
        found = forward_outcomes(ingredients, steps, horizon_seconds)
        if self.edge_unit == "return_bps":
            return found
        sigma = horizon_sigma(ingredients, steps, horizon_seconds)
        return ScaledOutcomes(found.return_bps, found.t1_us, found.valid, sigma)

    def fit_boundaries(self, training: Outcomes, instrument: str) -> Floats:
        """As given, or quantiles of the training returns, over sigma where scaled."""
        return fit_boundaries(_cut(training), self._boundaries, instrument)

    def classify(self, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
        """Class c where edges[c-1] <= return < edges[c], the return over sigma where scaled."""
        return classify(_cut(outcomes), boundaries)


def _cut(outcomes: Outcomes) -> Floats:
    return outcomes.return_bps / outcomes.sigma_bps if isinstance(outcomes, ScaledOutcomes) else outcomes.return_bps
