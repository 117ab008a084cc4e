"""Small pictures without letters, made of plain pixels: a hundredth of the time of a figure with axes.

A backfill makes thousands of partitions, and each is to be seen where it is opened; a figure costs as much as the work.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import to_microseconds

Floats = NDArray[np.float64]
Panel = NDArray[np.uint8]
"""(height, columns) positions in the palette."""
Band = tuple[Floats, Floats]
"""(columns,) least and greatest value of each column, NaN where there is none."""

COLUMNS = 240
_PIXELS_A_COLUMN = 2
_PIXELS_BETWEEN = 4
_SHADES = 16
_BACKGROUND = "#ffffff"
_LINES = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
_HEAT = colormaps["viridis"](np.linspace(0, 1, _SHADES))[:, :3]


@dataclass(frozen=True)
class Sketch:
    """A small picture and what there is to see.

    Attributes:
        png: The picture, 480 pixels wide.
        says: What its parts show, from top to bottom.
    """

    png: bytes
    says: str


class Sheet:
    """Panels one below the other, all over the same columns."""

    def __init__(self) -> None:
        self._colors: list[str] = [_BACKGROUND]
        self._panels: list[Panel] = []

    def lines(self, bands: Sequence[Band], colors: Sequence[str], height: int) -> None:
        """Add a panel of bands on one scale, from the least to the greatest value shown."""
        panel = np.zeros((height, COLUMNS), np.uint8)
        known = np.concatenate([side[np.isfinite(side)] for band in bands for side in band] or [np.empty(0)])
        if known.size:
            least, reach = known.min(), np.ptp(known) or 1.0
            for (low, high), color in zip(bands, colors, strict=True):
                top, bottom = (_rows((side - least) / reach, height) for side in reversed(_joined(low, high)))
                rows = np.arange(height)[:, None]
                panel[(rows >= top) & (rows <= bottom)] = self._position(color)
        self._panels.append(panel)

    def day_lines(self, frame: pl.DataFrame, column: str, height: int) -> None:
        """Add a panel of one line an instrument over the days of `frame`, which has `day` and `instrument`."""
        table = frame.sort("instrument").pivot("instrument", index="day", values=column).sort("day")
        table = table.upsample("day", every="1d").drop("day").cast(pl.Float64)
        bands = [band_over_steps(series.fill_null(np.nan).to_numpy()) for series in table]
        self.lines(bands, line_colors(len(bands)), height)

    def bars(self, values: Floats, color: str, height: int) -> None:
        """Add a panel of one bar a column from zero to its value, the greatest filling the panel."""
        panel = np.zeros((height, COLUMNS), np.uint8)
        greatest = np.nanmax(values, initial=0.0)
        if greatest > 0:
            tall = np.ceil(np.nan_to_num(values) / greatest * height)
            panel[np.arange(height)[::-1, None] < tall] = self._position(color)
        self._panels.append(panel)

    def strips(self, states: NDArray[np.integer], colors: Sequence[str], height: int) -> None:
        """Add a strip a row of `states` (rows, columns), coloured by state; negative states stay empty."""
        positions = np.array([*(self._position(color) for color in colors), 0], np.uint8)
        self._panels.append(np.repeat(positions[np.where(states < 0, len(colors), states)], height, axis=0))

    def heat(self, values: Floats, height: int) -> None:
        """Add (rows, columns) values from dark for the least to bright for the greatest, a row `height` pixels high."""
        shades = [self._position(_hex(shade)) for shade in _HEAT]
        known = np.isfinite(values)
        panel = np.zeros(values.shape, np.uint8)
        if known.any():
            least, reach = values[known].min(), np.ptp(values[known]) or 1.0
            panel[known] = np.array(shades, np.uint8)[((values[known] - least) / reach * (_SHADES - 1)).astype(np.intp)]
        self._panels.append(np.repeat(panel, height, axis=0))

    def png(self) -> bytes:
        """Return the sheet as a PNG with a palette; equal panels, equal bytes."""
        between = np.zeros((_PIXELS_BETWEEN, COLUMNS), np.uint8)
        parts = [part for panel in self._panels for part in (between, panel)][1:]
        image = np.repeat(np.concatenate(parts), _PIXELS_A_COLUMN, axis=1)
        lines = np.concatenate([np.zeros((len(image), 1), np.uint8), image], axis=1)
        palette = bytes(round(255 * part) for color in self._colors for part in to_rgb(color))
        header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 3, 0, 0, 0)
        chunks = (
            (b"IHDR", header),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(lines.tobytes())),
            (b"IEND", b""),
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)

    def _position(self, color: str) -> int:
        if color not in self._colors:
            self._colors.append(color)
        return self._colors.index(color)


def line_colors(count: int) -> list[str]:
    """Return so many colours of lines, which repeat after ten."""
    return [_LINES[number % len(_LINES)] for number in range(count)]


def band_over_time(rows: pl.DataFrame, low: pl.Expr, high: pl.Expr, begin: datetime, end: datetime) -> Band:
    """Return the least and greatest value in each of the columns that [begin, end) is cut into; `rows` has `ts`."""
    columns = rows.select(column_of_time(begin, end).alias("column"), low.alias("low"), high.alias("high"))
    found = columns.filter(pl.col("column") >= 0).group_by("column").agg(pl.col("low").min(), pl.col("high").max())
    sides = np.full((2, COLUMNS), np.nan)
    sides[:, found["column"].to_numpy()] = found.select("low", "high").to_numpy().T
    return sides[0], sides[1]


def column_of_time(begin: datetime, end: datetime) -> pl.Expr:
    """Return the column of `ts` within [begin, end); negative before it."""
    first, length = to_microseconds(begin), to_microseconds(end) - to_microseconds(begin)
    return ((pl.col("ts").to_physical() - first) * COLUMNS).floordiv(length)


def band_over_steps(values: Floats) -> Band:
    """Return the least and greatest of (steps,) evenly spaced values in each column, NaN where all are."""
    starts = starts_of_columns(len(values))
    return np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)


def starts_of_columns(steps: int) -> NDArray[np.intp]:
    """Return (columns,) the first of so many evenly spaced steps that lies in each column."""
    return np.minimum(np.arange(COLUMNS) * steps // COLUMNS, steps - 1)


def _joined(low: Floats, high: Floats) -> Band:
    """Stretch each column's band to that of the column before it, so that a jump is a line."""
    before_low, before_high = (np.concatenate([[np.nan], side[:-1]]) for side in (low, high))
    known = np.isfinite(low)
    return np.where(known, np.fmin(low, before_high), np.nan), np.where(known, np.fmax(high, before_low), np.nan)


def _rows(shares: Floats, height: int) -> Floats:
    """Rows from above for shares of the height from below; NaN compares false with every row."""
    rows: Floats = np.round((1.0 - shares) * (height - 1))
    return rows


def _hex(shade: NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in shade)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
