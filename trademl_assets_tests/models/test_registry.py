import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from trademl_assets.models.dual_channel import DualChannel
from trademl_assets.models.parameters import DualChannelParameters
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets_tests.models.examples import inputs, stated


def test_a_family_chooses_its_parameters_and_builds() -> None:
    text = json.dumps({"family": "dual_channel", "parameters": stated()})
    model = ModelParameters.model_validate_json(text)
    assert isinstance(model.parameters, DualChannelParameters)
    assert isinstance(MODELS.get(model.family).build(model.parameters, inputs()), DualChannel)
    assert json.loads(model.model_dump_json())["parameters"] == stated()


def test_an_unknown_family_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="unknown model family 'single_channel' -> choose one of dual_channel"):
        ModelParameters.model_validate_json(json.dumps({"family": "single_channel", "parameters": {}}))


def test_configuration_and_launcher_do_not_import_torch() -> None:
    modules = "trademl_assets.models.registry, trademl_assets.training.parameters, trademl_assets.training.launch"
    code = f"import sys, {modules}; sys.exit(any(name in sys.modules for name in ('torch', 'lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
