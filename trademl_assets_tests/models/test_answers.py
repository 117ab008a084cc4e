from dataclasses import replace
from typing import Any

import pytest
import torch

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.answers import refuse_unanswered
from trademl_assets.models.dual_channel import DualChannel
from trademl_assets.models.network import SegmentBatch
from trademl_assets_tests.models.examples import (
    batch_of,
    inputs,
    network,
    parameters_of,
    pooled_inputs,
    raw_streams,
    stated,
)

ALL = {"horizons": "all", "targets": "all", "target_embedding_width": 3}
SOFTMAX = {"kind": "softmax"}
PLACES = [(0, 9), (0, 14)]


def answering(seed: int = 0, **changes: Any) -> DualChannel:
    made = network(seed, pooled_inputs(), **{"answers": ALL, **changes})
    if made.gate is not None:
        torch.nn.init.normal_(made.gate.layer.weight)
    return made


def asked(made: DualChannel, *, target: int, horizon: int) -> SegmentBatch:
    with torch.no_grad():
        steps = made.step_features(raw_streams(101, 1))
    batch = batch_of(steps[None], [(0, 0)], PLACES)
    places = torch.full((len(PLACES),), 1)
    return replace(batch, decision_target=target * places, decision_horizon=horizon * places)


def joined(made: DualChannel) -> SegmentBatch:
    """The same places asked for all four pairs, side by side."""
    parts = [asked(made, target=target, horizon=horizon) for target in (0, 1) for horizon in (0, 1)]
    names = ("decision_view", "decision_patches", "decision_target", "decision_horizon", "sigma_bps", "clock")
    names += ("decision_day", "labels", "returns_bps", "weights", "rows")
    return replace(parts[0], **{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@pytest.mark.parametrize("kind", ["anchored", "window"])
@pytest.mark.parametrize("head", [SOFTMAX, stated()["head"]], ids=lambda head: head["kind"])
def test_answers_side_by_side_equal_each_asked_alone(kind: str, head: dict[str, Any]) -> None:
    made = answering(history__kind=kind, head=head)
    together = made(joined(made)).chunk(4)
    alone = [made(asked(made, target=target, horizon=horizon)) for target in (0, 1) for horizon in (0, 1)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    for number in range(1, 4):
        assert not torch.allclose(alone[0], alone[number])


def test_a_window_is_read_once_for_all_labels_at_its_end() -> None:
    made = answering(history__kind="window")
    passes: list[int] = []
    made.history.lstm.register_forward_hook(lambda _layer, read, _found: passes.append(len(read[0])))
    made(joined(made))
    assert passes == [len(PLACES)]


def test_classes_of_a_label_are_cut_at_its_own_edges() -> None:
    made = answering(2)
    known = pooled_inputs()
    assert known.edges_bps is not None
    for target in (0, 1):
        for horizon in (0, 1):
            batch = asked(made, target=target, horizon=horizon)
            mixture = made.head.mixture(made.merged(batch), made.answers.asked(batch))
            z = torch.tensor(known.edges_bps[target][horizon])[:, None] / batch.sigma_bps[:, None, None]
            below = torch.special.ndtr((z - mixture.means[:, None]) * torch.exp(-mixture.log_scales[:, None]))
            cumulative = (below * mixture.log_weights.exp()[:, None]).sum(dim=2)
            found = torch.softmax(made(batch), dim=1).cumsum(dim=1)[:, :-1]
            torch.testing.assert_close(found, cumulative, atol=1e-5, rtol=0)


def test_volatility_is_read_relative_to_the_edges_that_are_asked_for() -> None:
    made = answering()
    one, other = asked(made, target=0, horizon=0), asked(made, target=0, horizon=1)
    doubled = made.relative_volatility(2 * other.sigma_bps, made.answers.asked(other))
    torch.testing.assert_close(made.relative_volatility(one.sigma_bps, made.answers.asked(one)), doubled)


def test_instruments_begin_alike_and_are_told_apart_by_their_embedding() -> None:
    made = network(0, pooled_inputs(), answers=ALL, head=SOFTMAX)
    first, second = (made.merged(asked(made, target=target, horizon=0)) for target in (0, 1))
    shift = torch.log(torch.tensor(1.5))  # the volatility relative to edges that are half as wide again
    assert made.gate is not None
    torch.testing.assert_close(made.gate(torch.ones(2, 9), torch.tensor([0, 1])), torch.ones(2, 9), atol=0, rtol=0)
    same = replace(asked(made, target=1, horizon=0), sigma_bps=asked(made, target=0, horizon=0).sigma_bps * shift.exp())
    torch.testing.assert_close(first, made.merged(same))
    assert not torch.allclose(first, second)
    torch.nn.init.normal_(made.gate.layer.weight)
    assert not torch.allclose(first, made.merged(same))


def test_every_weight_of_several_answers_takes_part() -> None:
    made = answering().train()
    assert made.context is not None
    torch.nn.init.normal_(made.context.layer.weight)
    batch = joined(made)
    torch.nn.functional.cross_entropy(made(batch), torch.arange(8) % 6).backward()
    silent = [name for name, weight in made.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []
    horizons = made.head.linear.weight.grad.reshape(2, 9, -1).abs().sum(dim=(1, 2))
    assert (horizons > 0).all()


def test_density_is_that_of_the_label_asked_for() -> None:
    made = answering(history__kind="window")
    together = made.log_density(joined(made)).chunk(4)
    torch.testing.assert_close(together[3], made.log_density(asked(made, target=1, horizon=1)), atol=1e-6, rtol=1e-6)


def test_a_primary_answer_is_the_same_network_whatever_else_is_labelled() -> None:
    alone, among = network(5), network(5, pooled_inputs())
    assert (among.targets, among.horizons_seconds) == (("FOLLOW",), (900,))
    assert alone.state_dict().keys() == among.state_dict().keys()
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(among.state_dict()[name], value, atol=0, rtol=0)


def test_horizons_alone_need_no_embedding() -> None:
    horizons = {"horizons": "all", "targets": "primary", "target_embedding_width": None}
    made = network(0, pooled_inputs(), answers=horizons)
    assert made.gate is None
    assert made.answers.count == 2
    assert made.head.boundaries_bps.shape == (2, 5)
    assert made(asked(made, target=0, horizon=1)).shape == (2, 6)


def test_answers_that_contradict_each_other_or_the_dataset_are_refused() -> None:
    with pytest.raises(ValueError, match="target_embedding_width is needed with targets: all"):
        parameters_of(stated(answers={**ALL, "target_embedding_width": None}))
    with pytest.raises(ValueError, match="must be null with primary"):
        parameters_of(stated(answers={**ALL, "targets": "primary"}))
    with pytest.raises(ConfigError, match="pools labels of FOLLOW, LEAD, and the model does not forecast LEAD"):
        refuse_unanswered(pooled_inputs(), ("FOLLOW",))
    refuse_unanswered(inputs(), ("FOLLOW",))
