"""Configured importers of external series, and their refusals."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.input_files import noting_inputs
from trademl_assets.sources import market  # noqa: F401 -- importing registers the kinds
from trademl_assets.sources.contract import SOURCES

ALWAYS = (date(1990, 1, 1), date(2030, 1, 1))
LIMITS: dict[str, Any] = {
    "missing_texts": ["."],
    "max_rows": 10_000,
    "max_file_bytes": 2_000_000,
    "max_compression_ratio": 50.0,
}
DAILY: dict[str, Any] = {
    "date_column": "Date",
    "date_format": None,
    "value_column": "Close",
    "publication_time": "16:00",
    "zone": "America/New_York",
    "publication_lag_seconds": 0,
}
SCORED: dict[str, Any] = {
    "published": {"column": "published_at", "unit": "sniff", "zone": None},
    "event": None,
    "score": "score",
    "equal": {},
    "identity": None,
    "reduction": "mean",
    "publication_lag_seconds": 0,
    "allow_forecasts": False,
}


def source(kind: str, series: dict[str, Any], **limits: Any) -> Any:
    built = SOURCES.get(kind)
    return built(built.parameters.model_validate_json(json.dumps({"series": series, **LIMITS, **limits})), {})


def daily(path: Path, **changes: Any) -> pl.DataFrame:
    one = source("daily_series_files", {"index": {**DAILY, "file": str(path), **changes}})
    return _read(one, "index", path)


def scored(path: Path, limits: dict[str, Any] | None = None, **changes: Any) -> pl.DataFrame:
    one = source(
        "scored_events_files",
        {"news": {**SCORED, "file": str(path), **changes}},
        **{"max_message_bytes": 10_000, **(limits or {})},
    )
    return _read(one, "news", path)


def _read(one: Any, name: str, path: Path) -> pl.DataFrame:
    with noting_inputs() as inputs:
        frame: pl.DataFrame = one.series(name, *ALWAYS)
    assert str(path) in inputs, "a changed file would not be noticed"
    return frame


def refusal(read: Any, path: Path, **changes: Any) -> str:
    with pytest.raises(SourceError) as found:
        read(path, **changes)
    text = str(found.value)
    assert path.name in text
    assert "->" in text, "a refusal says what to do"
    return text
