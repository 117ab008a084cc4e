import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.first_passage import ABOVE, BELOW, BOTH, INSIDE, UNKNOWN, first_passages
from trademl_assets.datasets.label_kinds import LABELS, LabelKind, Outcomes, find_classes, find_outcomes
from trademl_assets.datasets.trailing_range import average_true_range
from trademl_assets.foundation.errors import ConfigError
from trademl_assets_tests.datasets.label_market import MINUTE_US, ORIGIN_US, market_of

BARRIERS: dict[str, Any] = {
    "side": "long",
    "barriers": {"kind": "average_true_range", "bar_seconds": 60, "bars": 2},
    "target": 2.0,
    "stop": 1.0,
    "max_path_gap_seconds": 120,
}
CALM = [100.0, 101.0, 100.0, 101.0, 100.0]  # every true range is 1, that is 100 bps of the last close


def kind_of(name: str, parameters: dict[str, Any]) -> LabelKind:
    kind: LabelKind = LABELS.get(name)(LABELS.get(name).parameters.model_validate_json(json.dumps(parameters)))
    return kind


def classes_of(kind: LabelKind, outcomes: Outcomes) -> list[str | None]:
    names = kind.class_names(np.empty(0))
    found = find_classes(kind, outcomes.at(outcomes.valid), np.empty(0)).tolist()
    return [names[found.pop(0)] if valid else None for valid in outcomes.valid]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile before the examples are timed."""
    decide([1.0, 2.0], np.asarray([0]), width=0.1, horizon=1, gap=1, unseen=())


def decide(mids: Any, steps: np.ndarray, *, width: float, horizon: int, gap: int, unseen: Any) -> Any:
    market = market_of(mids, unseen=unseen)
    now = market.series.mid[steps, 0]
    return first_passages(
        market,
        steps,
        above=now + width,
        below=now - width,
        horizon_seconds=60 * horizon,
        max_path_gap_seconds=60 * gap,
        by_mid=True,
    )


@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 3),
)
def test_a_path_is_known_up_to_its_first_touch_or_a_gap(
    moves: list[int], unseen: set[int], width: int, horizon: int, gap: int
) -> None:
    mids = 100.0 + np.cumsum(moves)
    unseen = {step for step in unseen if step < len(mids)}

    found = decide(mids, np.arange(len(mids)), width=float(width), horizon=horizon, gap=gap, unseen=unseen)

    for step in range(len(mids)):
        seen = [at for at in range(step, min(step + horizon + 1, len(mids))) if at not in unseen]
        expected, end = UNKNOWN, step + horizon
        if seen and seen[0] == step:
            for before, at in pairwise(seen):
                if at - before > gap:
                    break
                if abs(mids[at] - mids[step]) >= width:
                    expected, end = (ABOVE if mids[at] > mids[step] else BELOW), at
                    break
                if at == step + horizon:
                    expected = INSIDE
        assert (found.went[step], found.t1_us[step]) == (expected, ORIGIN_US + end * MINUTE_US)
        if expected == UNKNOWN:
            assert np.isnan(found.return_bps[step])
        else:
            assert found.return_bps[step] == pytest.approx(1e4 * np.log(mids[end] / mids[step]))


def test_a_gap_shorter_than_a_step_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_path_gap_seconds \(30\) is less than a step of 60 s"):
        first_passages(
            market_of(CALM),
            np.asarray([0]),
            above=np.ones(1),
            below=np.ones(1),
            horizon_seconds=60,
            max_path_gap_seconds=30,
            by_mid=True,
        )


@pytest.mark.parametrize(
    ("later", "expected", "minutes"),
    [
        ([101.0, 102.1, 90.0], "target", 2),
        ([99.5, 98.9, 120.0], "stop", 2),
        ([100.5, 99.5, 100.5, 110.0], "timeout", 3),
        ([100.5, 97.0], "stop", 2),
    ],
)
def test_the_barrier_that_is_met_first_is_the_class_and_ends_the_label(
    later: list[float], expected: str, minutes: int
) -> None:
    kind, market = kind_of("triple_barrier", BARRIERS), market_of([*CALM, *later])

    found = find_outcomes(kind, market, np.asarray([4]), 180)

    assert classes_of(kind, found) == [expected]
    assert (found.t1_us[0] - ORIGIN_US) // MINUTE_US == 4 + minutes
    assert found.return_bps[0] == pytest.approx(1e4 * np.log(later[minutes - 1] / 100.0))


def test_a_tie_within_one_bar_is_a_stop() -> None:
    mids = [*CALM, 100.0, 100.0]
    bars = np.stack([np.asarray(mids)] * 4, axis=1)
    bars[1:5, 1], bars[1:5, 2] = 101.0, 100.0
    bars[5, 1], bars[5, 2] = 110.0, 90.0  # high and low beyond both barriers
    kind, market = kind_of("triple_barrier", BARRIERS), market_of(mids, bars=bars)
    steps = np.asarray([4])

    assert classes_of(kind, find_outcomes(kind, market, steps, 120)) == ["stop"]
    passage = first_passages(
        market,
        steps,
        above=np.asarray([102.0]),
        below=np.asarray([99.0]),
        horizon_seconds=120,
        max_path_gap_seconds=60,
        by_mid=False,
    )
    assert passage.went.tolist() == [BOTH]


@given(st.lists(st.integers(-30, 30), min_size=10, max_size=60))
def test_a_short_position_in_a_price_is_a_long_one_in_its_inverse(moves: list[int]) -> None:
    steps = np.arange(len(moves))
    uneven = 1e-4 * np.sin(1.0 + steps)  # no barrier is met exactly, where rounding would decide
    mids = 100.0 * np.exp(np.cumsum(moves + uneven) / 1e3)
    sigma = {"barriers": {"kind": "sigma"}}
    long, short = (kind_of("triple_barrier", BARRIERS | sigma | {"side": side}) for side in ("long", "short"))

    expected = find_outcomes(long, market_of(mids), steps, 300)
    found = find_outcomes(short, market_of(1 / mids), steps, 300)

    assert classes_of(short, found) == classes_of(long, expected)
    assert found.t1_us.tolist() == expected.t1_us.tolist()


def test_a_label_decided_before_a_gap_is_kept_and_one_across_it_is_not() -> None:
    kind = kind_of("triple_barrier", BARRIERS)
    mids = [*CALM, 103.0, *[100.0] * 12]

    found = find_outcomes(kind, market_of(mids, unseen=(7, 8)), np.arange(len(mids)), 300)

    names = classes_of(kind, found)
    assert names[4] == "target", "touched before the gap"
    assert names[6] is None, "three minutes between what was seen"
    assert names[7] is None
    assert names[9] == "timeout"
    assert find_outcomes(kind, market_of(mids, unseen=(7,)), np.asarray([6]), 300).valid.all(), (
        "two minutes are allowed"
    )


def test_the_average_true_range_is_that_of_bars_that_have_ended() -> None:
    mids = np.asarray([100.0, 101.0, 103.0, 102.0, 104.0, 100.0, 101.0])
    found = average_true_range(market_of(mids), 120, 2)
    # Bars of two minutes end at steps 0 (one step), 2, 4 and 6: closes 100, 103, 104, 101.
    ranges = [3.0, 2.0, 4.0]
    expected = [ranges[0] / 103, np.mean(ranges[:2]) / 104, np.mean(ranges[1:]) / 101]
    assert np.isnan(found[:2]).all()
    assert found[[2, 3, 4, 5, 6]] == pytest.approx(1e4 * np.asarray(expected)[[0, 0, 1, 1, 2]])


MOVES = {"threshold": {"kind": "price", "value": 0.1}, "without_move": "own_class", "max_path_gap_seconds": 60}


def test_the_next_move_of_a_tick_gives_the_direction_and_ends_the_label() -> None:
    kind = kind_of("next_move", MOVES)
    mids = [100.0, 100.05, 100.1, 100.0, 99.9, 99.9, 99.9, 99.9]

    found = find_outcomes(kind, market_of(mids), np.arange(len(mids)), 120)

    assert classes_of(kind, found) == ["up", "unmoved", "down", "down", "unmoved", "unmoved", None, None]
    assert ((found.t1_us - ORIGIN_US) // MINUTE_US)[:6].tolist() == [2, 3, 3, 4, 6, 7]


def test_decisions_without_a_move_may_be_left_out_and_thresholds_be_returns() -> None:
    kind = kind_of(
        "next_move", MOVES | {"threshold": {"kind": "return_bps", "value": 10.0}, "without_move": "left_out"}
    )
    mids = [100.0, 100.05, 100.2, 100.2, 100.2]

    found = find_outcomes(kind, market_of(mids), np.arange(len(mids)), 120)

    assert classes_of(kind, found) == ["up", "up", None, None, None]
    assert kind.class_names(np.empty(0)) == ("down", "up")


def test_a_tick_is_a_tick_whatever_floating_point_makes_of_it() -> None:
    assert 1.2 < 1.1 + 0.1
    found = find_outcomes(kind_of("next_move", MOVES), market_of([1.1, 1.2, 1.1]), np.asarray([0, 1]), 60)
    assert classes_of(kind_of("next_move", MOVES), found) == ["up", "down"]


def test_no_next_move_is_seen_across_a_gap() -> None:
    kind = kind_of("next_move", MOVES)
    found = find_outcomes(kind, market_of([100.0, 100.0, 100.0, 101.0], unseen=(1,)), np.asarray([0, 2]), 180)
    assert found.valid.tolist() == [False, True]
