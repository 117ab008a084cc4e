"""A network of the demo's shape for the dataset of seven assets, and what a recipe must state to be trained on."""

import json
from typing import Any

from benchmarks.made_dataset import ASSETS, HORIZON_SECONDS, STEPS_PER_DAY
from trademl_assets.models.parameters import DualChannelParameters

INSTRUMENTS = tuple(f"ASSET{number}" for number in range(ASSETS))
BOUNDARIES_BPS = (-60.0, -30.0, -12.0, 0.0, 12.0, 30.0, 60.0)
WINDOW_NETWORK = DualChannelParameters.model_validate_json(
    json.dumps(
        {
            "book": {"slots_per_band": 10, "features": ["imbalance", "depth"]},
            "price": True,
            "mask": True,
            "clock": False,
            "patch": {
                "steps": 30,
                "shared_by_instruments": True,
                "step_width": 4,
                "step_activation": "identity",
                "pooling": "mean",
                "token_width": 16,
                "token_activation": "identity",
                "token_norm": False,
                "dropout": 0.0,
            },
            "history": {"kind": "window", "width": 24, "layers": 1, "initial_forget_bias": 2.0, "dropout": 0.0},
            "long_term": None,
            "context": None,
            "merge": {"widths": [], "activation": "gelu", "dropout": 0.0},
            "head": {
                "kind": "distribution",
                "components": 3,
                "largest_log_scale": 3.0,
                "initial_log_scale_spread": 0.3,
            },
        }
    )
)


RECIPE: dict[str, Any] = {
    "instruments": list(INSTRUMENTS),
    "target": INSTRUMENTS[0],
    "classes": len(BOUNDARIES_BPS) + 1,
    "boundaries_bps": list(BOUNDARIES_BPS),
    "labels": {"horizons_seconds": [HORIZON_SECONDS], "kind": "price_classes"},
    "parameters": {"scaling": {"clip": 8.0}},
    "segments": {"length_steps": STEPS_PER_DAY, "lookback_steps": STEPS_PER_DAY, "start_step": 0},
    "blocks": [{"part": "train", "first_us": 0, "last_us": 2**62}],
}
"""What training asks a recipe for, beyond what reading does."""
