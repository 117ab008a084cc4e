"""What two datasets do not have in common: what was asked for, what they were built from, what came of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from trademl_assets.datasets.windows import Dataset

Section = Literal["recipe", "data", "statistics"]
SHOWN_DIGITS = 6
IDENTITY = ("t0", "t1", "instrument", "horizon_seconds")


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        section: `recipe` (what was asked for), `data` (partitions it was built from) or `statistics` (what came of it).
        name: Dotted key, asset or figure.
        left, right: What each dataset says, as short text; empty where it says nothing.
    """

    section: Section
    name: str
    left: str
    right: str


def differences(left: Dataset, right: Dataset) -> list[Difference]:
    """Compare two opened datasets.

    Returns:
        What differs, in the order of the sections; none where both are the same.
    """
    return [
        *_differing("recipe", _flat(left.recipe["parameters"]), _flat(right.recipe["parameters"])),
        *_data(left.recipe["upstream"], right.recipe["upstream"]),
        *_differing("statistics", _figures(left), _figures(right)),
        *_samples(left.index, right.index),
    ]


def _differing(section: Section, left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for name in [*left, *(name for name in right if name not in left)]:
        if left.get(name) != right.get(name):
            yield Difference(section, name, left.get(name, ""), right.get(name, ""))


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested JSON as dotted keys; lists of plain values stay whole."""
    if isinstance(value, Mapping):
        inner = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        inner = [(str(number), each) for number, each in enumerate(value)]
    else:
        return {name: _text(value)}
    found: dict[str, str] = {}
    for key, each in inner:
        found |= _flat(each, f"{name}.{key}" if name else key)
    return found


def _data(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    """Partitions that only one was built from, and those whose content is another, counted by asset."""
    only_left = _by_asset(place for place in left if place not in right)
    only_right = _by_asset(place for place in right if place not in left)
    changed = _by_asset(place for place in left if place in right and left[place] != right[place])
    for asset in sorted({*only_left, *only_right}):
        yield Difference("data", f"{asset}: of one alone", str(only_left[asset]), str(only_right[asset]))
    for asset in sorted(changed):
        yield Difference("data", f"{asset}: with other content", str(changed[asset]), str(changed[asset]))


def _by_asset(places: Iterator[str]) -> Counter[str]:
    return Counter(place.split("/", 1)[0] for place in places)


def _figures(dataset: Dataset) -> dict[str, str]:
    recipe = dataset.recipe
    figures = {"class edges, bps": _text(recipe["boundaries_bps"])}
    for target, cut in recipe["class_edges"].items():
        figures |= {f"class edges of {target} over {horizon} s": _text(edges) for horizon, edges in cut.items()}
    figures |= {f"left out: {reason}": _text(count) for reason, count in recipe["counts"].items()}
    figures |= {f"independent labels of {part}": _text(count) for part, count in recipe["effective_samples"].items()}
    figures |= _class_figures(recipe["class_distribution"], "")
    if len(recipe["by_target"]) > 1:
        for each in recipe["by_target"]:
            figures |= _class_figures(each["horizons"][0]["class_distribution"], f" of {each['instrument']}")
    for stream, fitted in recipe["scaling"].items():
        figures[f"median scale of {stream}"] = _text(float(np.median(fitted["scale"])))
        figures[f"constant columns of {stream}"] = _text(len(fitted["constant"]))
    return figures


def _class_figures(distribution: Mapping[str, Any], of_whom: str) -> dict[str, str]:
    figures = {}
    for part, counts in distribution.items():
        shares = np.asarray(counts, dtype=np.float64)
        figures[f"samples of {part}{of_whom}"] = _text(int(shares.sum()))
        figures[f"class shares of {part}{of_whom}"] = _text(np.round(shares / max(shares.sum(), 1.0), 4).tolist())
    return figures


def _samples(left: pl.DataFrame, right: pl.DataFrame) -> Iterator[Difference]:
    shared = left.join(right, on=list(IDENTITY), how="inner", suffix="_right")
    if (left.height, right.height) != (shared.height, shared.height):
        yield Difference(
            "statistics", "samples of one alone", str(left.height - shared.height), str(right.height - shared.height)
        )
    for column in ("label", "part", "weight"):
        count = shared.filter(pl.col(column) != pl.col(f"{column}_right")).height
        if count:
            told = f"{count} of {shared.height}"
            yield Difference("statistics", f"shared samples with another {column}", told, told)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.{SHOWN_DIGITS}g}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    return "none" if value is None else str(value)
