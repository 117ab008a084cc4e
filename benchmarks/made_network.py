"""A network of the demo's shape for the dataset of seven assets, and what a recipe must state to be trained on."""

import json
from typing import Any, Literal

from benchmarks.made_dataset import ASSETS, HORIZON_SECONDS, STEPS_PER_DAY
from benchmarks.market import PROJECT
from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.models.parameters import DualChannelParameters
from trademl_assets.training.parameters import TrainingParameters

BookKind = Literal["bands", "flat"]
INSTRUMENTS = tuple(f"ASSET{number}" for number in range(ASSETS))
BOUNDARIES_BPS = (-60.0, -30.0, -12.0, 0.0, 12.0, 30.0, 60.0)
WITHOUT_CONTEXT: dict[str, Any] = {"clock": False, "long_term": None, "context": None}
FLAT_BOOK = {"kind": "flat", "slots": None}
DROPOUT_FREE = ("encoder", "history", "merge")
WIDE = 64
WIDE_ENCODER: dict[str, Any] = {
    "shared_by_instruments": False,
    "step_width": WIDE,
    "step_activation": "gelu",
    "pooling": "linear",
    "token_width": WIDE,
    "token_activation": "gelu",
    "token_norm": True,
}


def demo_network(history: str, book: BookKind = "bands") -> DualChannelParameters:
    """Return the demo's network without context, reading tokens by `window` or `anchored`, books as told."""
    stated = _stated(history)
    if book == "flat":
        stated["book"] = FLAT_BOOK
    return DualChannelParameters.model_validate_json(json.dumps(stated))


def wide_network() -> DualChannelParameters:
    """Return a network that reads all 1,743 numbers of a step as they are, 64 wide from there on."""
    stated = _stated("window")
    stated["book"] = FLAT_BOOK
    stated["encoder"] |= WIDE_ENCODER
    stated["history"]["width"] = WIDE
    for name in DROPOUT_FREE:
        stated[name]["dropout"] = 0.0
    return DualChannelParameters.model_validate_json(json.dumps(stated))


def window_network() -> DualChannelParameters:
    """Return the demo's network as it reads exactly a window, without context and without dropout."""
    stated = _stated("window")
    for name in DROPOUT_FREE:
        stated[name]["dropout"] = 0.0
    return DualChannelParameters.model_validate_json(json.dumps(stated))


def demo_training(**changes: Any) -> TrainingParameters:
    """Return how the demo trains, but for changes."""
    stated = _demo().training.model_dump(mode="json") | changes
    return TrainingParameters.model_validate_json(json.dumps(stated))


def _stated(history: str) -> dict[str, Any]:
    stated: dict[str, Any] = _demo().models["dual_channel"].parameters.model_dump(mode="json") | WITHOUT_CONTEXT
    stated["history"]["kind"] = history
    return stated


def _demo() -> Configuration:
    return load_configuration(PROJECT / "configs" / "demo", {"TRADEML_VAR": "unused"})


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
