"""Daily aggregates and market regimes as pictures."""

import numpy as np
import polars as pl

from trademl_assets.long_term.regimes import BEAR, BULL, HIGH_VOLATILITY, SIDEWAYS, UNKNOWN
from trademl_assets.order_book.figures import new_figure, render_png

_REGIME_COLORS = {
    BULL: "#2a7f62",
    BEAR: "#c0392b",
    SIDEWAYS: "#b0b7bd",
    HIGH_VOLATILITY: "#8e5ea2",
    UNKNOWN: "#ffffff",
}


def draw_aggregates(aggregates: pl.DataFrame) -> bytes:
    """Draw volatility and volume of every instrument over days.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`, any days and instruments.

    Returns:
        A PNG of about 500 x 320 pixels.
    """
    figure = new_figure(500, 320)
    above, below = figure.subplots(2, 1, sharex=True)
    for (name,), rows in aggregates.sort("instrument", "day").group_by("instrument", maintain_order=True):
        days = rows["day"].to_numpy()
        above.plot(days, rows["volatility_bps"].to_numpy(), linewidth=0.9, marker=".", markersize=3, label=str(name))
        below.plot(days, rows["volume"].to_numpy(), linewidth=0.9, marker=".", markersize=3)
    above.set_title("daily aggregates", fontsize=9)
    above.set_ylabel("volatility, bps", fontsize=8)
    below.set_ylabel("volume / reference", fontsize=8)
    if not aggregates.is_empty():
        above.legend(fontsize=7, loc="upper left")
    for axes in (above, below):
        axes.tick_params(labelsize=7)
    below.tick_params(axis="x", labelrotation=20)
    return render_png(figure)


def draw_regimes(aggregates: pl.DataFrame, regimes: pl.DataFrame, reference_instrument: str) -> bytes:
    """Draw the reference instrument's close with each day coloured by its regime.

    Args:
        aggregates: Rows of `AGGREGATE_SCHEMA`.
        regimes: Rows of `REGIME_SCHEMA`.
        reference_instrument: Instrument whose close is drawn.

    Returns:
        A PNG of about 500 x 260 pixels.
    """
    figure = new_figure(500, 260)
    axes = figure.add_subplot()
    closes = aggregates.filter(pl.col("instrument") == reference_instrument).sort("day")
    axes.plot(closes["day"].to_numpy(), closes["close"].to_numpy(), color="#203040", linewidth=0.9)
    named = regimes.sort("day")
    for regime, color in _REGIME_COLORS.items():
        days = named.filter(pl.col("regime") == regime)["day"].to_numpy()
        starts = days.astype("datetime64[h]")
        half = np.timedelta64(12, "h")
        for number, start in enumerate(starts):
            label = regime if number == 0 and regime != UNKNOWN else None
            axes.axvspan(start - half, start + half, color=color, alpha=0.35, linewidth=0, label=label)
    axes.set_title(f"market regime, close of {reference_instrument}", fontsize=9)
    axes.set_ylabel("close", fontsize=8)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7, loc="upper left")
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", labelrotation=20)
    return render_png(figure)
