"""A segment's decisions against each decision computed by itself, from streams gathered by themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trademl_assets.datasets.windows import Dataset
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.data import SegmentFeed, Stretch
from trademl_assets.training.losses import sample_loss, weighted_mean
from trademl_assets.training.member import build_network
from trademl_assets_tests.training.conftest import model_of, training_of

WINDOW = {"kind": "window", "width": 8, "layers": 1, "initial_forget_bias": 1.0, "dropout": 0.1}
ANCHORED = {**WINDOW, "kind": "anchored"}
TCN = {
    "kind": "tcn",
    "width": 8,
    "kernel_tokens": 3,
    "dilations": [1, 2, 4, 8, 16],
    "activation": "gelu",
    "block_dropout": 0.1,
    "dropout": 0.1,
}
AVERAGES = {
    "kind": "averages",
    "half_life_tokens": [0.5, 8.0],
    "learned": True,
    "window_tokens": 32,
    "width": 8,
    "dropout": 0.1,
}
EVERY = 23


def network_of(inputs: ModelInputs, history: dict[str, Any]) -> Network:
    torch.manual_seed(0)
    made = build_network(model_of(history=history), inputs).eval()
    torch.nn.init.normal_(made.context.layer.weight)
    return made


def some_decisions(feed: SegmentFeed) -> list[Stretch]:
    found = []
    for stretch in feed.stretches("train", on_stride_only=False)[1:3]:
        chosen = slice(None, None, EVERY)
        found.append(
            replace(stretch, rows=stretch.rows[chosen], phases=stretch.phases[chosen], patches=stretch.patches[chosen])
        )
    return found


def alone(dataset: Dataset, network: Network, whole: SegmentBatch, row: int, steps: int) -> SegmentBatch:
    """One decision with nothing but the `steps` before it, all of it gathered anew."""
    index = int(whole.rows[row])
    step = int(dataset.index["step"][index])
    raw = {
        name: torch.from_numpy(dataset.gather(name, step - steps + 1, step + 1))
        for name in network.step_features.streams
    }
    before = torch.full((1, network.step_features.width), 1e6)  # position 0 of a view belongs to no patch
    with torch.no_grad():
        window = torch.cat([before, network.step_features(raw)])
    one = slice(row, row + 1)
    clock = np.asarray(dataset.gather("clock", step, step + 1), np.float32)
    return replace(
        whole,
        steps=window[None],
        view_segment=(0,),
        view_phase=(0,),
        decision_view=torch.tensor([0]),
        decision_patches=torch.tensor([steps // network.patch_steps]),
        decision_target=whole.decision_target[one],
        decision_horizon=whole.decision_horizon[one],
        sigma_bps=whole.sigma_bps[one],
        clock=torch.from_numpy(clock),
        days=torch.from_numpy(dataset.long_term(step // dataset.steps_per_day)[None].copy()),
        decision_day=torch.tensor([0]),
        labels=whole.labels[one],
        returns_bps=whole.returns_bps[one],
        weights=whole.weights[one],
        rows=whole.rows[one],
    )


def gradients(network: Network) -> dict[str, torch.Tensor]:
    return {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("history", [WINDOW, TCN, AVERAGES, ANCHORED], ids=lambda each: each["kind"])
def test_a_segment_gives_the_loss_and_gradients_of_its_decisions_alone(
    dataset: Dataset, inputs: ModelInputs, history: dict[str, Any]
) -> None:
    network = network_of(inputs, history)
    feed = SegmentFeed(dataset, network)
    stretches = some_decisions(feed)
    whole = feed.batch(stretches)
    loss_of = sample_loss(training_of().loss, network)
    together = weighted_mean(loss_of(network, whole), whole, 1)
    together.backward()
    expected = gradients(network)
    network.zero_grad()
    total, first = 0.0, {int(row): stretch.first_step for stretch in stretches for row in stretch.rows}
    for row, index in enumerate(whole.rows.tolist()):
        since = int(dataset.index["step"][index]) - first[index]
        steps = since // network.patch_steps * network.patch_steps if history is ANCHORED else network.window_steps
        assert steps is not None
        single = alone(dataset, network, whole, row, steps)
        loss = weighted_mean(loss_of(network, single), single, 1)
        loss.backward()
        total += float(loss.detach())
    assert len(whole.rows) > 20
    assert total == pytest.approx(float(together.detach()), abs=1e-6)
    found = gradients(network)
    assert found.keys() == expected.keys()
    assert any(float(each.abs().max()) > 1e-3 for each in expected.values())
    for name, each in expected.items():
        torch.testing.assert_close(found[name], each, atol=1e-5, rtol=0)
