"""The market regime of a day, read from the aggregates of that day and of days before it.

Any rows of `AGGREGATE_SCHEMA` serve: those of the grid, of a source, or of candles.
"""

from datetime import date, timedelta
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters

BULL, BEAR, SIDEWAYS, HIGH_VOLATILITY, UNKNOWN = REGIMES = ("bull", "bear", "sideways", "high_volatility", "unknown")

REGIME_SCHEMA: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "regime": pl.String(),
    "trend": pl.Float64(),
    "volatility_rank": pl.Float64(),
}
"""One row a day; trend and rank are null while the regime is unknown."""


class RegimeParameters(Parameters):
    """How regimes are told apart.

    Attributes:
        reference_instrument: Instrument whose aggregates decide.
        window_days: Calendar days looked at, the day itself included.
        min_days: Days with aggregates needed within the window; fewer leave the regime unknown.
        trend_threshold: Least trend of a bull or bear market, in sigma of the window.
        high_volatility_quantile: Volatility rank from which a day is one of high volatility.
    """

    reference_instrument: str
    window_days: Annotated[int, Field(ge=3)]
    min_days: Annotated[int, Field(ge=3)]
    trend_threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    high_volatility_quantile: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _window_holds_minimum(self) -> Self:
        if self.min_days > self.window_days:
            raise ValueError(f"min_days {self.min_days} exceeds window_days {self.window_days}")
        return self


def classify_regime(aggregates: pl.DataFrame, day: date, parameters: RegimeParameters) -> pl.DataFrame:
    """Name the regime of a day from trailing days alone; rows after the day are not looked at.

    Over the window's days that have a close and a volatility: the volatility rank of the day is the share of the
    other days with lower volatility (equal ones count half). The trend is the log return from the first close to the
    last, divided by the realised volatility of the days between, sqrt(sum of volatility_bps squared), a day without
    aggregates counted with the mean of the others: about standard normal on a random walk. A rank at or above the
    quantile is `high_volatility`, whatever the trend; else a trend at or beyond the threshold is `bull` or `bear`;
    else `sideways`. `unknown` while the day itself or too many of the window's days have no aggregates.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`, any order; other instruments may be among them.
        day: The UTC day.
        parameters: The rule's numbers.

    Returns:
        One row of `REGIME_SCHEMA`.

    Raises:
        DataQualityError: A day of the reference instrument has several rows.
    """
    window = (
        aggregates.filter(
            pl.col("instrument") == parameters.reference_instrument,
            pl.col("day") > day - timedelta(days=parameters.window_days),
            pl.col("day") <= day,
        )
        .drop_nulls(["close", "volatility_bps"])
        .sort("day")
    )
    repeated = window.filter(pl.col("day").is_duplicated())
    if not repeated.is_empty():
        raise DataQualityError(
            f"{parameters.reference_instrument} {repeated['day'][0]}: {repeated.height} aggregate rows of one day -> "
            "materialise daily_aggregates again"
        )
    regime, trend, rank = UNKNOWN, None, None
    if window.height >= parameters.min_days and window["day"][-1] == day:
        trend = _trend(window)
        rank = _volatility_rank(window)
        regime = _name(trend, rank, parameters)
    row = {"day": [day], "regime": [regime], "trend": [trend], "volatility_rank": [rank]}
    return pl.DataFrame(row, schema=REGIME_SCHEMA)


def _trend(window: pl.DataFrame) -> float:
    close, volatility = window["close"].to_numpy(), window["volatility_bps"].to_numpy()[1:]
    days = (window["day"][-1] - window["day"][0]).days
    sigma = float(np.sqrt(np.square(volatility).sum() * (days / len(volatility))))
    change = float(np.log(close[-1] / close[0])) * 10_000.0
    return change / sigma if sigma > 0 else 0.0


def _volatility_rank(window: pl.DataFrame) -> float:
    *others, latest = window["volatility_bps"].to_list()
    below = sum(value < latest for value in others) + 0.5 * sum(value == latest for value in others)
    return float(below / len(others))


def _name(trend: float, rank: float, parameters: RegimeParameters) -> str:
    if rank >= parameters.high_volatility_quantile:
        return HIGH_VOLATILITY
    if abs(trend) < parameters.trend_threshold:
        return SIDEWAYS
    return BULL if trend > 0 else BEAR
