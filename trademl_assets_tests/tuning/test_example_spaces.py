"""The example search spaces, as files of a deployment."""

import json
import os
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.models.registry import ModelParameters
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.tuning.space import apply_overrides, overrides_of, suggest_choices
from trademl_assets_tests.conftest import PROJECT

EXAMPLES = PROJECT / "examples" / "search_space"


def deployment(folder: Path, **tuning: Any) -> Configuration:
    """The demo with the example's model and search, and weights that have a half-life."""
    for file in (PROJECT / "configs" / "demo").glob("*.yaml"):
        section = yaml.safe_load(file.read_text())
        if file.stem in ("models", "tuning"):
            section = yaml.safe_load((EXAMPLES / file.name).read_text()) | (tuning if file.stem == "tuning" else {})
        if file.stem == "ablations":
            section = {}
        if file.stem == "training":
            section["segments_per_step"] = 32
        if file.stem == "datasets":
            section["demo"]["weights"] = {"parts": [{"kind": "exponential_age", "half_life_days": 90.0}]}
        (folder / file.name).write_text(yaml.safe_dump(section))
    return load_configuration(folder, {**os.environ, "TRADEML_VAR": str(folder)})


@pytest.mark.parametrize("conditional", [False, True])
def test_every_trial_of_an_example_is_a_model_that_can_be_configured(tmp_path: Path, *, conditional: bool) -> None:
    more = yaml.safe_load((EXAMPLES / "conditional.yaml").read_text()) if conditional else {}
    configuration = deployment(tmp_path, **more)
    model = configuration.models["cnn_lstm"]
    values = {
        "model": model.parameters.model_dump(mode="json"),
        "training": configuration.training.model_dump(mode="json"),
        "weights": configuration.datasets["demo"].weights.model_dump(mode="json"),
    }
    space = configuration.tuning.space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = set()
    for _ in range(20):
        changed = apply_overrides(values, overrides_of(suggest_choices(study.ask(), space), space))
        built = ModelParameters.model_validate_json(
            json.dumps({"family": model.family, "parameters": changed["model"]})
        )
        TrainingParameters.model_validate_json(json.dumps(changed["training"]))
        seen.add(built.model_dump_json())
    assert len(seen) == 20 or conditional
    kinds = {json.loads(each)["parameters"]["history"]["kind"] for each in seen}
    assert kinds == ({"anchored", "tcn"} if conditional else {"anchored"})
