"""A day of the grid as a picture."""

import numpy as np
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from trademl_assets.grid.alignment import GridDay
from trademl_assets.order_book.figures import new_figure, render_png

_COLUMNS = 480
_HOURS = 24
_STATE_COLORS = ("#2a7f62", "#e0b040", "#c0392b")
"""Colours of observed, filled and missing."""


def draw_grid_day(grid: GridDay) -> bytes:
    """Draw the instruments' mids relative to their first of the day, and below what each step was.

    Args:
        grid: The day.

    Returns:
        A PNG of about 500 x 320 pixels; a strip per instrument shows observed, filled and missing, the worst state of
        each picture column.
    """
    figure = new_figure(500, 320)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    mids, states = grid.arrays["mid"], grid.arrays["state"]
    stride = max(1, len(mids) // _COLUMNS)
    hours = np.arange(0, len(mids), stride) * (_HOURS / len(mids))
    for number, name in enumerate(grid.instruments):
        above.plot(hours, _relative_bps(mids[:, number])[::stride], linewidth=0.8, label=name)
    above.set_title(f"aligned grid {grid.day.isoformat()}", fontsize=9)
    above.set_ylabel("mid, bps from first", fontsize=8)
    above.legend(fontsize=7, loc="upper left")
    worst = np.maximum.reduceat(states, np.arange(0, len(states), stride), axis=0)
    below.imshow(
        worst.T,
        aspect="auto",
        interpolation="nearest",
        extent=(0, _HOURS, len(grid.instruments) - 0.5, -0.5),
        cmap=ListedColormap(_STATE_COLORS),
        vmin=0,
        vmax=len(_STATE_COLORS) - 1,
    )
    below.set_yticks(range(len(grid.instruments)), _share_labels(grid))
    below.set_xlabel("hour (UTC); green observed, yellow filled, red missing", fontsize=8)
    for axes in (above, below):
        axes.tick_params(labelsize=7)
    return render_png(figure)


def _relative_bps(mid: NDArray[np.float64]) -> NDArray[np.float64]:
    known = mid[np.isfinite(mid)]
    return np.log(mid / known[0]) * 10_000.0 if len(known) else mid


def _share_labels(grid: GridDay) -> list[str]:
    return [f"{name} {grid.summary[name]['observed']:.1%}" for name in grid.instruments]
