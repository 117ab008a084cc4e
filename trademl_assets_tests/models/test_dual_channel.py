from dataclasses import replace
from typing import Any

import pytest
import torch

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.dual_channel import DualChannel, build_dual_channel
from trademl_assets.models.inputs import ModelInputs
from trademl_assets_tests.models.examples import (
    LOOKBACK,
    PATCH,
    batch_of,
    inputs,
    network,
    parameters_of,
    raw_streams,
    stated,
)

LENGTH = 101


def features(made: DualChannel, seed: int, steps: int = LENGTH) -> torch.Tensor:
    with torch.no_grad():
        return made.step_features(raw_streams(steps, seed))


def test_window_equals_encoding_each_window_alone() -> None:
    made = network(history__kind="window")
    steps = torch.stack([features(made, 1), features(made, 2)])
    views = [(0, 0), (1, 3), (0, 2)]
    decisions = [(0, 8), (0, 20), (1, 13), (1, 19), (2, 9)]
    shared = made(batch_of(steps, views, decisions))
    window = LOOKBACK // PATCH
    for row, (view, patches) in enumerate(decisions):
        segment, phase = views[view]
        last = phase + patches * PATCH
        alone = steps[segment, last - LOOKBACK : last + 1][None]
        single = batch_of(alone, [views[view]], [(0, patches)])
        single = replace(
            single,
            view_segment=(0,),
            view_phase=(0,),
            decision_patches=torch.tensor([window]),
            decision_day=torch.tensor([patches % 2]),
        )
        torch.testing.assert_close(shared[row], made(single)[0], atol=1e-6, rtol=1e-6)


def test_anchored_equals_a_replay_from_the_beginning_of_the_segment() -> None:
    made = network()
    steps = features(made, 3)[None]
    shared = made(batch_of(steps, [(0, 2)], [(0, 4), (0, 11), (0, 19)]))
    for row, patches in enumerate((4, 11, 19)):
        tokens = made.encoder(batch_of(steps, [(0, 2)], [(0, patches)]))[0, :patches]
        state = None
        for token in tokens:
            output, state = made.history.lstm(token[None, None], state)
        replayed = made.history(tokens[None], batch_of(steps, [(0, 2)], [(0, patches)]))
        torch.testing.assert_close(output[0, 0], replayed[0])
        torch.testing.assert_close(made(batch_of(steps, [(0, 2)], [(0, patches)]))[0], shared[row])


@pytest.mark.parametrize("kind", ["anchored", "window"])
def test_nothing_after_the_decision_is_read(kind: str) -> None:
    made = network(history__kind=kind)
    steps = features(made, 4)[None]
    decisions = [(0, 9), (0, 12)]
    changed = steps.clone()
    changed[:, 3 + 12 * PATCH + 1 :] += 5.0
    torch.testing.assert_close(
        made(batch_of(steps, [(0, 3)], decisions)), made(batch_of(changed, [(0, 3)], decisions)), atol=0, rtol=0
    )
    changed[:, 3 + 12 * PATCH] += 5.0
    after = made(batch_of(changed, [(0, 3)], decisions))
    assert not torch.allclose(made(batch_of(steps, [(0, 3)], decisions))[1], after[1])


@pytest.mark.parametrize("pooling", ["mean", "linear"])
def test_tokens_at_any_phase_equal_encoding_from_there(pooling: str) -> None:
    made = network(encoder__pooling=pooling)
    steps = features(made, 5)
    for phase in range(PATCH):
        shared = made.encoder(batch_of(steps[None], [(0, 0), (0, phase)], [(0, 1)]))[1]
        whole = (LENGTH - 1 - phase) // PATCH
        alone = made.encoder(batch_of(steps[None, phase:], [(0, 0)], [(0, 1)]))[0]
        torch.testing.assert_close(shared[:whole], alone[:whole], atol=1e-6, rtol=1e-6)


def test_zeros_behind_a_shorter_segment_change_nothing() -> None:
    made = network()
    short, long = features(made, 6, 61), features(made, 7)
    padded = torch.stack([torch.nn.functional.pad(short, (0, 0, 0, LENGTH - 61)), long])
    together = made(batch_of(padded, [(0, 1), (1, 0)], [(0, 11), (1, 20)]))
    alone = made(batch_of(short[None], [(0, 1)], [(0, 11)]))
    torch.testing.assert_close(together[0], alone[0], atol=1e-6, rtol=1e-6)


def test_a_decision_before_the_first_patch_has_the_initial_state() -> None:
    made = network()
    batch = batch_of(features(made, 8)[None], [(0, 0)], [(0, 0)])
    assert (made.history(made.encoder(batch), batch) == 0).all()


