"""Stream kind `external_series`: what was published of a series by each instant, its age, and whether there was any."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.external import align_series

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients


class ExternalSeriesParameters(Parameters):
    """Parameters of `external_series`.

    Attributes:
        series: Name of the series in the market section.
        full_age_seconds: Seconds since publication at which the age share is one; it stays one from there.
    """

    series: str
    full_age_seconds: Annotated[int, Field(gt=0)]


@STREAMS.register("external_series")
class ExternalSeries:
    """As-of values by publication time."""

    parameters: ClassVar[type[Parameters]] = ExternalSeriesParameters

    def __init__(self, parameters: ExternalSeriesParameters) -> None:
        self._series = parameters.series
        self._full_age = parameters.full_age_seconds

    @property
    def external_series(self) -> tuple[str, ...]:
        """The one series."""
        return (self._series,)

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        """`value`, `age_share` (within 0..1), `known` (0 or 1)."""
        del instruments  # a series belongs to none
        return ("value", "age_share", "known")

    def compute(self, ingredients: "Ingredients") -> NDArray[np.float32]:
        """Value last published; before the first publication value 0, age share 1, known 0."""
        value, age, known = align_series(ingredients.external[self._series], ingredients.series.instants_us)
        share = np.minimum(age / self._full_age, 1.0)
        columns = (np.where(known, value, 0.0), np.where(known, share, 1.0), known)
        return np.stack(columns, axis=1).astype(np.float32)
