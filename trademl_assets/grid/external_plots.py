"""An external series as a picture."""

import polars as pl

from trademl_assets.order_book.figures import new_figure, render_png


def draw_series(series: pl.DataFrame, name: str) -> bytes:
    """Draw the values of a series over the instants at which they were published.

    Args:
        series: Rows of `SERIES_SCHEMA` of one series.
        name: Its name, for the title.

    Returns:
        A PNG of about 500 x 240 pixels.
    """
    figure = new_figure(500, 240)
    axes = figure.add_subplot()
    axes.plot(series["published"].to_numpy(), series["value"].to_numpy(), linewidth=0.8, drawstyle="steps-post")
    axes.set_title(f"{name}: {series.height} values by the time of publication", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", labelrotation=20)
    return render_png(figure)