def test_channels_switched_off_leave_the_network() -> None:
    changes = {"long_term": None, "clock": False, "context": None, "book": None, "mask": False}
    made = network(history__kind="window", **changes)
    assert made.streams == ("price",)
    names = {name.split(".")[0] for name, _ in made.named_parameters()}
    assert names == {"encoder", "history", "merge", "head"}


def test_long_term_channel_reads_the_newest_days_where_strides_do_not_divide() -> None:
    made = network()
    batch = batch_of(features(made, 9)[None], [(0, 0)], [(0, 4)])
    assert made.context is not None
    assert made.context.long_term is not None
    assert batch.days is not None
    days = batch.days.clone().requires_grad_()
    made.context.long_term(days).sum().backward()
    assert days.grad is not None
    assert (days.grad.abs().amax(dim=(0, 2, 3)) > 0).tolist() == [False] + 11 * [True]


def test_kernels_longer_than_the_look_back_are_refused() -> None:
    with pytest.raises(ConfigError, match="look-back of 12 days"):
        network(long_term__kernel_days=9)


def test_a_patch_that_does_not_divide_the_look_back_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not divide"):
        network(encoder__steps=7)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"book": None, "price": False, "mask": False}, "reads nothing"),
        ({"context": None}, "context is needed"),
        ({"clock": False, "long_term": None}, "must be null where neither"),
        ({"head__initial_log_scale_spread": 3.0}, "must lie below"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parameters_of(stated(**changes))


@pytest.mark.parametrize("shared", [True, False])
def test_every_weight_takes_part(shared: bool) -> None:  # noqa: FBT001 -- a test's parameter
    made = network(encoder__shared_by_instruments=shared).train()
    assert made.context is not None
    torch.nn.init.normal_(made.context.layer.weight)
    batch = batch_of(features(made, 10)[None], [(0, 0)], [(0, n) for n in range(1, 20)])
    torch.nn.functional.cross_entropy(made(batch), batch.labels).backward()
    silent = [name for name, weight in made.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_the_context_is_silent_at_first_and_then_heard() -> None:
    made = network()
    assert made.context is not None
    batch = batch_of(features(made, 11)[None], [(0, 0)], [(0, 5), (0, 9)])
    assert batch.clock is not None
    assert batch.days is not None
    other = replace(batch, clock=batch.clock + 1, days=batch.days - 1)
    torch.testing.assert_close(made(batch), made(other), atol=0, rtol=0)
    torch.nn.init.ones_(made.context.layer.weight)
    assert not torch.allclose(made(batch), made(other))
    names = {name for name, weight in made.named_parameters() for own in made.context_parameters() if weight is own}
    assert names == {name for name, _ in made.named_parameters() if name.startswith("context.")}


def test_forget_gates_begin_with_their_bias() -> None:
    made = network(history__initial_forget_bias=1.5)
    bias = made.history.lstm.bias_ih_l0 + made.history.lstm.bias_hh_l0
    assert (bias[9:18] == 1.5).all()
    assert not (bias[:9] == 1.5).any()
    assert inputs().classes == 6


def test_classes_that_are_not_cut_by_the_return_need_the_softmax_head() -> None:
    barriers = replace(inputs(), boundaries_bps=None, edges_bps=None, classes=3)
    softmax = build_dual_channel(parameters_of(stated(head={"kind": "softmax"})), barriers)
    assert softmax(batch_of(features(softmax, 1)[None], [(0, 0)], [(0, 8)])).shape == (1, 3)
    assert ModelInputs.from_json(barriers.as_json()).boundaries_bps is None
    with pytest.raises(ConfigError, match="not cut by the return in bps -> choose the softmax head"):
        build_dual_channel(parameters_of(stated()), barriers)


def test_instruments_that_are_not_read_reach_no_channel() -> None:
    made = network(instruments=["FOLLOW"])
    raw = raw_streams(LENGTH, 1)
    other = {**raw, "price": raw["price"].clone()}
    other["price"][:, :5] += 1
    torch.testing.assert_close(made.step_features(raw), made.step_features(other), atol=0, rtol=0)
    assert made.context is not None
    torch.nn.init.normal_(made.context.layer.weight)
    batch = batch_of(features(made, 1)[None], [(0, 0)], [(0, 8)])
    assert batch.days is not None
    days = batch.days.clone()
    days[..., 0] += 1
    torch.testing.assert_close(made(batch), made(replace(batch, days=days)), atol=0, rtol=0)
    days[..., 1] += 1
    assert not torch.allclose(made(batch), made(replace(batch, days=days)))
