"""Splits as YAML would give them, and the dataset's months they lie in."""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from trademl_assets.datasets.split_kinds import SplitLayout, lay_split
from trademl_assets.datasets.split_parameters import Split, SplitParameters
from trademl_assets.foundation.calendar import from_microseconds

START = datetime(2023, 1, 1, tzinfo=UTC)
END = datetime(2025, 1, 1, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "embargo_seconds": 86_400,
    "degradation": [],
    "minimum_effective_samples": {},
    "on_short_part": "warn",
}
FINAL_BLOCKS = [
    {"part": "train", "length": "P16M"},
    {"part": "validation", "length": "P2M"},
    {"part": "degradation", "name": "6_months", "length": "P2M"},
    {"part": "calibration", "length": "P1M"},
    {"part": "test", "length": "P1M"},
    {"part": "degradation", "name": "recent", "length": "P2M"},
]
AGED = [
    {"name": "12_months", "after": "P12M", "length": "P2M"},
    {"name": "18_months", "after": "P6M", "length": "P2M"},
]
FOLDED: dict[str, Any] = COMMON | {"blocks": FINAL_BLOCKS, "calibration_from": "block"}
EXPANDING: dict[str, Any] = FOLDED | {
    "kind": "expanding",
    "first_train": "P12M",
    "validation": "P2M",
    "step": "P2M",
    "windows": 3,
    "on_overlap": "refuse",
}


def split_of(values: dict[str, Any]) -> Split:
    adapter: TypeAdapter[Split] = TypeAdapter(SplitParameters)
    return adapter.validate_json(json.dumps(values))


def laid(values: dict[str, Any], start: datetime = START, end: datetime = END) -> SplitLayout:
    return lay_split(split_of(values), start, end)


def month(instant_us: int) -> float:
    """Months since the start; whole at the first of a month, else with the days of that month."""
    instant = from_microseconds(instant_us)
    return (instant.year - START.year) * 12 + instant.month - 1 + (instant.day - 1) / 100 + instant.hour / 10_000
