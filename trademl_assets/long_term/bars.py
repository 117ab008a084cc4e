"""Daily aggregates of candles, so that regimes can be told where there is no book."""

import numpy as np
import polars as pl

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.alignment import SECONDS_PER_DAY
from trademl_assets.grid.gaps import MISSING, OBSERVED
from trademl_assets.long_term.moments import describe_prices
from trademl_assets.sources.contract import AGGREGATE_SCHEMA, INSTANT


def aggregates_from_bars(bars: pl.DataFrame, instrument: str, bar_seconds: int) -> pl.DataFrame:
    """Aggregate the bars of one instrument day by day, by the rules of `aggregate_day`.

    A bar belongs to the UTC day in which it opens; its close is known when the next one may open, the last of a day
    at midnight. Moments are those of the log returns from one bar's close to the very next bar's; realised volatility
    takes the returns across missing bars in, too. Returns begin at the first bar of a day. Volume is the mean volume
    of the bars that there are, in the unit of the bars; a bar without trades counts with its close and no volume.
    Nothing of a day depends on bars of other days.

    Args:
        bars: `ts` (when the bar opens, UTC), `close` and `volume`, ascending in `ts`; other columns are left alone.
        instrument: Name in the rows.
        bar_seconds: Length of a bar, divides the day.

    Returns:
        A row of `AGGREGATE_SCHEMA` for each day that has a bar, ascending; `steps` counts its bars.

    Raises:
        DataQualityError: A column is missing or of another type, instants repeat, step back or lie off the bars'
            grid, a close is not positive, or a volume is negative; nulls and NaN count as such.
    """
    _require_sound(bars, instrument, bar_seconds)
    numbered = bars.select(
        "close",
        "volume",
        day=pl.col("ts").dt.date(),
        step=(pl.col("ts") - pl.col("ts").dt.truncate("1d")).dt.total_seconds() // bar_seconds,
    )
    rows = []
    for day_key, of_day in numbered.group_by("day", maintain_order=True):
        steps = of_day["step"].to_numpy()
        closes = np.full(SECONDS_PER_DAY // bar_seconds, np.nan)
        state = np.full(len(closes), MISSING, dtype=np.uint8)
        closes[steps], state[steps] = of_day["close"].to_numpy(), OBSERVED
        prices = describe_prices(closes, state, bar_seconds)
        rows.append({"day": day_key[0], "instrument": instrument, **prices, "volume": of_day["volume"].mean()})
    return pl.DataFrame(rows, schema=dict(AGGREGATE_SCHEMA))


def _require_sound(bars: pl.DataFrame, instrument: str, bar_seconds: int) -> None:
    if bar_seconds < 1 or SECONDS_PER_DAY % bar_seconds:
        raise DataQualityError(f"{instrument}: bars of {bar_seconds} s do not divide a day -> give the bars' length")
    wanted = {"ts": INSTANT, "close": pl.Float64(), "volume": pl.Float64()}
    if wrong := {name: bars.schema.get(name) for name, dtype in wanted.items() if bars.schema.get(name) != dtype}:
        raise DataQualityError(f"{instrument}: bars have {wrong}, expected {wanted} -> cast or rename the columns")
    previous = pl.col("ts").shift()
    faults = {
        "without a finite positive close": ~(pl.col("close").is_finite() & (pl.col("close") > 0)).fill_null(
            value=False
        ),
        "without a finite volume of 0 or more": ~(pl.col("volume").is_finite() & (pl.col("volume") >= 0)).fill_null(
            value=False
        ),
        "that repeat an instant or step back": (pl.col("ts") <= previous).fill_null(value=False),
        f"off the grid of {bar_seconds} s": pl.col("ts").dt.timestamp("us") % (bar_seconds * MICROSECONDS_PER_SECOND)
        != 0,
        "without an instant": pl.col("ts").is_null(),
    }
    for fault, expression in faults.items():
        found = bars.filter(expression)
        if not found.is_empty():
            raise DataQualityError(
                f"{instrument} at {found['ts'][0]}: {found.height} bars {fault} -> sort the bars, drop repetitions "
                "and bars that are none"
            )
