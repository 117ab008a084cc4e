from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.dual_channel import DualChannel
from trademl_assets.models.histories import AveragedHistory, ConvolutionalHistory
from trademl_assets_tests.models.examples import LOOKBACK, PATCH, batch_of, network, parameters_of, raw_streams, stated

TCN = {
    "kind": "tcn",
    "width": 9,
    "kernel_tokens": 2,
    "dilations": [1, 2, 4],
    "activation": "relu",
    "block_dropout": 0.1,
    "dropout": 0.1,
}
AVERAGES = {
    "kind": "averages",
    "half_life_tokens": [0.5, 3.0],
    "learned": True,
    "window_tokens": 8,
    "width": 9,
    "dropout": 0.1,
}
RECEPTIVE = 8
"""Tokens that both read."""


def tcn(seed: int = 0, **changes: Any) -> DualChannel:
    return network(seed, history={**TCN, **changes})


def averaged(seed: int = 0, **changes: Any) -> DualChannel:
    return network(seed, history={**AVERAGES, **changes})


def features(made: DualChannel, seed: int, steps: int = 101) -> torch.Tensor:
    with torch.no_grad():
        return made.step_features(raw_streams(steps, seed))


def test_the_receptive_field_is_what_dilations_reach() -> None:
    history = parameters_of(stated(history=TCN)).history
    assert history.kind == "tcn"
    assert history.receptive_field == RECEPTIVE
    assert parameters_of(stated(history={**TCN, "kernel_tokens": 3, "dilations": [1, 2, 4, 8, 16, 32, 64]})).history
    made = tcn(dilations=[1, 3])
    tokens = torch.randn(1, 20, 8, requires_grad=True)
    made.history(tokens, batch_of(features(made, 1)[None], [(0, 0)], [(0, 15)])).sum().backward()
    assert tokens.grad is not None
    read = torch.nonzero(tokens.grad.abs().sum(dim=2)[0]).flatten()
    assert (int(read.min()), int(read.max())) == (10, 14)
    assert made.window_steps == 5 * PATCH


@pytest.mark.parametrize("make", [tcn, averaged])
def test_a_decision_equals_its_window_alone_and_its_gradients_too(make: Callable[[], DualChannel]) -> None:
    made = make()
    steps = torch.stack([features(made, 1), features(made, 2)])
    views, decisions = [(0, 0), (1, 3), (0, 2)], [(0, 8), (0, 20), (1, 13), (1, 19), (2, 9)]
    made.zero_grad()
    shared = made(batch_of(steps, views, decisions))
    shared.square().sum().backward()
    together = {name: weight.grad.clone() for name, weight in made.named_parameters() if weight.grad is not None}
    made.zero_grad()
    for row, (view, patches) in enumerate(decisions):
        segment, phase = views[view]
        last = phase + patches * PATCH
        single = batch_of(steps[segment, last - LOOKBACK : last + 1][None], [views[view]], [(0, patches)])
        single = replace(
            single,
            view_segment=(0,),
            view_phase=(0,),
            decision_patches=torch.tensor([RECEPTIVE]),
            decision_day=torch.tensor([patches % 2]),
        )
        alone = made(single)
        torch.testing.assert_close(shared[row], alone[0], atol=1e-6, rtol=1e-6)
        alone.square().sum().backward()
    for name, weight in made.named_parameters():
        if name in together:
            torch.testing.assert_close(weight.grad, together[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [tcn, averaged])
def test_no_token_behind_a_decision_or_before_its_window_changes_it(make: Callable[[], DualChannel]) -> None:
    made = make()
    steps = features(made, 4)[None]
    changed = steps.clone()
    changed[:, 3 + 12 * PATCH + 1 :] += 5.0
    changed[:, : 3 + 4 * PATCH + 1] += 5.0
    before, after = (made(batch_of(each, [(0, 3)], [(0, 12), (0, 13)])) for each in (steps, changed))
    torch.testing.assert_close(before[0], after[0], atol=0, rtol=0)
    assert not torch.allclose(before[1], after[1])


def test_a_receptive_field_beyond_the_look_back_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads 9 tokens, the look-back holds 8 -> leave out a dilation"):
        tcn(dilations=[1, 2, 5])
    assert isinstance(tcn().history, ConvolutionalHistory)


@pytest.mark.parametrize("make", [tcn, averaged])
def test_every_weight_of_the_history_takes_part(make: Callable[[], DualChannel]) -> None:
    made = make().train()
    batch = batch_of(features(made, 5)[None], [(0, 0)], [(0, n) for n in range(8, 20)])
    torch.nn.functional.cross_entropy(made(batch), batch.labels).backward()
    silent = [name for name, weight in made.history.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


@given(
    half_lives=st.lists(st.floats(min_value=0.1, max_value=100.0), min_size=1, max_size=3),
    doublings=st.integers(min_value=1, max_value=5),
    count=st.integers(min_value=1, max_value=40),
    seed=st.integers(min_value=0, max_value=2**16),
)
@settings(max_examples=40, deadline=None)
def test_an_average_weighs_each_token_by_the_half_lives_that_it_is_old(
    half_lives: list[float], doublings: int, count: int, seed: int
) -> None:
    window = 2**doublings
    parameters = parameters_of(stated(history={**AVERAGES, "half_life_tokens": half_lives, "window_tokens": window}))
    assert parameters.history.kind == "averages"
    history = AveragedHistory(3, 32, parameters.history)
    tokens = torch.randn(2, count, 3, generator=torch.Generator().manual_seed(seed))
    found = history.averages(tokens)
    for number, half_life in enumerate(half_lives):
        weights = 0.5 ** (torch.arange(window, dtype=torch.float64) / half_life)
        weights = torch.flip(weights / weights.sum(), dims=[0])
        padded = torch.nn.functional.pad(tokens.double(), (0, 0, window - 1, 0))
        expected = torch.einsum("vnwk,k->vnw", padded.unfold(1, window, 1), weights)
        of_one = found[:, :, 3 * number : 3 * (number + 1)].double()
        torch.testing.assert_close(of_one, expected, atol=1e-5, rtol=1e-4)


def test_half_lives_stay_where_they_are_not_to_be_learned() -> None:
    made = averaged(learned=False).train()
    batch = batch_of(features(made, 5)[None], [(0, 0)], [(0, n) for n in range(8, 20)])
    torch.nn.functional.cross_entropy(made(batch), batch.labels).backward()
    assert isinstance(made.history, AveragedHistory)
    assert made.history.log_half_lives.grad is None
    torch.testing.assert_close(made.history.log_half_lives.exp()[::8], torch.tensor([0.5, 3.0]))


def test_a_window_that_is_not_doubled_or_longer_than_the_look_back_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"window_tokens \(6\) must be a power of two -> 4 or 8"):
        averaged(window_tokens=6)
    with pytest.raises(ConfigError, match="window_tokens is 16, the look-back holds 8 -> shorten the window"):
        averaged(window_tokens=16)
