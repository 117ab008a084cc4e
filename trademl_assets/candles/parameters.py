"""Parameters of candles: their cadence, how long a close stands for a missing bar, and what a good month is."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters

SECONDS_PER_DAY = 86_400

Share = Annotated[float, Field(ge=0, le=1)]


class BarQualityParameters(Parameters):
    """Limits beyond which a month of one instrument is refused, and thresholds of what is only flagged.

    Attributes:
        max_invalid_share: Greatest share of bars dropped for impossible numbers, a body outside low and high, an
            opening off the cadence, or as an exact repetition.
        max_out_of_order_share: Greatest share of bars that came after a later one.
        min_coverage_share: Least share of the month's bars that there are; 0 lets an empty month stand.
        outlier_robust_z: Closes whose return from the bar before lies further out than this many robust standard
            deviations are flagged.
    """

    max_invalid_share: Share
    max_out_of_order_share: Share
    min_coverage_share: Share
    outlier_robust_z: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CandleParameters(Parameters):
    """Candles of a deployment.

    Attributes:
        cadence_seconds: Length of a bar, divides a day.
        max_gap_seconds: Up to this age of the last close a step without a bar counts as filled, beyond it as missing.
        quality: What a good month is.
    """

    cadence_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)]
    max_gap_seconds: Annotated[int, Field(ge=1)]
    quality: BarQualityParameters

    @model_validator(mode="after")
    def _cadence_divides_a_day(self) -> Self:
        if SECONDS_PER_DAY % self.cadence_seconds:
            raise ValueError(f"cadence_seconds {self.cadence_seconds} does not divide a day (86400)")
        return self
