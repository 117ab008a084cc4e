"""Bars made for tests: a random walk of sound bars, and parameters as YAML would give them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.candles.parameters import CandleParameters
from trademl_assets.sources.bar_contract import BAR_SCHEMA

MINUTE = timedelta(minutes=1)


def stated(**quality: Any) -> dict[str, Any]:
    limits = {
        "max_invalid_share": 0.001,
        "max_out_of_order_share": 0.0,
        "min_coverage_share": 0.0,
        "outlier_robust_z": 20.0,
    }
    return {"cadence_seconds": 60, "max_gap_seconds": 180, "quality": {**limits, **quality}}


def candle_parameters(**quality: Any) -> CandleParameters:
    return CandleParameters.model_validate_json(json.dumps(stated(**quality)))


def walk(first: datetime, count: int, seed: int = 0, cadence: timedelta = MINUTE) -> pl.DataFrame:
    """`count` sound bars, one after the other, from `first`."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 5e-4, count)))
    opened = np.concatenate([[100.0], close])[:count]
    high = np.maximum(opened, close) * (1 + rng.exponential(1e-4, count))
    low = np.minimum(opened, close) * (1 - rng.exponential(1e-4, count))
    return pl.DataFrame(
        {
            "ts": [first + number * cadence for number in range(count)],
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": rng.exponential(10.0, count),
            "taker_buy_volume": None,
            "trades": rng.integers(1, 50, count),
        },
        schema=dict(BAR_SCHEMA),
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
