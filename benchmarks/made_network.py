"""A network of the demo's shape for the dataset of seven assets, and what a recipe must state to be trained on."""

import json
from typing import Any

from benchmarks.made_dataset import ASSETS, HORIZON_SECONDS, STEPS_PER_DAY
from benchmarks.market import PROJECT
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.models.parameters import DualChannelParameters

INSTRUMENTS = tuple(f"ASSET{number}" for number in range(ASSETS))
BOUNDARIES_BPS = (-60.0, -30.0, -12.0, 0.0, 12.0, 30.0, 60.0)
WITHOUT_CONTEXT: dict[str, Any] = {"clock": False, "long_term": None, "context": None}
DROPOUT_FREE = ("encoder", "history", "merge")


def window_network() -> DualChannelParameters:
    """Return the demo's network as it reads exactly a window, without context and without dropout."""
    configuration = load_configuration(PROJECT / "configs" / "demo", {"TRADEML_VAR": "unused"})
    stated = configuration.models["dual_channel"].parameters.model_dump(mode="json") | WITHOUT_CONTEXT
    for name in DROPOUT_FREE:
        stated[name]["dropout"] = 0.0
    stated["history"]["kind"] = "window"
    return DualChannelParameters.model_validate_json(json.dumps(stated))


RECIPE: dict[str, Any] = {
    "instruments": list(INSTRUMENTS),
    "target": INSTRUMENTS[0],
    "targets": [INSTRUMENTS[0]],
    "class_edges": {INSTRUMENTS[0]: {str(HORIZON_SECONDS): list(BOUNDARIES_BPS)}},
    "edge_unit": "return_bps",
    "classes": len(BOUNDARIES_BPS) + 1,
    "boundaries_bps": list(BOUNDARIES_BPS),
    "labels": {"horizons_seconds": [HORIZON_SECONDS], "kind": "price_classes"},
    "parameters": {"scaling": {"clip": 8.0}},
    "segments": {"length_steps": STEPS_PER_DAY, "lookback_steps": STEPS_PER_DAY, "start_step": 0},
    "blocks": [{"part": "train", "first_us": 0, "last_us": 2**62}],
}
"""What training asks a recipe for, beyond what reading does."""
