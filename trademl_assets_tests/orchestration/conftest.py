"""A tiny planted market: the demo's own files with fewer days, levels and instants, below a temporary root."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import load_configuration

PROJECT = Path(__file__).resolve().parents[2]
DEMO = PROJECT / "configs" / "demo"
CADENCE = 60
FIRST, LAST, TALL = "2024-01-01", "2024-01-06", "2024-01-06"
HISTORY_DAYS = 6

CHANGES: Mapping[str, Any] = {
    "market": {
        "history_first_day": "2023-12-26",
        "first_day": FIRST,
        "last_day": LAST,
        "tall_rows_from": TALL,
        "sources": {
            "planted": {
                "parameters": {
                    "first_day": FIRST,
                    "last_day": LAST,
                    "history_days": HISTORY_DAYS,
                    "cadence_seconds": CADENCE,
                    "near_levels": 4,
                    "bin_upper_edges_bps": [10.0, 40.0],
                    "books": {"levels": 10, "bands": [{"slots": 4, "loading": 0.5}]},
                }
            }
        },
    },
    "order_book": {
        "compression": {"near_levels": 4, "bin_upper_edges_bps": [10.0, 40.0]},
        "quality": {"gap_seconds": 300},
    },
    "grid": {"cadence_seconds": CADENCE, "max_gap_seconds": 180},
    "long_term": {"window_days": 5, "min_days": 3},
    "datasets": {
        "demo": {
            "first_day": FIRST,
            "last_day": LAST,
            "minimum_history": "PT6H",
            "split": {
                "embargo_seconds": 3600,
                "blocks": [
                    {"part": "train", "length": "P2D"},
                    {"part": "validation", "length": "P1D"},
                    {"part": "calibration", "length": "P1D"},
                    {"part": "test", "length": "P2D"},
                ],
            },
            "streams": {
                "book": {"lookback": "PT4H"},
                "price": {"lookback": "PT4H"},
                "mask": {"lookback": "PT4H"},
                "clock": {"lookback": "PT4H"},
                "long_term": {"lookback_days": 4},
            },
            "audit": {"cuts": 2},
        }
    },
}


def merged(base: Any, changes: Any) -> Any:
    """Mappings are merged, everything else is replaced."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}


def write_configuration(folder: Path, *changes: Mapping[str, Any]) -> Path:
    """Write the demo's files with the changes of the tiny market and then `changes`."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(DEMO.glob("*.yaml")):
        section = yaml.safe_load(file.read_text())
        for change in (CHANGES, *changes):
            section = merged(section, change.get(file.stem, {}))
        (folder / file.name).write_text(yaml.safe_dump(section, sort_keys=False))
    return folder


def tiny_configuration(root: Path, *changes: Mapping[str, Any]) -> Configuration:
    """Read the tiny market whose artifacts lie below `root`."""
    folder = write_configuration(root / "config", *changes)
    return load_configuration(folder, {**os.environ, "TRADEML_VAR": str(root / "var")})


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return tiny_configuration(tmp_path)
