"""Configured importers and small known days, for the tests of the file formats."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from trademl_assets.sources import market  # noqa: F401 -- importing registers the kinds
from trademl_assets.sources.contract import SOURCES, TALL_SCHEMA, InstrumentParameters

DAY = date(2024, 3, 5)
MIDNIGHT = datetime(2024, 3, 5, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "equal": {},
    "snapshot_cadence_seconds": None,
    "max_silence_seconds": None,
    "max_out_of_order_share": 0.0,
    "missing_texts": [],
    "max_rows": 2_000_000,
    "max_file_bytes": 500_000_000,
    "max_compression_ratio": 200.0,
}
BOOKS: dict[str, Any] = {**COMMON, "repeated_instants": "refuse"}
SNIFFED = {"column": "ts", "unit": "sniff", "zone": None}
PLAIN_NAMES = {name: name for name in ("bid_price", "bid_quantity", "ask_price", "ask_quantity")}
LIST_NAMES = {
    "bid_price": "bid_price",
    "bid_quantity": "bid_size",
    "ask_price": "ask_price",
    "ask_quantity": "ask_size",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "tall_files": {
        **COMMON,
        "time": SNIFFED,
        "batch": "batch_id",
        "level": "level",
        "first_level": 0,
        "layout": {"by": "paired", **PLAIN_NAMES},
        "max_levels": 1000,
        "headerless_columns": [],
    },
    "depth_files": {
        **BOOKS,
        "time": SNIFFED,
        "batch": "last_update_id",
        "columns": LIST_NAMES,
        "max_levels": 1000,
    },
    "json_level_files": {
        **BOOKS,
        "time": {"column": "tm", "unit": "sniff", "zone": None},
        "batch": None,
        "columns": {"bids": "b", "asks": "a"},
        "max_levels": 1000,
        "headerless_columns": [],
    },
    "tardis_snapshots": {**BOOKS, "clock": "timestamp", "max_levels": 1000},
    "level_column_files": {
        **BOOKS,
        "time": SNIFFED,
        "batch": None,
        "columns": {
            "bid_price": "bid{level}",
            "bid_quantity": "bid_size{level}",
            "ask_price": "ask{level}",
            "ask_quantity": "ask_size{level}",
        },
        "prices": {"form": "price", "divisor": 1.0, "midpoint": None, "max_tick_error": None},
        "quantities": {"form": "base", "divisor": 1.0},
        "max_levels": 1000,
        "headerless_columns": [],
    },
    "binance_book_ticker": {**BOOKS, "clock": "transaction_time"},
}


def instrument(name: str = "ABC", symbol: str = "ABCUSDT", tick_size: float = 0.01) -> InstrumentParameters:
    return InstrumentParameters.model_validate(
        {
            "name": name,
            "venue": "binance",
            "market": "spot",
            "symbol": symbol,
            "tick_size": tick_size,
            "reference_quantity": 1.0,
        }
    )


ABC = instrument()


def source(kind: str, path: Path | str, of: InstrumentParameters = ABC, **changes: Any) -> Any:
    settings = {"files": {of.name: str(path)}, **SETTINGS[kind], **changes}
    built = SOURCES.get(kind)
    return built(built.parameters.model_validate_json(json.dumps(settings)), {of.name: of})


def tall_day(*seconds: float, levels: int = 2) -> pl.DataFrame:
    """Books at `seconds` after midnight, `levels` deep, one level fewer on the ask side."""
    rows = [
        {
            "ts": MIDNIGHT + timedelta(seconds=second),
            "batch_id": number,
            "level": level,
            "bid_price": 100.0 - 0.01 * level,
            "bid_quantity": 1.0 + level + number,
            "ask_price": 100.5 + 0.01 * level if level < levels - 1 else None,
            "ask_quantity": 2.0 + level if level < levels - 1 else None,
        }
        for number, second in enumerate(seconds)
        for level in range(levels)
    ]
    return pl.DataFrame(rows, schema=dict(TALL_SCHEMA))
