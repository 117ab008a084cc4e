"""Daily aggregates and market regimes as pictures."""

import numpy as np
import polars as pl
from matplotlib.dates import date2num
from matplotlib.patches import Patch

from trademl_assets.long_term.regimes import BEAR, BULL, HIGH_VOLATILITY, SIDEWAYS, UNKNOWN
from trademl_assets.order_book.figures import new_figure, render_png
from trademl_assets.order_book.sketches import Sheet, Sketch, starts_of_columns

_REGIME_COLORS = {
    BULL: "#b2d8c6",
    BEAR: "#efb5ae",
    SIDEWAYS: "#e4e7e9",
    HIGH_VOLATILITY: "#b79ad0",
    UNKNOWN: "#ffffff",
}
_HALF_A_DAY = 0.5
_DAYS_WITH_MARKERS = 60
"""Up to here the days are marked one by one."""
_LINE_PIXELS, _STRIP_PIXELS = 64, 16


def draw_aggregates(aggregates: pl.DataFrame) -> bytes:
    """Draw volatility and volume of every instrument over days.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`, any days and instruments.

    Returns:
        A PNG of about 500 x 320 pixels.
    """
    figure = new_figure(500, 320)
    above, below = figure.subplots(2, 1, sharex=True)
    marker = "." if aggregates["day"].n_unique() <= _DAYS_WITH_MARKERS else ""
    for (name,), rows in aggregates.sort("instrument", "day").group_by("instrument", maintain_order=True):
        daily = rows.select("day", "volatility_bps", "volume").upsample("day", every="1d")
        days = daily["day"].to_numpy()
        above.plot(
            days, daily["volatility_bps"].to_numpy(), linewidth=0.9, marker=marker, markersize=3, label=str(name)
        )
        below.plot(days, daily["volume"].to_numpy(), linewidth=0.9, marker=marker, markersize=3)
    above.set_title("daily aggregates", fontsize=9)
    above.set_ylabel("volatility, bps", fontsize=8)
    below.set_ylabel("volume / reference", fontsize=8)
    if not aggregates.is_empty():
        above.legend(fontsize=7, loc="upper left")
    for axes in (above, below):
        axes.tick_params(labelsize=7)
    below.tick_params(axis="x", labelrotation=20)
    return render_png(figure)


def sketch_aggregates(aggregates: pl.DataFrame) -> Sketch:
    """Draw volatility and volume of every instrument over days in small.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`, any days and instruments, at least one row.
    """
    sheet = Sheet()
    for column in ("volatility_bps", "volume"):
        sheet.day_lines(aggregates, column, _LINE_PIXELS)
    names = ", ".join(sorted(aggregates["instrument"].unique()))
    return Sketch(sheet.png(), f"{_days(aggregates)}: volatility, volume of {names}")


def draw_regimes(aggregates: pl.DataFrame, regimes: pl.DataFrame, reference_instrument: str) -> bytes:
    """Draw the reference instrument's close over its regimes, a coloured span for each run of days of one regime.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`.
        regimes: Rows of `REGIME_SCHEMA`.
        reference_instrument: Instrument whose close is drawn.

    Returns:
        A PNG of about 500 x 320 pixels; the legend says how many days each regime holds, and the line is interrupted
        where days are missing.
    """
    figure = new_figure(500, 320)
    axes = figure.add_subplot()
    closes = aggregates.filter(pl.col("instrument") == reference_instrument).sort("day")
    if not closes.is_empty():
        closes = closes.select("day", "close").upsample("day", every="1d")
    days = closes["day"].to_numpy()
    marker = "." if closes.height <= _DAYS_WITH_MARKERS else ""
    axes.plot(days, closes["close"].to_numpy(), color="#203040", linewidth=1.0, marker=marker, markersize=3, zorder=3)
    counts = dict(regimes["regime"].value_counts().iter_rows())
    for span in spans_of_regimes(regimes).iter_rows(named=True):
        first, last = date2num((span["first"], span["last"]))  # type: ignore[no-untyped-call]  # matplotlib's dates are untyped
        axes.axvspan(first - _HALF_A_DAY, last + _HALF_A_DAY, color=_REGIME_COLORS[span["regime"]], linewidth=0)
    handles = [
        Patch(
            facecolor=color, edgecolor="#909090", linewidth=0.5, label=f"{regime.replace('_', ' ')} ({counts[regime]})"
        )
        for regime, color in _REGIME_COLORS.items()
        if regime in counts
    ]
    if handles:
        shape = {"ncols": len(handles), "columnspacing": 1.0, "handlelength": 1.2, "handletextpad": 0.5}
        figure.legend(handles=handles, fontsize=7, loc="outside lower center", frameon=False, **shape)
    axes.set_title(f"market regime, close of {reference_instrument}", fontsize=9)
    axes.set_ylabel("close", fontsize=8)
    axes.margins(x=0.01)
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", labelrotation=20)
    return render_png(figure)


def sketch_regimes(aggregates: pl.DataFrame, regimes: pl.DataFrame, reference_instrument: str) -> Sketch:
    """Draw the reference instrument's close over the days of `regimes` in small, below it their regimes.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`.
        regimes: Rows of `REGIME_SCHEMA`, at least one.
        reference_instrument: Instrument whose close is drawn.
    """
    named = regimes.sort("day").upsample("day", every="1d")
    closes = aggregates.filter(pl.col("instrument") == reference_instrument).select("day", "close")
    shown = named.select("day").join(closes, on="day", how="left", maintain_order="left")
    found = list(_REGIME_COLORS)
    states = np.array([-1 if regime is None else found.index(regime) for regime in named["regime"]])
    sheet = Sheet()
    sheet.day_lines(shown.with_columns(instrument=pl.lit(reference_instrument)), "close", _LINE_PIXELS)
    sheet.strips(states[starts_of_columns(len(states))][None], list(_REGIME_COLORS.values()), _STRIP_PIXELS)
    return Sketch(
        sheet.png(), f"{_days(named)}: close of {reference_instrument}; regimes, the last is {regimes['regime'][-1]}"
    )


def _days(frame: pl.DataFrame) -> str:
    days = sorted(frame["day"])
    return str(days[0]) if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def spans_of_regimes(regimes: pl.DataFrame) -> pl.DataFrame:
    """First and last day of each run of consecutive days of one regime.

    Args:
        regimes: `day` and `regime`, a row a day, any order.

    Returns:
        Columns `run`, `regime`, `first` and `last`, ascending.
    """
    named = regimes.sort("day").select("day", "regime")
    begins = (pl.col("regime") != pl.col("regime").shift()) | (pl.col("day").diff().dt.total_days() != 1)
    return (
        named.with_columns(run=begins.fill_null(value=True).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(pl.col("regime").first(), first=pl.col("day").first(), last=pl.col("day").last())
    )
