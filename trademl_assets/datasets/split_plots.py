"""The picture of a split as PNG bytes: parts over time, what purge and embargo leave out, folds below."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trademl_assets.datasets.weights import MICROSECONDS_PER_DAY
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND

Recipe = Mapping[str, Any]
COLOURS = {
    "train": "#9db7d5",
    "validation": "#f0a65a",
    "calibration": "#7fbf7b",
    "test": "#b07aa1",
    "degradation": "#f4c9c9",
}
LEFT_OUT = {"purged": "#202020", "embargoed": "#ffd92f"}
LINE_INCHES, FRAME_INCHES = 0.3, 1.5
DRAWN_FOLDS = 40
VISIBLE_SHARE = 0.003
WRITTEN_SHARE = 0.035
NOTE_WIDTH = 150
ALL_HATCHED = "////"


def draw_split(recipe: Recipe) -> bytes:
    """Draw the parts of a recipe over time and its folds below them.

    Purged time (labels that would end after their block) and embargoed time (training after something held out) are
    drawn over the bars, never thinner than can be seen. Blocks and folds carry their samples and, in brackets, their
    independent labels; blocks and validation count the decision stride alone.

    Args:
        recipe: blocks, folds, split_notes, longest_label_seconds, effective_samples, parameters, counts and targets of
            a dataset.
    """
    blocks, folds = recipe["blocks"], recipe["folds"][:DRAWN_FOLDS]
    notes = [line for note in _notes(recipe) for line in textwrap.wrap(note, NOTE_WIDTH)]
    inches = FRAME_INCHES + LINE_INCHES * (2 + len(folds)) + 0.16 * len(notes)
    figure = Figure(figsize=(11, inches), layout="constrained")
    axes = figure.subplots()
    first, last = _days(blocks[0]["first_us"]), _days(blocks[-1]["last_us"])
    _draw_parts(axes, recipe, visible=VISIBLE_SHARE * (last - first))
    for line, fold in enumerate(folds, 1):
        _draw_fold(axes, recipe, fold, line, visible=VISIBLE_SHARE * (last - first))
    names = ["parts", *(f"fold {number}" for number in range(1, len(folds) + 1))]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -1.2 if any(block["name"] for block in blocks) else -0.5)
    axes.set_xlim(first, last)
    axes.xaxis_date()
    locator = AutoDateLocator(minticks=4, maxticks=12)  # type: ignore[no-untyped-call]  # matplotlib has no types here
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor here
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.get_offset_text().set_fontsize(8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    kind = recipe["parameters"]["split"]["kind"]
    axes.set_title(f"{', '.join(recipe['targets'])}: split {kind!r}", fontsize=10, loc="left")
    figure.legend(handles=_legend(recipe), ncols=7, fontsize=7, loc="outside upper right", frameon=False)
    if notes:
        axes.set_xlabel("\n".join(notes), fontsize=7, loc="left")
    return _png(figure)


def _draw_parts(axes: Axes, recipe: Recipe, *, visible: float) -> None:
    blocks = recipe["blocks"]
    embargo = recipe["parameters"]["split"]["embargo_seconds"] * MICROSECONDS_PER_SECOND
    horizon = recipe["longest_label_seconds"] * MICROSECONDS_PER_SECOND
    held_out = [[block["first_us"], block["last_us"]] for block in blocks if block["part"] != "train"]
    whole = blocks[-1]["last_us"] - blocks[0]["first_us"]
    for block in blocks:
        span = [block["first_us"], block["last_us"]]
        _bar(axes, span, 0, block["part"], height=0.8)
        _mark(axes, [max(span[1] - horizon, span[0]), span[1]], 0, "purged", visible=visible)
        if block["part"] == "train":
            _mark_embargo(axes, [span], held_out, embargo, 0, visible=visible)
        middle = (_days(span[0]) + _days(span[1])) / 2
        if span[1] - span[0] > WRITTEN_SHARE * whole:
            text = f"{block['on_stride']:,}\n({block['effective_samples']:,.0f})"
            axes.text(middle, 0, text, ha="center", va="center", fontsize=6.5, bbox=_ground(block["part"]))
        if block["name"]:
            late = "\n(hindsight)" if block["hindsight"] else ""
            axes.text(middle, -0.45, block["name"] + late, ha="center", va="bottom", fontsize=7)


def _draw_fold(axes: Axes, recipe: Recipe, fold: Recipe, line: int, *, visible: float) -> None:
    embargo = recipe["parameters"]["split"]["embargo_seconds"] * MICROSECONDS_PER_SECOND
    horizon = recipe["longest_label_seconds"] * MICROSECONDS_PER_SECOND
    for part in ("train", "validation"):
        for span in fold[part]:
            _bar(axes, span, line, part, height=0.6)
            _mark(axes, [max(span[1] - horizon, span[0]), span[1]], line, "purged", visible=visible)
    _mark_embargo(axes, fold["train"], fold["validation"], embargo, line, visible=visible)
    effective, last_us = fold["effective_samples"], recipe["blocks"][-1]["last_us"]
    text = "train ({0:,.0f})  validation {validation_samples:,} ({1:,.0f})".format(
        effective["train"], effective["validation"], **fold
    )
    axes.annotate(
        text,
        (_days(last_us), line),
        (6, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        annotation_clip=False,
    )


def _mark_embargo(
    axes: Axes, training: Sequence[Any], held_out: Sequence[Any], embargo_us: int, line: int, *, visible: float
) -> None:
    for first, last in training:
        for _, ended in held_out:
            begin, end = max(first, ended), min(last, ended + embargo_us)
            if begin < end:
                _mark(axes, [begin, end], line, "embargoed", visible=visible)


def _bar(axes: Axes, span: Sequence[int], line: int, part: str, *, height: float) -> None:
    axes.barh(
        line,
        _days(span[1]) - _days(span[0]),
        left=_days(span[0]),
        height=height,
        color=COLOURS[part],
        hatch=ALL_HATCHED if part == "degradation" else None,
        edgecolor="#b0504c" if part == "degradation" else COLOURS[part],
        linewidth=0,
    )


def _mark(axes: Axes, span: Sequence[int], line: int, kind: str, *, visible: float) -> None:
    """Mark what is left out: the end of a block for purge, the begin of training for embargo."""
    width = max(_days(span[1]) - _days(span[0]), visible)
    left = _days(span[1]) - width if kind == "purged" else _days(span[0])
    axes.barh(line, width, left=left, height=0.8 if line == 0 else 0.6, color=LEFT_OUT[kind], linewidth=0)


def _ground(part: str) -> dict[str, Any]:
    return {"facecolor": COLOURS[part], "edgecolor": "none", "pad": 0.6}


def _notes(recipe: Recipe) -> list[str]:
    counts = recipe["counts"]
    hidden = len(recipe["folds"]) - DRAWN_FOLDS
    pooled = ["labels of all targets at the same time count as one independent label"] if recipe["targets"][1:] else []
    more = [f"{hidden} further folds are not drawn"] if hidden > 0 else []
    left_out = f"left out: {counts['purged']:,} purged, {counts['embargoed']:,} embargoed"
    blocks, effective = recipe["blocks"], recipe["effective_samples"]
    totals = {part: sum(b["on_stride"] for b in blocks if b["part"] == part) for part in effective}
    sizes = ", ".join(f"{part} {totals[part]:,} ({count:,.0f})" for part, count in effective.items())
    return [f"samples (independent labels): {sizes}; {left_out}", *pooled, *recipe["split_notes"], *more]


def _legend(recipe: Recipe) -> list[Patch]:
    parts = {block["part"] for block in recipe["blocks"]}
    hatches = {"degradation": ALL_HATCHED}
    shown = [
        Patch(facecolor=colour, hatch=hatches.get(part), edgecolor="#b0504c", linewidth=0, label=part)
        for part, colour in COLOURS.items()
        if part in parts
    ]
    return shown + [Patch(facecolor=colour, label=kind) for kind, colour in LEFT_OUT.items()]


def _days(instant_us: int) -> float:
    return instant_us / MICROSECONDS_PER_DAY


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
