"""A day of one instrument as a picture, as tall rows and as compressed snapshots."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.order_book.figures import new_figure, render_png
from trademl_assets.order_book.ordering import instants_us

_COLUMNS = 240
_HOURS = 24


def draw_raw_day(rows: pl.DataFrame, instrument_name: str, day: date) -> bytes:
    """Draw what a source handed out: the mid above, how many levels each side has below.

    Args:
        rows: Rows of `TALL_SCHEMA`; those of the lead-in are left out.
        instrument_name: Name for the title.
        day: The UTC day.

    Returns:
        A PNG of about 500 x 300 pixels.
    """
    instants = (
        rows.lazy()
        .filter(pl.col("ts") >= day_start(day))
        .group_by("ts")
        .agg(
            mid=((pl.col("bid_price") + pl.col("ask_price")) / 2).filter(pl.col("level") == 0).first(),
            bid=pl.col("bid_price").count(),
            ask=pl.col("ask_price").count(),
        )
        .sort("ts")
        .collect()
    )
    hours = (instants_us(instants) - to_microseconds(day_start(day))) / (3_600 * MICROSECONDS_PER_SECOND)
    figure = new_figure(500, 300)
    price, depth = figure.subplots(2, 1, sharex=True)
    price.plot(hours, instants["mid"].to_numpy(), linewidth=0.7)
    depth.plot(hours, instants["bid"].to_numpy(), linewidth=0.7, label="bids")
    depth.plot(hours, instants["ask"].to_numpy(), linewidth=0.7, label="asks")
    price.set_title(f"{instrument_name} {day.isoformat()}: {instants.height} instants as delivered", fontsize=9)
    price.set_ylabel("mid", fontsize=8)
    depth.set_ylabel("levels", fontsize=8)
    depth.set_xlabel("hour (UTC)", fontsize=8)
    depth.set_xlim(0, _HOURS)
    depth.legend(fontsize=7)
    for axes in (price, depth):
        axes.tick_params(labelsize=7)
    return render_png(figure)


def draw_day_heatmap(snapshots: pl.DataFrame, instrument_name: str, day: date) -> bytes:
    """Draw the quantity of every slot over the day: asks above, bids below, the best levels in the middle.

    Args:
        snapshots: Rows of `snapshot_schema`; those of the lead-in are left out.
        instrument_name: Name for the title.
        day: The UTC day.

    Returns:
        A PNG of about 500 x 300 pixels: mean log10 quantity per slot and six minutes, white where nothing is known.
    """
    figure = new_figure(500, 300)
    axes = figure.add_subplot()
    axes.set_title(f"{instrument_name} {day.isoformat()}: quantity by slot", fontsize=9)
    axes.set_xlabel("hour (UTC)", fontsize=8)
    axes.set_ylabel("bid slots | ask slots", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_xlim(0, _HOURS)
    today = snapshots.filter(pl.col("ts") >= day_start(day))
    if today.is_empty():
        axes.text(_HOURS / 2, 0, "no snapshots", ha="center", va="center")
        axes.set_ylim(-1, 1)
        return render_png(figure)
    seconds = (instants_us(today) - to_microseconds(day_start(day))) / MICROSECONDS_PER_SECOND
    columns = (seconds * _COLUMNS // (_HOURS * 3_600)).astype(np.int64)
    bid = _mean_log_quantity(today["bid_quantity"], columns)
    ask = _mean_log_quantity(today["ask_quantity"], columns)
    slots = bid.shape[1]
    image = axes.imshow(
        np.concatenate([bid[:, ::-1], ask], axis=1).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, _HOURS, -slots, slots),
        cmap="viridis",
    )
    axes.axhline(0, color="white", linewidth=0.6)
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("log10 quantity", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return render_png(figure)


def _mean_log_quantity(quantity: pl.Series, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean log10 of the positive quantities of each picture column, shape (columns, slots), NaN where there is none."""
    values = quantity.to_numpy()
    positive = values > 0
    logs = np.log10(values, out=np.zeros(values.shape, np.float32), where=positive)
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    sums = np.add.reduceat(logs, starts, axis=0, dtype=np.float64)
    counts = np.add.reduceat(positive, starts, axis=0, dtype=np.float64)
    means = np.full((_COLUMNS, values.shape[1]), np.nan)
    means[columns[starts]] = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means
