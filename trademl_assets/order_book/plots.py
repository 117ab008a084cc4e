"""A day of one instrument as a picture, as tall rows and as compressed snapshots."""

from datetime import date

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, day_start, to_microseconds
from trademl_assets.order_book.figures import new_figure, render_png
from trademl_assets.order_book.ordering import instants_us
from trademl_assets.order_book.sketches import Sheet, Sketch, band_over_time, column_of_time

_COLUMNS = 240
_MINUTES = 24 * 60
_MOST_MARKS = 9
_MINUTES_BETWEEN_MARKS = (1, 2, 5, 10, 15, 30, 60, 120, 180)
_TICKS_A_SIDE = 4
_MID, _ROWS = "#1f77b4", "#8fb0d3"
_PRICE_PIXELS, _ROWS_PIXELS, _SLOT_PIXELS = 96, 32, 2


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
    minutes = _minutes(instants, day)
    figure = new_figure(500, 300)
    price, depth = figure.subplots(2, 1, sharex=True)
    price.plot(minutes, instants["mid"].to_numpy(), linewidth=0.7)
    depth.plot(minutes, instants["bid"].to_numpy(), linewidth=0.7, label="bids")
    depth.plot(minutes, instants["ask"].to_numpy(), linewidth=0.7, linestyle="--", label="asks")
    price.set_title(f"{instrument_name} {day.isoformat()}: {instants.height} instants as delivered", fontsize=9)
    price.set_ylabel("mid", fontsize=8)
    depth.set_ylabel("levels", fontsize=8)
    _mark_times(depth, *_minutes_shown(minutes))
    depth.legend(fontsize=7)
    for axes in (price, depth):
        axes.tick_params(labelsize=7)
    return render_png(figure)


