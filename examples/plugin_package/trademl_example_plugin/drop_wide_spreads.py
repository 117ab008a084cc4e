"""A preprocessing step that drops snapshots whose spread is too wide to be traded."""

from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.steps import DayMaterial, Form


class DropWideSpreadsParameters(Parameters):
    """Parameters of `drop_wide_spreads`.

    Attributes:
        max_spread_bps: Widest spread that is kept, in basis points of the mid.
    """

    max_spread_bps: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DropWideSpreads:
    """Drops snapshots with a wide spread and counts them."""

    parameters: ClassVar[type[Parameters]] = DropWideSpreadsParameters
    takes: ClassVar[Form] = "snapshots"
    gives: ClassVar[Form] = "snapshots"

    def __init__(self, parameters: DropWideSpreadsParameters) -> None:
        self._limit = parameters.max_spread_bps

    def apply(self, frame: pl.DataFrame, material: DayMaterial) -> pl.DataFrame:
        """Rows within the limit; the fact `drop_wide_spreads` counts the others."""
        kept = frame.filter(pl.col("spread_bps") <= self._limit)
        material.facts["drop_wide_spreads"] = {"left_out": frame.height - kept.height}
        return kept
