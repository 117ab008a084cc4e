"""The coverage calendar as a picture: a row an instrument, a column a day, a block a year."""

from dataclasses import dataclass
from datetime import date
from itertools import chain, groupby, product
from typing import Any, Literal

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from trademl_assets.foundation.calendar import days_between
from trademl_assets.order_book.figures import new_figure, render_png

_LONGEST_BLOCK_DAYS = 366
_BLOCK_PIXELS = 1_098
_WIDEST_DAY_PIXELS = 44
_ROW_PIXELS, _ABOVE_PIXELS, _BELOW_PIXELS, _FOOT_PIXELS, _RIGHT_PIXELS = 18, 22, 20, 70, 20
_LEAST_WIDTH_PIXELS = 640
_LABEL_PIXELS = 46
_LEAST_MONTHS = 3
"""Of fewer firsts of a month the ticks are single days."""
_MARKED_BELOW_PIXELS = 10
"""Narrower than this a hatch cannot be told any more, and a marker stands in its place."""

_Cells = dict[tuple[str, date], tuple[str, float | None]]
"""State and number by instrument and day."""
_COLOURS = colormaps["cividis"]
_BAR_TITLES = {"coverage_share": "covered share of the day", "quality_index": "quality index"}


@dataclass(frozen=True)
class _Look:
    """How cells without a number are drawn: by colour, hatch and, where they are narrow, a marker."""

    label: str
    colour: str
    hatch: str
    marker: str
    ink: str


_LOOKS = {
    "rejected": _Look("rejected", "#ee7733", "xxxx", "x", "black"),
    "empty": _Look("empty at the source", "white", "////", "_", "black"),
    "unmeasured": _Look("imported, not measured", "#a9d6e5", "....", ".", "#14505c"),
    "missing": _Look("missing", "white", "", "", "#bbbbbb"),
    "outside": _Look("not in the calendar", "#e4e4e4", "", "", "#e4e4e4"),
}


