"""A day of the grid as a picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from numpy.typing import NDArray

from trademl_assets.grid.alignment import GridDay
from trademl_assets.grid.statistics import GridStatistics, describe_grid
from trademl_assets.order_book.figures import new_figure, render_png
from trademl_assets.order_book.sketches import Sheet, Sketch, band_over_steps, line_colors, starts_of_columns

_COLUMNS = 480
_HOURS = 24
_STATES = {"observed": "#2a7f62", "filled": "#e0b040", "missing": "#c0392b"}
_WIDTH, _HEIGHT, _HEIGHT_PER_INSTRUMENT = 900, 400, 24
_LINEAR_MILLISECONDS = 1.0
_MIDS_PIXELS, _STRIP_PIXELS = 120, 6


def draw_grid_day(grid: GridDay) -> bytes:
    """Draw mids, what each step was, and how old the shown snapshots were.

    Above, the instruments' mids relative to their first of the day. Below, a strip per instrument with the worst
    state of each picture column, and beside it, on the same rows, the ages of the snapshots shown: median to 99th
    percentile as a bar, the greatest as a mark.

    Args:
        grid: The day.

    Returns:
        A PNG, 900 pixels wide and higher with more instruments.
    """
    statistics = describe_grid(grid)
    count = len(grid.instruments)
    figure = new_figure(_WIDTH, _HEIGHT + _HEIGHT_PER_INSTRUMENT * count)
    strips = 90 + _HEIGHT_PER_INSTRUMENT * count
    axes = figure.subplot_mosaic(
        [["mids", "mids"], ["states", "ages"]], height_ratios=(_HEIGHT - 90, strips), width_ratios=(2.4, 1)
    )
    _draw_mids(axes["mids"], grid)
    _draw_states(axes["states"], grid, statistics)
    _draw_ages(axes["ages"], statistics)
    axes["ages"].set_ylim(axes["states"].get_ylim())
    handles = [Patch(color=color, label=state) for state, color in _STATES.items()]
    figure.legend(handles=handles, fontsize=8, ncols=len(handles), loc="outside lower left", frameon=False)
    for each in axes.values():
        each.tick_params(labelsize=8)
    return render_png(figure)


def sketch_grid_day(grid: GridDay) -> Sketch:
    """Draw the day in small: mids relative to their first, below them each instrument's worst state of a column."""
    states = grid.arrays["state"]
    bands = [band_over_steps(_relative_bps(mids)) for mids in grid.arrays["mid"].T]
    sheet = Sheet()
    sheet.lines(bands, line_colors(len(bands)), _MIDS_PIXELS)
    sheet.strips(np.maximum.reduceat(states, starts_of_columns(len(states))).T, list(_STATES.values()), _STRIP_PIXELS)
    names = ", ".join(grid.instruments)
    return Sketch(
        sheet.png(), f"00:00 to 24:00 UTC: mids from the first of the day; observed, filled, missing ({names})"
    )


def _draw_mids(axes: Axes, grid: GridDay) -> None:
    mids = grid.arrays["mid"]
    stride = max(1, len(mids) // _COLUMNS)
    hours = np.arange(0, len(mids), stride) * (_HOURS / len(mids))
    for number, name in enumerate(grid.instruments):
        axes.plot(hours, _relative_bps(mids[:, number])[::stride], linewidth=0.9, label=name)
    axes.set_title(f"aligned grid {grid.day.isoformat()}, {_HOURS * 3600 // len(mids)} s steps", fontsize=10)
    axes.set_ylabel("mid, bps from first", fontsize=8)
    axes.set_xlim(0, _HOURS)
    axes.set_xticks(range(0, _HOURS + 1, 3))
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _draw_states(axes: Axes, grid: GridDay, statistics: GridStatistics) -> None:
    states = grid.arrays["state"]
    stride = max(1, len(states) // _COLUMNS)
    worst = np.maximum.reduceat(states, np.arange(0, len(states), stride), axis=0)
    axes.imshow(
        worst.T,
        aspect="auto",
        interpolation="nearest",
        extent=(0, _HOURS, len(grid.instruments) - 0.5, -0.5),
        cmap=ListedColormap(list(_STATES.values())),
        vmin=0,
        vmax=len(_STATES) - 1,
    )
    labels = [f"{name} {found.observed_share:.1%}" for name, found in statistics.instruments.items()]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xticks(range(0, _HOURS + 1, 3))
    axes.set_xlabel("hour (UTC)", fontsize=8)
    axes.set_title(
        f"worst state of a column (share observed); {statistics.discarded_share:.2%} of steps not usable", fontsize=8
    )


def _draw_ages(axes: Axes, statistics: GridStatistics) -> None:
    for number, found in enumerate(statistics.instruments.values()):
        ages = found.age_milliseconds
        if ages.p50 is not None and ages.p99 is not None and ages.greatest is not None:
            color = f"C{number}"
            axes.plot([ages.p50, ages.p99], [number, number], linewidth=5, color=color, solid_capstyle="butt")
            axes.plot([ages.p50], [number], "|", color="black", markersize=10)
            axes.plot([ages.greatest], [number], "x", color=color, markersize=5)
    axes.set_xscale("symlog", linthresh=_LINEAR_MILLISECONDS)
    axes.set_xlim(left=0)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x", linewidth=0.3)
    axes.set_xlabel("age of shown snapshots, ms", fontsize=8)
    axes.set_title("median | to 99 %, x greatest", fontsize=8)


def _relative_bps(mid: NDArray[np.float64]) -> NDArray[np.float64]:
    known = mid[np.isfinite(mid)]
    return np.log(mid / known[0]) * 10_000.0 if len(known) else mid
