"""No operation of a step mixes tensors of a card with those of the host, shown without a card."""

import json
import subprocess
import sys
from typing import Any

import pytest

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.models.test_encoders import CONVOLUTIONS
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values, model_values
from trademl_assets_tests.training.test_options import ADAM, SGD
from trademl_assets_tests.training.test_several_answers import ALL
from trademl_assets_tests.training.test_windows_alone import ANCHORED, AVERAGES, TCN, WINDOW

SMOOTHED = {"kind": "cross_entropy", "class_weights": "balanced", "label_smoothing": 0.1}
RULES = [{"weights": "encoder.*", "l1": 0.1, "l2": 0.5, "norm": {"kind": "max", "limit": 0.3}}]
MODELS: dict[str, dict[str, Any]] = {
    "averages of flat books under rules": {
        "book": {"kind": "flat", "slots": None},
        "head": {"kind": "softmax"},
        "regularisation": RULES,
    },
    "anchored": {"history": ANCHORED},
    "window": {"history": WINDOW},
    "tcn": {"history": {**TCN, "dilations": [1, 2]}},
    "mirrored": {"mirrored": True},
    "several answers of convolutions": {"answers": ALL, "encoder": CONVOLUTIONS},
}
TRAININGS: dict[str, dict[str, Any]] = {
    "balanced, adam": {"loss": SMOOTHED, "optimiser": {**ADAM, "kind": "adam"}},
    "likelihood, sgd": {"loss": {"kind": "likelihood"}, "optimiser": SGD},
    "focal": {"loss": {"kind": "focal", "gamma": 2.0, "class_weights": "balanced"}},
    "binary": {"loss": {"kind": "binary"}},
    "ranked": {"loss": {"kind": "ranked", "cross_entropy_share": 0.5}},
}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"model": changes} for name, changes in MODELS.items()},
    **{name: {"training": changes} for name, changes in TRAININGS.items()},
    "summed classes": {"groups": [0, 0, 1, 1]},
}


@pytest.fixture(scope="module")
def found(store: ArtifactStore) -> dict[str, str]:
    values: dict[str, Any] = dataset_values()
    values["pooled_with"] = ["LEAD"]
    values["labels"]["horizons_seconds"] = [900, 1800]
    values["labels"]["parameters"] = {"boundaries": {"kind": "fixed", "edges_bps": [-30.0, 0.0, 30.0]}}
    parts = build_dataset(store, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
    with store.write("dataset", "card", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    command = [sys.executable, "-m", "trademl_assets_tests.training.claimed_card", str(store.layout.root)]
    patches = {**model_values()["encoder"], "steps": 60}  # few tokens: an operation costs most that computes nothing
    small = {"encoder": patches, "history": {**AVERAGES, "window_tokens": 8}}
    cases = {
        name: {"training": {}, "groups": None, **case, "model": small | case.get("model", {})}
        for name, case in CASES.items()
    }
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", CASES)
def test_a_step_on_a_card_mixes_nothing_with_the_host(found: dict[str, str], name: str) -> None:
    assert found[name] == ""
