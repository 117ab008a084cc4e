"""A label kind with two classes: whether the return over the horizon reaches a threshold."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import LabelKind, Outcomes
from trademl_assets.datasets.labels import forward_outcomes
from trademl_assets.foundation.parameters import Parameters


class SignOfReturnParameters(Parameters):
    """Parameters of `sign_of_return`.

    Attributes:
        threshold_bps: Least return of class 1, in basis points.
    """

    threshold_bps: Annotated[float, Field(allow_inf_nan=False)]


class SignOfReturn(LabelKind):
    """Class 1 where the log mid return over exactly the horizon is at least the threshold, else class 0."""

    parameters: ClassVar[type[Parameters]] = SignOfReturnParameters

    def __init__(self, parameters: SignOfReturnParameters) -> None:
        self._threshold = parameters.threshold_bps

    def outcomes(self, ingredients: Ingredients, steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Returns over exactly the horizon, both mids observed."""
        return forward_outcomes(ingredients, steps, horizon_seconds)

    def fit_boundaries(self, training: Outcomes, instrument: str) -> NDArray[np.float64]:
        """The one edge, which needs no fitting."""
        del training, instrument
        return np.asarray([self._threshold])

    def classify(self, outcomes: Outcomes, boundaries: NDArray[np.float64]) -> NDArray[np.int8]:
        """Classes 0 and 1."""
        return np.asarray(outcomes.return_bps >= boundaries[0], dtype=np.int8)
