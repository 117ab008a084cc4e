"""Parameters of the demo's planted market and of a small one, span and strength to choose, for tests of any room."""

import json
from datetime import date, timedelta
from typing import Any

from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

FIRST_DAY = date(2024, 1, 1)
DEMO: dict[str, Any] = {
    "seed": 2,
    "first_day": "2024-01-01",
    "last_day": "2024-02-09",
    "history_days": 90,
    "cadence_seconds": 10,
    "near_levels": 50,
    "bin_upper_edges_bps": [10, 15, 20, 30, 40, 60, 80, 120, 160, 200],
    "instruments": [
        {"name": "LEADUSDT", "initial_price": 40000.0, "minute_volatility_bps": 5.0},
        {"name": "FOLAUSDT", "initial_price": 2500.0, "minute_volatility_bps": 6.0},
        {"name": "FOLBUSDT", "initial_price": 300.0, "minute_volatility_bps": 7.0},
    ],
    "drift": {
        "signal": 0.2,
        "leader_half_life_minutes": 60.0,
        "follower_half_life_minutes": 20.0,
        "follower_share": 0.8,
        "noise_correlation": 0.2,
    },
    "volatility_levels": [0.7, 0.9, 1.3, 1.7, 1.4, 1.1, 0.8, 0.6],
    "books": {
        "levels": 200,
        "bands": [{"slots": 10, "loading": 0.3}, {"slots": 20, "loading": 0.6}, {"slots": 25, "loading": 0.3}],
        "slot_noise_sd": 0.8,
        "persistent_share": 0.5,
        "persistent_half_life_minutes": 30.0,
        "near_median_quantity": 2.0,
        "bin_median_quantity": 8.0,
        "quantity_sd": 0.5,
        "near_gap_bps": 0.12,
        "mean_extra_spread_ticks": 1.0,
        "empty_bin_share": 0.2,
    },
    "delivery": {"jitter_milliseconds": 400, "missing_share": 0.005, "crossed_share": 0.0005},
    "volume": {"half_life_days": 15.0, "sd": 0.3},
    "gate": {"strength": 0.0, "short_days": 30, "long_days": 90, "scale": 0.15},
}
INSTRUMENTS = {
    name: InstrumentParameters(
        name=name, venue="planted", market="usdm", symbol=name, tick_size=tick, reference_quantity=quantity
    )
    for name, tick, quantity in (("LEADUSDT", 0.1, 0.1), ("FOLAUSDT", 0.01, 1.5), ("FOLBUSDT", 0.001, 10.0))
}


def demo_parameters(days: int = 40, signal: float = 0.2, **changes: Any) -> PlantedMarketParameters:
    """The demo's market over `days` days; `changes` replace whole top-level values (JSON-ready)."""
    values = {
        **DEMO,
        "last_day": (FIRST_DAY + timedelta(days=days - 1)).isoformat(),
        "drift": {**DEMO["drift"], "signal": signal},
        **changes,
    }
    return PlantedMarketParameters.model_validate_json(json.dumps(values))


def small_parameters(days: int = 6, signal: float = 0.2, **changes: Any) -> PlantedMarketParameters:
    """A market that is quick to draw: a minute's cadence, 12 + 4 slots, 30 levels, 10 days of history."""
    small = {
        "history_days": 10,
        "cadence_seconds": 60,
        "near_levels": 12,
        "bin_upper_edges_bps": [10, 20, 40, 80],
        "books": {
            **DEMO["books"],
            "levels": 30,
            "bands": [{"slots": 4, "loading": 0.3}, {"slots": 9, "loading": 1.0}],
            "persistent_half_life_minutes": 10.0,
        },
    }
    return demo_parameters(days, signal, **{**small, **changes})
