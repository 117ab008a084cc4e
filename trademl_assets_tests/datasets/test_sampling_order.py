"""Orders are functions of seed and epoch, shares are disjoint and complete, and a state resumes what is left."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.sampling_order import Ending, SamplingOrder, Share, Turn
from trademl_assets.foundation.errors import ConfigError


def order_of(items: int, **given_values: Any) -> SamplingOrder:
    values = {"batch_items": 3, "seed": 5, "is_shuffled": True, "ending": "pad", "share": Share(0, 1)} | given_values
    return SamplingOrder(items, **values)


def visited(turns: list[Turn], *, with_repeats: bool = False) -> list[int]:
    return [int(i) for turn in turns for i in (turn.items if with_repeats else turn.items[~turn.is_repeat])]


def same(one: list[Turn], other: list[Turn]) -> bool:
    return [(t.items.tolist(), t.is_repeat.tolist(), t.epoch, t.taken) for t in one] == [
        (t.items.tolist(), t.is_repeat.tolist(), t.epoch, t.taken) for t in other
    ]


sizes = st.integers(1, 60), st.integers(1, 7), st.integers(1, 5)


@given(*sizes, st.integers(0, 3), st.sampled_from([True, False]))
def test_all_processes_together_visit_every_item_once_where_shares_are_filled_up(
    items: int,
    batch: int,
    processes: int,
    epoch: int,
    is_shuffled: bool,  # noqa: FBT001 -- hypothesis gives it by position
) -> None:
    shares = []
    for rank in range(processes):
        order = order_of(items, batch_items=batch, is_shuffled=is_shuffled, share=Share(rank, processes))
        for _ in range(epoch):
            list(order)
        shares.append(list(order))
    assert sorted(item for turns in shares for item in visited(turns)) == list(range(items))
    assert len({tuple(len(turn.items) for turn in turns) for turns in shares}) == 1, "all compute as many, as large"
    assert all(len(turn.items) <= batch for turns in shares for turn in turns)


@given(*sizes)
def test_what_cannot_be_shared_is_dropped_and_nothing_is_visited_twice(items: int, batch: int, processes: int) -> None:
    shares = [
        list(order_of(items, batch_items=batch, ending="drop", share=Share(rank, processes)))
        for rank in range(processes)
    ]
    found = [item for turns in shares for item in visited(turns, with_repeats=True)]
    assert len(found) == len(set(found)) == items - items % processes
    assert not any(turn.is_repeat.any() for turns in shares for turn in turns)
    assert len({tuple(len(turn.items) for turn in turns) for turns in shares}) == 1


@given(*sizes, st.data())
def test_a_state_resumes_exactly_what_was_left(items: int, batch: int, processes: int, data: st.DataObject) -> None:
    ending: Ending = data.draw(st.sampled_from(["pad", "drop"]))
    share = Share(data.draw(st.integers(0, processes - 1)), processes)
    whole = order_of(items, batch_items=batch, ending=ending, share=share)
    expected = list(whole) + list(whole)
    stopped = order_of(items, batch_items=batch, ending=ending, share=share)
    count = data.draw(st.integers(0, len(expected) // 2))
    turns = iter(stopped)
    done = [next(turns) for _ in range(count)]
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = order_of(items, batch_items=batch, ending=ending, share=share)
    resumed.load_state_dict(state)
    assert same(done + list(resumed) + list(resumed), expected)
    assert resumed.state_dict() == whole.state_dict()


@given(*sizes, st.integers(1, 5), st.integers(0, 5))
def test_an_epoch_goes_on_with_another_number_of_processes(
    items: int, batch: int, processes: int, later: int, steps: int
) -> None:
    first = [order_of(items, batch_items=batch, share=Share(rank, processes)) for rank in range(processes)]
    seen: list[int] = []
    for order in first:
        turns = iter(order)
        seen += visited([turn for _, turn in zip(range(steps), turns, strict=False)])
    state = next(iter([order.state_dict() for order in first]))
    if state["epoch"] > 0:
        return
    for rank in range(later):
        order = order_of(items, batch_items=batch, share=Share(rank, later))
        order.load_state_dict(state)
        seen += visited(list(order))
    assert sorted(seen) == list(range(items))


def test_orders_differ_by_epoch_and_seed_and_repeat_for_the_same() -> None:
    order = order_of(50)
    assert order.of_epoch(2).tolist() == order_of(50).of_epoch(2).tolist()
    assert order.of_epoch(1).tolist() != order.of_epoch(2).tolist()
    assert order.of_epoch(1).tolist() != order_of(50, seed=6).of_epoch(1).tolist()
    chronological = order_of(5, is_shuffled=False)
    assert [visited(list(chronological)) for _ in range(2)] == [[0, 1, 2, 3, 4]] * 2


def test_turns_taken_ahead_do_not_count_until_they_are_handed_over() -> None:
    order = order_of(9)
    given_out = order.following(lambda turns: iter(list(turns)))
    next(given_out)
    assert order.state_dict() == {"items": 9, "seed": 5, "is_shuffled": True, "epoch": 0, "taken": 3}


def test_a_strange_state_is_refused() -> None:
    order = order_of(9)
    with pytest.raises(ConfigError, match=r"\{'items': 8\}, this one has \{'items': 9\}"):
        order.load_state_dict(order_of(8).state_dict())
    with pytest.raises(ConfigError, match="item 10 of epoch 0"):
        order.load_state_dict(order.state_dict() | {"taken": 10})
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        order_of(9, share=Share(2, 2))
