"""A stream kind: how long each instrument has not been observed."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.gaps import OBSERVED

MICROSECONDS_PER_MINUTE = 60_000_000


class MinutesOfSilenceParameters(Parameters):
    """Parameters of `minutes_of_silence`.

    Attributes:
        at_most: Longest silence that is told, in minutes.
    """

    at_most: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MinutesOfSilence:
    """Minutes since the last step at which an instrument was observed, a column an instrument."""

    parameters: ClassVar[type[Parameters]] = MinutesOfSilenceParameters
    external_series: tuple[str, ...] = ()

    def __init__(self, parameters: MinutesOfSilenceParameters) -> None:
        self._at_most = parameters.at_most

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        """One column an instrument."""
        return tuple(f"{instrument}:minutes_of_silence" for instrument in instruments)

    def compute(self, ingredients: Ingredients) -> NDArray[np.float32]:
        """(T, instruments) float32; `at_most` before an instrument is first observed."""
        series = ingredients.series
        steps = np.arange(series.steps)[:, None]
        last = np.maximum.accumulate(np.where(series.state == OBSERVED, steps, -1), axis=0)
        since = (series.instants_us[:, None] - series.instants_us[last]) / MICROSECONDS_PER_MINUTE
        return np.where(last >= 0, np.minimum(since, self._at_most), self._at_most).astype(np.float32)
