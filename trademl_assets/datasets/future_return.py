"""Label kind `future_return`: the log mid return over the horizon itself, with classes only where edges are given."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.class_boundaries import Edges, classify
from trademl_assets.datasets.label_kinds import LABELS, EdgeUnit, LabelKind, Outcomes, interval_names
from trademl_assets.datasets.labels import forward_outcomes
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]


class FutureReturnParameters(Parameters):
    """Parameters of `future_return`: edges of its classes in bps; null: there are none, `label` is null."""

    edges_bps: Edges | None


@LABELS.register("future_return")
class FutureReturn(LabelKind):
    """The return from the decision to the horizon's end, both mids observed; column `return_bps` of the index."""

    parameters: ClassVar[type[Parameters]] = FutureReturnParameters

    def __init__(self, parameters: FutureReturnParameters) -> None:
        self._edges = parameters.edges_bps

    @property
    def edge_unit(self) -> EdgeUnit:
        """Basis points where edges are given."""
        return "none" if self._edges is None else "return_bps"

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Returns over exactly the horizon, none across a gap."""
        return forward_outcomes(ingredients, steps, horizon_seconds)

    def fit_boundaries(self, training: Outcomes, instrument: str) -> Floats:
        """As given."""
        del training, instrument
        return np.asarray(self._edges or (), dtype=np.float64)

    def class_names(self, boundaries: Floats) -> tuple[str, ...]:
        """The intervals between the edges, if any."""
        return interval_names(boundaries) if len(boundaries) else ()

    def classify(self, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
        """Class c where edges[c-1] <= return < edges[c]."""
        return classify(outcomes.return_bps, boundaries)
