"""Pictures of a judgement as PNG bytes, without dates or program versions, so that equal input gives equal bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from trademl_assets.evaluation.figures import new_figure, render_png
from trademl_assets.evaluation.skill import Skill
from trademl_assets.scoring import metrics
from trademl_assets.scoring.bins import equal_width_edges
from trademl_assets.scoring.predictions import class_columns

Floats = NDArray[np.float64]
BEFORE, AFTER, GREY, WARN = "#d0772b", "#2f6db3", "#8a8f98", "#b3362f"
PARTS = {"train": "#c5cbd3", "validation": "#e0a75e", "calibration": "#6aa77a", "test": "#2f6db3"}
COLUMNS = 4


@dataclass(frozen=True)
class LearningCurve:
    """Losses of one member by epoch; NaN where an epoch was not measured.

    Attributes:
        name: Of the member, such as "seed 1".
        training: Training loss of every epoch.
        validation: Validation log-loss of every epoch.
        best_epoch: Epoch whose weights were kept, counted from 0; None where unknown.
    """

    name: str
    training: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int | None


def draw_reliability(rows: pl.DataFrame, independent_share: float) -> bytes:
    """Top-label reliability before and after calibration, above the histogram of the confidence.

    Args:
        rows: Judged decisions: label, before_*, after_*.
        independent_share: Independent labels over all labels, which widens the band where a perfect model would lie.
    """
    figure = new_figure(4.6, 4.6)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    labels, edges = rows["label"].to_numpy(), equal_width_edges()
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", label="perfect")
    for stage, colour in (("before", BEFORE), ("after", AFTER)):
        probabilities = class_columns(rows, stage)
        confidence = probabilities.max(axis=1)
        hit = (probabilities.argmax(axis=1) == labels).astype(np.float64)
        curve = metrics.reliability_curve(confidence, hit, edges)
        if stage == "after":
            _draw_band(upper, curve, independent_share)
        _draw_curve(upper, curve, colour, f"{stage} calibration")
        lower.hist(
            confidence, bins=edges.tolist(), color=colour, histtype="step" if stage == "before" else "stepfilled"
        )
    upper.set_ylabel("share that came true")
    upper.set_ylim(0, 1)
    upper.legend(fontsize=8, frameon=False, loc="upper left")
    lower.set_xlabel("probability of the most probable class")
    lower.set_ylabel("decisions")
    lower.set_xlim(0, 1)
    return render_png(figure)


def draw_class_reliability(rows: pl.DataFrame, class_names: Sequence[str], independent_share: float) -> bytes:
    """Reliability of every class's probability after calibration; arguments as in `draw_reliability`."""
    probabilities, labels = class_columns(rows, "after"), rows["label"].to_numpy()
    down = -(-len(class_names) // COLUMNS)
    across = -(-len(class_names) // down)
    figure = new_figure(2.3 * across, 2.3 * down + 0.2)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(class_names) :]:
        axes.set_visible(False)
    for number, (axes, name) in enumerate(zip(grid.flat, class_names, strict=False)):
        came_true = (labels == number).astype(np.float64)
        curve = metrics.reliability_curve(probabilities[:, number], came_true, equal_width_edges())
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
        _draw_band(axes, curve, independent_share)
        _draw_curve(axes, curve, AFTER, None)
        axes.set_title(f"{name} bps", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    figure.supxlabel("predicted probability", fontsize=9)
    figure.supylabel("share that came true", fontsize=9)
    return render_png(figure)


def draw_confusion(confusion: Sequence[Sequence[float]], class_names: Sequence[str]) -> bytes:
    """Confusion matrix: counts, shaded by the share of each true class."""
    counts = np.asarray(confusion, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    figure = new_figure(1.6 + 0.62 * len(class_names), 1.2 + 0.5 * len(class_names))
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.5 else "black"  # noqa: PLR2004 -- half the colour scale
        axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(class_names)), class_names, fontsize=8, rotation=30)
    axes.set_yticks(range(len(class_names)), class_names, fontsize=8)
    axes.set_xlabel("most probable class, bps")
    axes.set_ylabel("class that came true, bps")
    axes.spines[:].set_visible(False)
    return render_png(figure)


def draw_learning_curves(curves: Sequence[LearningCurve]) -> bytes:
    """Training (dashed) and validation loss of every member; a dot marks the epoch whose weights were kept."""
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        colour = f"C{number % 10}"
        axes.plot(curve.validation, color=colour, linewidth=1.4, label=f"{curve.name}: validation")
        axes.plot(curve.training, color=colour, linewidth=0.9, linestyle="--", label=f"{curve.name}: training")
        if curve.best_epoch is not None and curve.best_epoch < len(curve.validation):
            axes.plot(curve.best_epoch, curve.validation[curve.best_epoch], "o", color=colour, markersize=6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss, nats")
    axes.legend(fontsize=7, frameon=False, ncols=2)
    return render_png(figure)


def draw_class_distribution(distribution: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> bytes:
    """Share of every class in each part of the dataset."""
    figure = new_figure(6.4, 3.0)
    axes = figure.subplots()
    width = 0.84 / max(len(distribution), 1)
    order = [*(part for part in PARTS if part in distribution), *(part for part in distribution if part not in PARTS)]
    for number, part in enumerate(order):
        counts = np.asarray(distribution[part], dtype=np.float64)
        places = np.arange(len(counts)) + (number - (len(distribution) - 1) / 2) * width
        label = f"{part} ({counts.sum():.0f})"
        axes.bar(places, counts / max(counts.sum(), 1), width=width, color=PARTS.get(part, GREY), label=label)
    axes.set_xticks(range(len(class_names)), class_names, fontsize=8)
    axes.set_xlabel("return over the horizon, bps")
    axes.set_ylabel("share of decisions")
    axes.legend(fontsize=8, frameon=False)
    return render_png(figure)


def draw_skills(skills: Sequence[Skill], confidence: float) -> bytes:
    """Gain in log-loss over every baseline with its interval."""
    figure = new_figure(6.4, 0.7 + 0.42 * len(skills))
    axes = figure.subplots()
    for place, skill in enumerate(reversed(skills)):
        colour = AFTER if skill.low > 0 else WARN if skill.high < 0 else GREY
        axes.plot([skill.low, skill.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(skill.difference, place, "o", color=colour, markersize=6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(skills)), [skill.baseline for skill in reversed(skills)], fontsize=9)
    axes.set_ylim(-0.6, len(skills) - 0.4)
    axes.set_xlabel(f"log-loss of the baseline minus the model's, nats a decision ({confidence:.0%} interval)")
    return render_png(figure)


def draw_ranking(ranking: pl.DataFrame) -> bytes:
    """Skill of every model of a leaderboard with its interval, the best on top.

    Filled dots are in the Model Confidence Set, hollow ones are not; a ring marks the Pareto front.

    Args:
        ranking: Table of `rank_models`.
    """
    figure = new_figure(6.8, 1.1 + 0.42 * ranking.height)
    axes = figure.subplots()
    rows = ranking.sort("rank", descending=True).to_dicts()
    for place, row in enumerate(rows):
        colour = AFTER if row["verdict"] == "skill" else GREY
        axes.plot([row["skill_low"], row["skill_high"]], [place, place], color=colour, linewidth=2.4)
        if row["on_front"]:
            axes.plot(row["skill"], place, "o", markersize=13, markerfacecolor="none", markeredgecolor="black")
        filled = colour if row["in_confidence_set"] else "white"
        axes.plot(row["skill"], place, "o", markersize=7, markerfacecolor=filled, markeredgecolor=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title("filled: may be the best (confidence set); ring: on the Pareto front", fontsize=8, loc="left")
    axes.set_yticks(range(len(rows)), [f"{row['model']}: {row['verdict']}" for row in rows], fontsize=9)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("gain in log-loss over the volatility reference, nats a decision")
    return render_png(figure)


def draw_controls(table: pl.DataFrame) -> bytes:
    """Skill of a simple learner on every control with its interval; what is not as expected stands out.

    Args:
        table: Rows of `CONTROL_SCHEMA`.
    """
    figure = new_figure(6.4, 0.9 + 0.42 * table.height)
    axes = figure.subplots()
    rows = table.reverse().to_dicts()
    for place, row in enumerate(rows):
        if row["low"] is not None:
            colour = WARN if row["result"] == "violated" else AFTER
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2.4)
            axes.plot(row["skill_nats"], place, "o", color=colour, markersize=6)
    axes.axvline(0, color="black", linewidth=0.8)
    names = [
        f"{row['control']}, {row['instrument']}, {row['horizon_seconds']} s\nexpected: {row['expected']}"
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("gain in log-loss over the class prior, nats a decision")
    return render_png(figure)


def draw_daily_gain(days: Sequence[str], gains: Sequence[float], reference: str) -> bytes:
    """Mean gain over the reference on every test day, with its running mean."""
    figure = new_figure(6.4, 2.8)
    axes = figure.subplots()
    values = np.asarray(gains, dtype=np.float64)
    axes.bar(range(len(values)), values, color=np.where(values > 0, AFTER, WARN).tolist(), width=0.7)
    running = np.cumsum(values) / np.arange(1, len(values) + 1)
    axes.plot(range(len(values)), running, color="black", linewidth=1.2, label="mean so far")
    axes.axhline(0, color="black", linewidth=0.8)
    shown = np.unique(np.linspace(0, len(days) - 1, min(len(days), 8)).astype(int))
    axes.set_xticks(shown.tolist(), [days[place][2:] for place in shown], rotation=30)
    axes.set_ylabel(f"gain over the\n{reference}, nats")
    axes.legend(fontsize=8, frameon=False)
    return render_png(figure)


def _draw_band(axes: Axes, curve: metrics.ReliabilityCurve, independent_share: float) -> None:
    """Shade where 95 % of a perfect model's dots lie, by the normal approximation on independent labels."""
    filled = curve.count > 0
    predicted, independent = curve.predicted[filled], curve.count[filled] * independent_share
    half = scipy.special.ndtri(0.975) * np.sqrt(predicted * (1 - predicted) / np.maximum(independent, 1.0))
    low, high = np.clip(predicted - half, 0, 1), np.clip(predicted + half, 0, 1)
    axes.fill_between(predicted, low, high, color=GREY, alpha=0.22, linewidth=0, label="a perfect model's, 95 %")


def _draw_curve(axes: Axes, curve: metrics.ReliabilityCurve, colour: str, label: str | None) -> None:
    filled = curve.count > 0
    predicted, observed, count = (values[filled] for values in (curve.predicted, curve.observed, curve.count))
    axes.plot(predicted, observed, color=colour, linewidth=1.2, label=label)
    axes.scatter(predicted, observed, s=8 + 120 * count / count.sum(), color=colour, alpha=0.75, linewidths=0)
