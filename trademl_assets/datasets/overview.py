"""A dataset's recipe as tables that people read: its blocks, what was left out, its classes, its streams."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND

Row = dict[str, str | int | float]
Recipe = Mapping[str, Any]


def tabulate_parts(recipe: Recipe) -> list[Row]:
    """One row a block, in time order: bounds (UTC, half-open), samples, those on the stride, independent labels.

    Coverage is the share of the block's steps at which its targets were observed.
    """
    return [
        {
            "part": " ".join(word for word in (block["part"], block["name"]) if word),
            "from": _instant(block["first_us"]),
            "to": _instant(block["last_us"]),
            "samples": block["samples"],
            "on stride": block["on_stride"],
            "independent labels": round(block["effective_samples"], 1),
            "coverage": round(block["coverage"], 4),
            "hindsight": "yes" if block["hindsight"] else "no",
        }
        for block in recipe["blocks"]
    ]


def tabulate_left_out(recipe: Recipe) -> list[Row]:
    """One row a reason: how many of the candidates made no sample because of it."""
    counts = recipe["counts"]
    return [
        {"reason": reason.replace("_", " "), "decisions": count, "share": round(count / counts["candidates"], 5)}
        for reason, count in counts.items()
        if reason != "candidates"
    ]


def tabulate_classes(recipe: Recipe) -> list[Row]:
    """One row a class: its samples on the stride in every part; none where the labels have no classes."""
    distribution = recipe["class_distribution"]
    return [
        {"class": f"{number}: {name}", **{part: counts[number] for part, counts in distribution.items()}}
        for number, name in enumerate(recipe["class_names"])
    ]


def tabulate_streams(recipe: Recipe) -> list[Row]:
    """One row a stream: the shape of a step, its type, its look-back, where its bytes lie, columns found constant."""
    return [
        {
            "stream": name,
            "shape of a step": " x ".join(str(size) for size in stream["step_shape"]),
            "type": stream["dtype"],
            "look-back, steps": stream["lookback_steps"],
            "lies in": stream["lies_in"],
            "constant columns": len(recipe["scaling"].get(name, {}).get("constant", ())),
        }
        for name, stream in recipe["streams"].items()
    ]


def _instant(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / MICROSECONDS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")
