"""Parameters of the example dataset, as YAML would give them."""

import json
from datetime import date, timedelta
from typing import Any

from trademl_assets.datasets.parameters import DatasetParameters

FIRST = date(2024, 1, 4)
DAYS = 4


def stated() -> dict[str, Any]:
    """The parameters as YAML would give them; tests change single keys."""
    return {
        "series_from": "grid",
        "target": "FOLLOW",
        "pooled_with": [],
        "instruments": ["LEAD", "FOLLOW"],
        "first_day": FIRST.isoformat(),
        "last_day": (FIRST + timedelta(days=DAYS - 1)).isoformat(),
        "first_instant": None,
        "minimum_history": "PT2H",
        "partial_fill_threshold": 0.1,
        "labels": {
            "horizons_seconds": [900],
            "decision_stride_seconds": 600,
            "decision_phase_seconds": 0,
            "training_phase_seconds": 300,
            "max_mid_age_seconds": 5.0,
            "minimum_class_support": 100,
            "kind": "price_classes",
            "parameters": {"boundaries": {"kind": "quantile", "classes": 4}},
        },
        "split": {
            "kind": "blocks",
            "degradation": [],
            "minimum_effective_samples": {},
            "on_short_part": "warn",
            "blocks": [
                {"part": "train", "length": "P2D"},
                {"part": "validation", "length": "PT12H"},
                {"part": "calibration", "length": "PT12H"},
                {"part": "test", "length": "P1D"},
            ],
            "embargo_seconds": 3600,
        },
        "sigma": {"short_window_seconds": 3600, "long_window_seconds": 21600, "floor_bps": 0.01},
        "streams": {
            "book": {"lookback": "PT12H"},
            "price": {"lookback": "PT12H"},
            "mask": {"lookback": "PT12H"},
            "clock": {
                "lookback": "PT12H",
                "columns": ["hour", "weekday", "rolling_volatility", "volume_percentile", "market_regime"],
                "encoding": "cyclical",
            },
            "long_term": {"lookback_days": 3, "missing_days": "refuse", "statistics": ["mean_bps", "volume"]},
            "additional": {},
        },
        "weights": {"parts": []},
        "scaling": {
            "method": "robust",
            "method_by_stream": {},
            "lower_quantile": 0.1,
            "upper_quantile": 0.9,
            "constant_below": 1e-9,
            "floors": {"log_sigma_short": 0.05, "log_sigma_long": 0.05},
            "clip": 10.0,
            "rows_at_most": 500,
        },
        "segments": {"length": "P1D", "anchor_lookback": "P1D"},
        "audit": {
            "random_cuts": 50,
            "edge_cuts_at_most": 60,
            "raw_cuts": 2,
            "raw_reach": "PT1H",
            "raw_whole_day_cuts": 2,
            "controls": {
                "draws": 2,
                "training_rows_at_most": 1000,
                "penalties": [0.03, 0.3],
                "planted_correlation": 0.5,
                "block": "PT2H",
                "minimum_blocks": 5,
                "confidence": 0.99,
            },
            "seed": 7,
        },
    }


def parameters_of(values: dict[str, Any]) -> DatasetParameters:
    return DatasetParameters.model_validate_json(json.dumps(values))
