"""A month of bars as a picture."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from trademl_assets.candles.bars import CheckedBars, month_days
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds
from trademl_assets.order_book.figures import new_figure, render_png
from trademl_assets.order_book.sketches import COLUMNS, Sheet, Sketch, band_over_time, column_of_time

_WIDTH, _HEIGHT = 900, 420
HOUR = 1 / 24  # matplotlib counts days
_PRICE_PIXELS, _VOLUME_PIXELS = 96, 32
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND


def draw_bars(bars: CheckedBars, instrument: str, month: date, cadence_seconds: int) -> bytes:
    """Draw hourly price ranges with the last close, and hourly volumes; missing stretches are red, idle hours grey.

    Args:
        bars: The month.
        instrument: Its name, for the title.
        month: First day of the month.
        cadence_seconds: Length of a bar.

    Returns:
        A PNG, 900 x 420 pixels.
    """
    hours = _hours(bars.table)
    figure = new_figure(_WIDTH, _HEIGHT)
    prices, volumes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    at = hours["hour"].to_physical().to_numpy() / MICROSECONDS_PER_DAY
    prices.vlines(at, hours["low"].to_numpy(), hours["high"].to_numpy(), color="#4c78a8", linewidth=0.8)
    prices.plot(at, hours["close"].to_numpy(), color="#1f3b57", linewidth=0.7)
    idle = (hours["volume"] == 0).to_numpy()
    volumes.bar(at, hours["volume"].to_numpy(), width=HOUR, color="#8fb0d3")
    for axes in (prices, volumes):
        for first, missing in bars.gaps.iter_rows():
            begin = first.replace(tzinfo=None)
            axes.axvspan(
                begin, begin + timedelta(seconds=missing * cadence_seconds), color="#c0392b", alpha=0.25, linewidth=0
            )
        for hour in at[idle]:
            axes.axvspan(hour, hour + HOUR, color="#999999", alpha=0.3, linewidth=0)
        axes.tick_params(labelsize=8)
    first_day, last_day = month_days(month)
    prices.set_xlim(day_bounds(first_day)[0], day_bounds(last_day)[1])
    prices.xaxis_date()
    found = bars.report
    title = f"{instrument} {month:%Y-%m}: {found.bars} bars, {found.missing} missing in {found.gaps} gaps"
    prices.set_title(f"{title}, {found.idle} without a trade", fontsize=10)
    prices.set_ylabel("price, an hour a line", fontsize=8)
    volumes.set_ylabel("volume an hour", fontsize=8)
    return render_png(figure)


def sketch_bars(bars: CheckedBars, month: date) -> Sketch:
    """Draw the range of prices over the month in small, below it the volume; what is missing stays white."""
    first_day, last_day = month_days(month)
    begin, end = day_bounds(first_day)[0], day_bounds(last_day)[1]
    band = band_over_time(bars.table, pl.col("low"), pl.col("high"), begin, end)
    volumes = bars.table.select(column_of_time(begin, end).alias("column"), "volume")
    sums = np.bincount(volumes["column"].to_numpy(), volumes["volume"].to_numpy(), minlength=COLUMNS).astype(np.float64)
    sheet = Sheet()
    sheet.lines([band], ["#1f3b57"], _PRICE_PIXELS)
    sheet.bars(sums, "#8fb0d3", _VOLUME_PIXELS)
    low, high = (f"{side:.8g}" for side in (np.fmin.reduce(band[0]), np.fmax.reduce(band[1])))
    return Sketch(sheet.png(), f"{first_day} to {last_day}: price, {low} to {high}; volume")


def _hours(table: pl.DataFrame) -> pl.DataFrame:
    return table.group_by(pl.col("ts").dt.truncate("1h").alias("hour"), maintain_order=True).agg(
        pl.col("low").min(), pl.col("high").max(), pl.col("close").last(), pl.col("volume").sum()
    )
