"""Two pictures of a dataset as PNG bytes: where its parts and samples lie in time, and how its classes are filled."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trademl_assets.datasets.parameters import PARTS
from trademl_assets.datasets.weights import MICROSECONDS_PER_DAY

COLOURS = {
    "train": "#4c78a8",
    "validation": "#f58518",
    "calibration": "#54a24b",
    "test": "#b279a2",
    "degradation": "#e45756",
}
CLASS_UNITS = {
    "return_bps": "log mid return over the horizon, bps",
    "sigma": "log mid return over the horizon, in trailing sigmas",
    "none": "class",
}


def draw_timeline(index: pl.DataFrame, recipe: Mapping[str, Any]) -> bytes:
    """Blocks as bars over time with the trailing sigma of the primary target above, and n_eff in the legend."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots()
    primary = recipe["labels"]["horizons_seconds"][0]
    rows = index.filter(
        pl.col("on_stride") & (pl.col("horizon_seconds") == primary) & (pl.col("instrument") == recipe["target"])
    )
    axes.plot(
        rows["t0"].to_physical().to_numpy() / MICROSECONDS_PER_DAY,
        rows["sigma_bps"].to_numpy(),
        linewidth=0.6,
        color="black",
    )
    for block in recipe["blocks"]:
        label = f"{block['part']}: {block['on_stride']} samples, n_eff {block['effective_samples']:.0f}"
        first, last = (block[end] / MICROSECONDS_PER_DAY for end in ("first_us", "last_us"))
        axes.axvspan(first, last, color=COLOURS[block["part"]], alpha=0.35, label=label, linewidth=0)
    axes.xaxis_date()
    axes.set_ylabel("trailing sigma over\nthe horizon, bps")
    axes.set_title(f"{', '.join(recipe['targets'])}: parts of the dataset", fontsize=10)
    axes.legend(fontsize=7, loc="upper left")
    return _png(figure)


def draw_classes(recipe: Mapping[str, Any]) -> bytes:
    """Share of every class in each part, with the names of the classes."""
    names = recipe["class_names"]
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots()
    distribution = recipe["class_distribution"]
    parts = [part for part in PARTS if part in distribution]
    width = 0.8 / len(parts)
    for number, part in enumerate(parts):
        counts = np.asarray(distribution[part], dtype=np.float64)
        places = np.arange(len(counts)) + (number - (len(parts) - 1) / 2) * width
        axes.bar(
            places,
            counts / max(counts.sum(), 1.0),
            width=width,
            color=COLOURS[part],
            label=f"{part} ({counts.sum():.0f})",
        )
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel(CLASS_UNITS[recipe["edge_unit"]])
    axes.set_ylabel("share of samples")
    axes.legend(fontsize=7)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