def draw_coverage_calendar(
    coverage: pl.DataFrame, colour: Literal["coverage_share", "quality_index"] = "coverage_share"
) -> bytes:
    """Draw what there is of every instrument and day.

    Args:
        coverage: Rows of `COVERAGE_SCHEMA`; a day between the first and the last without a row is missing.
        colour: Number that colours covered days, from dark (0) to light (1).

    Returns:
        A PNG with one block of all days up to a year of them, else one block a calendar year. States are told by
        hatch or marker as well as by colour.
    """
    instruments = list(dict.fromkeys(coverage["instrument"]))
    if not instruments:
        figure = new_figure(_LEAST_WIDTH_PIXELS, 100)
        figure.text(0.5, 0.5, "no instrument and day in the calendar", ha="center", fontsize=9)
        return render_png(figure)
    first, last = min(coverage["day"].to_list()), max(coverage["day"].to_list())
    blocks = _blocks(first, last)
    cells: _Cells = {
        (instrument, day): (state if state != "covered" or number is not None else "unmeasured", number)
        for instrument, day, state, number in coverage.select("instrument", "day", "state", colour).iter_rows()
    }
    for instrument, day in product(instruments, chain.from_iterable(blocks)):
        cells.setdefault((instrument, day), ("missing" if first <= day <= last else "outside", None))
    day_pixels = min(_WIDEST_DAY_PIXELS, _BLOCK_PIXELS // max(len(days) for days in blocks))
    left = 14 + 7 * max(len(name) for name in instruments)
    width = max(_LEAST_WIDTH_PIXELS, left + day_pixels * max(len(days) for days in blocks) + _RIGHT_PIXELS)
    block_height = _ABOVE_PIXELS + _ROW_PIXELS * len(instruments) + _BELOW_PIXELS
    height = block_height * len(blocks) + _FOOT_PIXELS
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    for number, days in enumerate(blocks):
        bottom = height - number * block_height - _ABOVE_PIXELS - _ROW_PIXELS * len(instruments)
        axes = figure.add_axes(
            (
                left / width,
                bottom / height,
                day_pixels * len(days) / width,
                _ROW_PIXELS * len(instruments) / height,
            )
        )
        _draw_block(axes, instruments, days, cells, day_pixels)
    _draw_key(figure, {state for state, _ in cells.values()}, colour, left)
    return render_png(figure)


def _blocks(first: date, last: date) -> list[tuple[date, ...]]:
    """All days in one block, or the days of each calendar year where they are too many."""
    days = days_between(first, last)
    if len(days) <= _LONGEST_BLOCK_DAYS:
        return [days]
    return [days_between(date(year, 1, 1), date(year, 12, 31)) for year in range(first.year, last.year + 1)]


def _draw_block(
    axes: Axes,
    instruments: list[str],
    days: tuple[date, ...],
    cells: _Cells,
    day_pixels: int,
) -> None:
    """Draw a block whose day n covers [n, n + 1) and whose instrument k, from above, [k, k + 1)."""
    image = np.zeros((len(instruments), len(days), 4))
    for row, instrument in enumerate(instruments):
        states = [cells[instrument, day] for day in days]
        for column, (state, number) in enumerate(states):
            if state == "covered" and number is not None:
                image[row, column] = _COLOURS(number)
                if day_pixels >= _WIDEST_DAY_PIXELS:
                    ink = "black" if number > 0.5 else "white"  # noqa: PLR2004 - the middle of the colours
                    axes.text(column + 0.5, row + 0.5, f"{number:.0%}", ha="center", va="center", fontsize=7, color=ink)
        for state, run in groupby(range(len(days)), key=lambda column: states[column][0]):
            if state in _LOOKS:
                _draw_run(axes, _LOOKS[state], row, list(run), day_pixels)
    axes.imshow(image, extent=(0, len(days), len(instruments), 0), aspect="auto", interpolation="nearest", zorder=1)
    for row in range(1, len(instruments)):
        axes.axhline(row, color="white", linewidth=1.5, zorder=4)
    axes.set_xlim(0, len(days))
    axes.set_ylim(len(instruments), 0)
    axes.set_yticks([row + 0.5 for row in range(len(instruments))], instruments, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", length=3, labelsize=8)
    _mark_dates(axes, days, day_pixels)


def _draw_run(axes: Axes, look: _Look, row: int, columns: list[int], day_pixels: int) -> None:
    """Draw successive days of one state."""
    wide = len(columns) * day_pixels >= _MARKED_BELOW_PIXELS
    axes.add_patch(
        Rectangle(
            (columns[0], row),
            len(columns),
            1,
            facecolor=look.colour,
            hatch=look.hatch if wide else "",
            edgecolor=look.ink,
            linewidth=0.0,
            zorder=2,
        )
    )
    if look.marker and not wide:
        middle = columns[0] + len(columns) / 2
        axes.plot(
            [middle],
            [row + 0.5],
            look.marker,
            color=look.ink,
            markersize=5,
            markeredgewidth=1.2,
            zorder=5,
            clip_on=False,
        )


def _mark_dates(axes: Axes, days: tuple[date, ...], day_pixels: int) -> None:
    """Months as ticks with the years above, or single days where there is room."""
    first, last = days[0], days[-1]
    months = [column for column, day in enumerate(days) if day.day == 1]
    if len(months) >= _LEAST_MONTHS:
        axes.set_xticks(months, [days[column].strftime("%b") for column in months], ha="left")
        for column in months:
            axes.axvline(column, color="#666666", linewidth=0.6, zorder=4)
    else:
        stride = -(-_LABEL_PIXELS // day_pixels)
        shown = range(0, len(days), stride)
        axes.set_xticks([column + 0.5 for column in shown], [days[column].strftime("%d %b") for column in shown])
    whole_year = (first.month, first.day, last.month, last.day) == (1, 1, 12, 31) and first.year == last.year
    title = str(first.year) if whole_year else f"{first.isoformat()} to {last.isoformat()}"
    axes.set_title(title, fontsize=9, loc="left", pad=4)


def _draw_key(figure: Figure, states: set[str], colour: str, left: int) -> None:
    """Draw what colours, hatches and markers say."""
    width, height = figure.get_size_inches() * figure.dpi
    bar = figure.add_axes((left / width, 34 / height, 160 / width, 10 / height))
    figure.colorbar(ScalarMappable(Normalize(0, 1), _COLOURS), cax=bar, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.tick_params(labelsize=7, length=2)
    bar.set_title(_BAR_TITLES[colour], fontsize=8, pad=3)
    looks = [look for state, look in _LOOKS.items() if state in states]
    keys: list[Any] = [
        (
            Patch(facecolor=look.colour, hatch=look.hatch, edgecolor=look.ink, linewidth=0.5),
            Line2D([], [], marker=look.marker, color=look.ink, linestyle="", markersize=5, markeredgewidth=1.2),
        )
        for look in looks
    ]
    if not keys:
        return
    figure.legend(
        keys,
        [look.label for look in looks],
        loc="lower left",
        bbox_to_anchor=((left + 180) / width, 14 / height),
        ncols=len(looks),
        fontsize=8,
        frameon=False,
        handlelength=2.2,
        handleheight=1.2,
        columnspacing=1.4,
    )