def draw_day_heatmap(snapshots: pl.DataFrame, instrument_name: str, day: date) -> bytes:
    """Draw the quantity of every slot over the day: asks above, bids below, the best levels in the middle.

    Time before the first snapshot and after the last is left out; the marks of the vertical axis tell how
    far from the mid a slot lies, in the middle of the day's distances.

    Args:
        snapshots: Rows of `snapshot_schema`; those of the lead-in are left out.
        instrument_name: Name for the title.
        day: The UTC day.

    Returns:
        A PNG of about 500 x 300 pixels: mean log10 quantity per slot and 1/240 of the time shown, white where there is
        none.
    """
    figure = new_figure(500, 300)
    axes = figure.add_subplot()
    axes.set_title(f"{instrument_name} {day.isoformat()}: quantity by slot", fontsize=9)
    axes.set_ylabel("bids | asks, by slot", fontsize=8)
    axes.tick_params(labelsize=7)
    today = snapshots.filter(pl.col("ts") >= day_start(day))
    minutes = _minutes(today, day)
    first, last = _minutes_shown(minutes)
    _mark_times(axes, first, last)
    if today.is_empty():
        axes.text(_MINUTES / 2, 0, "no snapshots", ha="center", va="center")
        axes.set_ylim(-1, 1)
        axes.set_yticks([])
        return render_png(figure)
    columns = ((minutes - first) * _COLUMNS // (last - first)).astype(np.int64)
    bid = _mean_log_quantity(today["bid_quantity"], columns)
    ask = _mean_log_quantity(today["ask_quantity"], columns)
    slots = bid.shape[1]
    image = axes.imshow(
        np.concatenate([bid[:, ::-1], ask], axis=1).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(first, last, -slots, slots),
        cmap="viridis",
    )
    axes.axhline(0, color="white", linewidth=0.6)
    axes.set_yticks(*_slot_marks(today))
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("mean log10 of quantity", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return render_png(figure)


def sketch_raw_day(rows: pl.DataFrame, day: date) -> Sketch:
    """Draw what a source handed out in small: the mid above, how many rows came below.

    Args:
        rows: Rows of `TALL_SCHEMA`; those of the lead-in are left out.
        day: The UTC day, which is the picture's width.
    """
    begin, end = day_bounds(day)
    mid = (pl.col("bid_price") + pl.col("ask_price")) / 2
    band = band_over_time(rows.filter(pl.col("level") == 0), mid, mid, begin, end)
    columns = rows.select(column_of_time(begin, end))["ts"].to_numpy()
    counts = np.bincount(columns[columns >= 0], minlength=_COLUMNS).astype(np.float64)
    sheet = Sheet()
    sheet.lines([band], [_MID], _PRICE_PIXELS)
    sheet.bars(counts, _ROWS, _ROWS_PIXELS)
    low, high = (f"{side:.8g}" for side in (np.fmin.reduce(band[0]), np.fmax.reduce(band[1])))
    return Sketch(
        sheet.png(), f"00:00 to 24:00 UTC: mid, {low} to {high}; rows, at most {counts.max():.0f} in 6 minutes"
    )


def sketch_day_heatmap(snapshots: pl.DataFrame, day: date) -> Sketch:
    """Draw the quantity of every slot over the day in small: asks above, bids below, the best levels in the middle.

    Args:
        snapshots: Rows of `snapshot_schema`; those of the lead-in are left out.
        day: The UTC day, which is the picture's width.
    """
    today = snapshots.filter(pl.col("ts") >= day_start(day))
    sheet = Sheet()
    slots = today["bid_quantity"].to_numpy().shape[1]
    means = np.full((2, _COLUMNS, slots), np.nan)
    if not today.is_empty():
        columns = today.select(column_of_time(*day_bounds(day)))["ts"].to_numpy()
        means[:] = [_mean_log_quantity(today[side], columns) for side in ("ask_quantity", "bid_quantity")]
    sheet.heat(np.concatenate([means[0].T[::-1], means[1].T]), _SLOT_PIXELS)
    return Sketch(sheet.png(), f"00:00 to 24:00 UTC: log10 of quantity in {slots} slots of asks above, of bids below")


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


def _minutes(frame: pl.DataFrame, day: date) -> NDArray[np.float64]:
    """Minutes from midnight to each instant of a frame."""
    since: NDArray[np.float64] = (instants_us(frame) - to_microseconds(day_start(day))) / (60 * MICROSECONDS_PER_SECOND)
    return since


def _minutes_shown(minutes: NDArray[np.float64]) -> tuple[int, int]:
    """The whole minutes that the instants span; the day where there are none."""
    return (int(minutes[0]), int(minutes[-1]) + 1) if len(minutes) else (0, _MINUTES)


def _mark_times(axes: Axes, first: int, last: int) -> None:
    """Mark a horizontal axis in minutes with times of day, at as many round ones as find room."""
    apart = next((step for step in _MINUTES_BETWEEN_MARKS if last - first <= step * _MOST_MARKS), _MINUTES)
    marks = range(-(-first // apart) * apart, last + 1, apart)
    axes.set_xticks(marks, [f"{mark // 60:02}:{mark % 60:02}" for mark in marks])
    axes.set_xlim(first, last)
    axes.set_xlabel("time (UTC)", fontsize=8)


def _slot_marks(snapshots: pl.DataFrame) -> tuple[list[float], list[str]]:
    """Where the vertical axis is marked, and the slot and its median distance in bps."""
    places, texts = [0.0], ["mid"]
    for side, sign in (("bid", -1), ("ask", 1)):
        distances = snapshots[f"{side}_distance_bps"].to_numpy()
        slots = distances.shape[1]
        for slot in sorted({round(part * (slots - 1) / _TICKS_A_SIDE) for part in range(1, _TICKS_A_SIDE + 1)}):
            known = distances[:, slot][np.isfinite(distances[:, slot])]
            places.append(sign * (slot + 0.5))
            texts.append(f"{slot}: {np.median(known):.3g} bps" if len(known) else f"{slot}")
    return places, texts
