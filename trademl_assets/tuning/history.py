"""Pictures of a study: its history, what mattered, which values did well, and what was ended early."""

import io
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from trademl_assets.tuning.importance import Importance
from trademl_assets.tuning.tables import FIXED

_BLUE, _RED, _GREY, _DARK = "#2f6db3", "#c8543b", "#b8b8b8", "#333333"
_LABEL_CHARACTERS = 28


def draw_history(trials: pl.DataFrame) -> bytes:
    """Draw a study's trials (columns of `tables.trial_table`) as a PNG; those without a loss at the top edge."""
    figure, axes = _canvas(6.4, 3.0)
    done = trials.filter(pl.col("loss").is_not_null() & (pl.col("state") != "failed"))
    best = done.with_columns(best=pl.col("loss").cum_min())
    axes.step(best["index"], best["best"], where="post", color=_DARK, linewidth=1.2, label="best so far")
    axes.scatter(done["index"], done["loss"], s=28, color=_BLUE, zorder=3, label="trial")
    first = done.filter(pl.col("configured"))
    axes.scatter(first["index"], first["loss"], s=70, facecolors="none", edgecolors=_RED, label="configured values")
    for index, state in trials.filter(pl.col("state") != "complete").select("index", "state").iter_rows():
        axes.annotate(
            state,
            (index, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=7,
            rotation=90,
            color=_GREY if state == "pruned" else _RED,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("validation log-loss, nats")
    axes.legend(fontsize=8, frameon=False)
    return _png(figure)


def draw_importances(importances: Sequence[Importance]) -> bytes:
    """Draw how much each searched path mattered as horizontal bars, the most important on top."""
    shown = sorted(importances, key=lambda each: each.share)
    figure, axes = _canvas(6.4, 1.0 + 0.32 * len(shown))
    axes.barh([_short(each.path) for each in shown], [each.share for each in shown], color=_BLUE)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of what decides whether a trial is among the best")
    return _png(figure)


def draw_parallel_coordinates(trials: pl.DataFrame) -> bytes:
    """Draw every completed trial as a line over the searched paths and its loss, the best tenth in red."""
    done = trials.filter((pl.col("state") == "complete") & pl.col("loss").is_not_null())
    fixed = {*FIXED, "direction_log_loss", "weighted_f1", "excess_ece", "latency_ms"}
    paths = [name for name in trials.columns if name not in fixed]
    names = [*paths, "loss"]
    figure, axes = _canvas(max(6.4, 1.5 * len(names)), 3.6)
    placed = np.column_stack([_placed(done[name], _is_wide(done[name])) for name in names])
    losses = done["loss"].to_numpy()
    is_best = losses <= np.quantile(losses, 0.1)
    for number in np.argsort(-losses):
        color, width, order = (_RED, 1.4, 3) if is_best[number] else (_GREY, 0.8, 2)
        where = np.flatnonzero(~np.isnan(placed[number]))  # a line passes over what was not searched in its trial
        axes.plot(where, placed[number][where], marker=".", markersize=4, color=color, linewidth=width, zorder=order)
    for place, name in enumerate(names):
        axes.axvline(place, color=_DARK, linewidth=0.6)
        low, high = _ends(done[name])
        axes.text(place, -0.03, low, ha="center", va="top", fontsize=7)
        axes.text(place, 1.03, high, ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(names)), [_short(name) for name in names], rotation=20, ha="right", fontsize=8)
    axes.tick_params(axis="x", pad=14)
    axes.set_yticks([])
    axes.set_ylim(-0.02, 1.02)
    axes.spines[["left", "bottom"]].set_visible(False)
    return _png(figure)


def draw_pruning(trials: pl.DataFrame, curves: pl.DataFrame) -> bytes:
    """Draw the loss of every trial after each epoch; those that were ended early stop at a cross."""
    figure, axes = _canvas(6.4, 3.0)
    states = dict(trials.select("index", "state").iter_rows())
    for (trial,), curve in curves.group_by("trial", maintain_order=True):
        pruned = states.get(trial) == "pruned"
        axes.plot(curve["epoch"] + 1, curve["loss"], color=_GREY if pruned else _BLUE, linewidth=0.9)
        if pruned:
            axes.scatter(curve["epoch"][-1] + 1, curve["loss"][-1], marker="x", s=24, color=_RED, zorder=3)
    count = sum(state == "pruned" for state in states.values())
    axes.set_title(f"{count} of {len(states)} trials were ended early", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch, counted over all windows")
    axes.set_ylabel("validation log-loss, nats")
    return _png(figure)


def _placed(values: pl.Series, is_wide: bool) -> NDArray[np.float64]:  # noqa: FBT001 -- an axis is logarithmic or not
    """(n,) heights in [0, 1]; not a number where a path was not searched."""
    if values.dtype == pl.String:
        numbers = values.cast(pl.Categorical).to_physical().cast(pl.Float64).to_numpy().astype(np.float64)
    else:
        numbers = values.cast(pl.Float64).to_numpy().astype(np.float64)
    numbers = np.log(numbers) if is_wide else numbers
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    return np.asarray((numbers - low) / (high - low) if high > low else np.where(np.isnan(numbers), np.nan, 0.5))


def _is_wide(values: pl.Series) -> bool:
    if values.dtype == pl.String or values.name == "loss":
        return False
    known = values.drop_nulls().to_numpy()
    return bool(len(known) and known.min() > 0 and known.max() > 20 * known.min())


def _ends(values: pl.Series) -> tuple[str, str]:
    known = values.drop_nulls()
    if values.dtype == pl.String:
        names = known.unique(maintain_order=True).to_list()
        return str(names[0]), str(names[-1])
    numbers = known.cast(pl.Float64).to_numpy()
    return f"{numbers.min():.3g}", f"{numbers.max():.3g}"


def _short(path: str) -> str:
    return path if len(path) <= _LABEL_CHARACTERS else "…" + path[1 - _LABEL_CHARACTERS :]


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
