"""The demo's network, as it was when its figures were measured: the same seed must give the same weights and logits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from trademl_assets.models.network import Network
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets_tests.models.examples import ASSETS, STATISTICS, batch_of, inputs, raw_streams

DEMO = Path(__file__).parents[2] / "configs" / "demo" / "models.yaml"
LOOKBACK = 60
WEIGHT_SUMS = {
    "encoder.step.0.weight": 0.81346,
    "encoder.step.0.bias": 0.21945,
    "encoder.token.0.weight": -3.05424,
    "encoder.token.0.bias": 0.94956,
    "history.lstm.weight_ih_l0": 3.96146,
    "history.lstm.weight_hh_l0": 4.36322,
    "history.lstm.bias_ih_l0": 48.08444,
    "history.lstm.bias_hh_l0": 0.83164,
    "context.long_term.convolutions.0.weight": 1.10905,
    "context.long_term.convolutions.0.bias": -0.28758,
    "context.long_term.summary.0.weight": 0.38576,
    "context.long_term.summary.0.bias": 0.20366,
    "context.layer.weight": 0.0,
    "head.linear.weight": -0.67099,
    "head.linear.bias": 0.0,
}
LOGITS = [
    [-6.352651, -1.673844, -1.175199, -1.172885, -1.657314, -6.291352],
    [-3.985566, -1.350388, -1.508944, -1.506756, -1.344842, -3.967206],
    [-5.724009, -1.580419, -1.241022, -1.238677, -1.567579, -5.672497],
]


@pytest.fixture
def demo() -> Network:
    model = ModelParameters.model_validate_json(json.dumps(yaml.safe_load(DEMO.read_text())["dual_channel"]))
    known = inputs()
    streams = {name: replace(stream, lookback_steps=LOOKBACK) for name, stream in known.streams.items()}
    torch.manual_seed(7)
    return MODELS.get(model.family).build(model.parameters, replace(known, streams=streams)).eval()


def test_weights_begin_as_they_did(demo: Network) -> None:
    found = {name: float(weight.detach().double().sum()) for name, weight in demo.named_parameters()}
    assert list(found) == list(WEIGHT_SUMS)
    assert found == pytest.approx(WEIGHT_SUMS, abs=2e-4)


def test_logits_are_as_they_were(demo: Network) -> None:
    with torch.no_grad():
        steps = demo.step_features(raw_streams(200, 1))
        batch = batch_of(steps[None], [(0, 0), (0, 7)], [(0, 3), (0, 6), (1, 4)])
        days = torch.arange(2.0)[:, None, None, None].expand(2, LOOKBACK, STATISTICS, ASSETS)
        torch.testing.assert_close(demo(replace(batch, days=days)), torch.tensor(LOGITS), atol=1e-5, rtol=0)
