from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.dual_channel import DualChannel
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.mirror import symmetric_inputs
from trademl_assets.models.network import SegmentBatch
from trademl_assets_tests.models.examples import (
    ASSETS,
    BOUNDARIES,
    SLOTS,
    batch_of,
    inputs,
    network,
    pooled_inputs,
    raw_streams,
)

FLAT = {"kind": "flat", "slots": 5}
PLACES = [(0, 9), (0, 14), (1, 10)]
VIEWS = [(0, 0), (1, 2)]


def named(known: ModelInputs) -> ModelInputs:
    streams = dict(known.streams)
    streams["long_term"] = replace(streams["long_term"], columns=("mean_bps", "std_bps", "skew", "present"))
    return replace(known, streams=streams)


def mirrored_network(known: ModelInputs | None = None, **changes: Any) -> DualChannel:
    made = network(0, named(known or inputs()), mirrored=True, **changes)
    assert made.context is not None
    torch.nn.init.normal_(made.context.layer.weight)
    return made


def other_side(raw: dict[str, Tensor]) -> dict[str, Tensor]:
    book = raw["book"].reshape(-1, SLOTS, ASSETS, 2, 2).flip(3).reshape(raw["book"].shape)
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0]).repeat(ASSETS)
    return {**raw, "book": book, "price": raw["price"] * signs}


def classes_of(returns: Tensor) -> Tensor:
    return torch.from_numpy(np.digitize(returns.double().numpy(), BOUNDARIES))


def market(made: DualChannel, raws: list[dict[str, Tensor]], sign: int) -> SegmentBatch:
    with torch.no_grad():
        steps = torch.stack([made.step_features(raw if sign > 0 else other_side(raw)) for raw in raws])
    batch = batch_of(steps, VIEWS, PLACES)
    assert batch.days is not None
    signs = torch.tensor([1.0, 1.0, 1.0, 1.0] if sign > 0 else [-1.0, 1.0, -1.0, 1.0])[:, None]
    returns = sign * batch.returns_bps
    return replace(batch, days=batch.days * signs, returns_bps=returns, labels=classes_of(returns))


@pytest.mark.parametrize("changes", [{}, {"book": FLAT}, {"instruments": ["FOLLOW"]}], ids=["bands", "flat", "one"])
def test_the_mirrored_batch_is_the_batch_of_the_mirrored_market(changes: dict[str, Any]) -> None:
    made = mirrored_network(**changes)
    raws = [raw_streams(101, 1), raw_streams(101, 2)]
    straight, expected = (market(made, raws, sign) for sign in (1, -1))
    assert made.mirror is not None
    found = made.mirror.turn(straight, torch.tensor([True, True]))
    torch.testing.assert_close(found.steps, expected.steps, atol=2e-6, rtol=1e-6)
    assert not torch.allclose(found.steps, straight.steps)
    torch.testing.assert_close(found.returns_bps, expected.returns_bps, atol=0, rtol=0)
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.labels, len(BOUNDARIES) - straight.labels)
    torch.testing.assert_close(made(found), made(expected), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(made(found), made(straight), atol=1e-3)


def test_segments_are_mirrored_each_by_itself_and_twice_is_once_more_the_same() -> None:
    made = mirrored_network()
    raws = [raw_streams(101, 1), raw_streams(101, 2)]
    straight, other = (market(made, raws, sign) for sign in (1, -1))
    assert made.mirror is not None
    found = made(made.mirror.turn(straight, torch.tensor([False, True])))
    torch.testing.assert_close(found[:2], made(straight)[:2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2:], made(other)[2:], atol=1e-5, rtol=1e-5)
    both = torch.tensor([True, True])
    again = made.mirror.turn(made.mirror.turn(straight, both), both)
    torch.testing.assert_close(again.steps, straight.steps, atol=0, rtol=0)
    assert torch.equal(again.labels, straight.labels)
    torch.testing.assert_close(made(again), made(straight))


def test_a_return_on_an_edge_takes_the_class_that_begins_there() -> None:
    made = mirrored_network()
    straight = market(made, [raw_streams(101, 1)] * 2, 1)
    returns = torch.tensor([0.0, 5.0, -5.0])
    batch = replace(straight, returns_bps=returns, labels=classes_of(returns))
    assert made.mirror is not None
    found = made.mirror.turn(batch, torch.tensor([True, True]))
    assert found.labels.tolist() == classes_of(-returns).tolist()


def test_each_label_is_mirrored_at_its_own_edges() -> None:
    answers = {"horizons": "all", "targets": "all", "target_embedding_width": 2}
    made = mirrored_network(pooled_inputs(), answers=answers)
    batch = market(made, [raw_streams(101, 1)] * 2, 1)
    asked = replace(batch, decision_target=torch.tensor([0, 1, 1]), decision_horizon=torch.tensor([0, 0, 1]))
    asked = replace(asked, returns_bps=torch.tensor([-6.0, -6.0, -20.0]))
    assert made.mirror is not None
    assert made.mirror.turn(asked, torch.tensor([True, True])).labels.tolist() == [4, 3, 4]


def test_statistics_of_both_sides_are_shared() -> None:
    known = symmetric_inputs(named(inputs()))
    for values in (known.streams["book"].center, known.streams["book"].scale):
        sides = values.reshape(SLOTS, ASSETS, 2, 2)
        np.testing.assert_array_equal(sides[:, :, 0], sides[:, :, 1])
    prices = known.streams["price"].center.reshape(ASSETS, 5)
    assert not prices[:, [0, 4]].any()
    np.testing.assert_array_equal(prices[:, 1:4], inputs().streams["price"].center.reshape(ASSETS, 5)[:, 1:4])
    assert not known.streams["long_term"].center[[0, 2]].any()
    assert known.streams["long_term"].center[[1, 3]].any()


def test_classes_that_have_no_mirror_are_refused() -> None:
    uneven = (-20.0, -5.0, 0.0, 5.0, 21.0)
    with pytest.raises(ConfigError, match=r"edges \[-20.0, -5.0, 0.0, 5.0, 21.0\] bps are not symmetric"):
        mirrored_network(replace(inputs(), boundaries_bps=uneven, edges_bps=((uneven,),)))
    barriers = replace(inputs(), boundaries_bps=None, edges_bps=None, classes=3)
    with pytest.raises(ConfigError, match="not cut by the return in bps, and a mirrored return has no class"):
        mirrored_network(barriers, head={"kind": "softmax"})
    assert network().mirror is None
