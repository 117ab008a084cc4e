import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.class_boundaries import FixedBoundaries, QuantileBoundaries, classify, fit_boundaries
from trademl_assets.datasets.labels import decision_steps, forward_outcomes, forward_returns, valid_mids, without_gap
from trademl_assets.datasets.series import GridSeries
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.gaps import FILLED, MISSING, OBSERVED
from trademl_assets_tests.datasets.label_market import market_of

edges_lists = st.lists(st.floats(-100, 100), min_size=1, max_size=8, unique=True).map(sorted)


@given(edges_lists, st.lists(st.floats(-200, 200), min_size=1, max_size=50))
def test_classes_are_half_open_intervals(edges: list[float], returns: list[float]) -> None:
    values = np.asarray(returns + edges)
    bounds = [-np.inf, *edges, np.inf]
    for value, label in zip(values, classify(values, np.asarray(edges)), strict=True):
        assert bounds[label] <= value < bounds[label + 1]


def test_a_return_on_an_edge_belongs_to_the_class_above_it() -> None:
    assert classify(np.asarray([-2.0, 0.0, 2.0]), np.asarray([-2.0, 0.0, 2.0])).tolist() == [1, 2, 3]


def test_returns_are_log_mid_returns_in_bps_over_the_horizon() -> None:
    mid = np.asarray([100.0, 101.0, 102.0, 104.0])
    found = forward_returns(mid, np.ones(4, bool), np.asarray([0, 1]), 2)
    assert found == pytest.approx([1e4 * np.log(1.02), 1e4 * np.log(104 / 101)])


def test_no_label_where_either_end_is_not_valid_or_beyond_the_series() -> None:
    valid = np.asarray([True, False, True, True, True])
    found = forward_returns(np.full(5, 7.0), valid, np.arange(5), 2)
    assert np.isnan(found).tolist() == [False, True, False, True, True]
    assert np.isnan(forward_returns(np.full(5, 7.0), valid, np.asarray([-1 + 2]), 3)).all()


def test_filled_and_missing_and_old_mids_end_no_label() -> None:
    column = np.zeros((4, 1), np.float32)
    state = np.asarray([[0], [1], [2], [0]], np.uint8)
    age = np.asarray([[0.1], [0.1], [0.1], [9.0]], np.float32)
    series = GridSeries(np.arange(4), np.ones((4, 1)), state, age, column, column, np.ones(4, np.uint8))
    assert valid_mids(series, 0, 5.0).tolist() == [True, False, False, False]


@given(st.lists(st.sampled_from([OBSERVED, FILLED, MISSING]), min_size=1, max_size=30), st.integers(1, 8))
def test_a_span_is_without_a_gap_where_no_step_of_it_is_missing(states: list[int], horizon: int) -> None:
    state = np.asarray(states, np.uint8)[:, None]
    column, steps = np.zeros(state.shape, np.float32), np.arange(len(states))
    series = GridSeries(steps, np.ones(state.shape), state, column, column, column, np.ones(len(states), np.uint8))
    found = without_gap(series, 0, steps, steps + horizon)
    assert found.tolist() == [MISSING not in states[step : step + horizon + 1] for step in steps]


def test_no_label_lies_across_a_gap_though_both_its_ends_were_observed() -> None:
    market = market_of(np.linspace(100.0, 101.0, 40), unseen=[20, 21])
    found = forward_outcomes(market, np.arange(5, 30), 900)
    assert found.valid.tolist() == [step > 21 and step + 15 < 40 for step in range(5, 30)]
    assert np.isnan(found.return_bps).tolist() == (~found.valid).tolist()
    values = market.series.mid[:, 0]
    assert np.isfinite(values[10] + values[25]), "the label of step 10 ends after the gap"


@given(st.integers(2, 9), st.integers(0, 2**32))
def test_quantile_edges_make_equally_filled_training_classes(classes: int, seed: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 5, 900)
    edges = fit_boundaries(returns, QuantileBoundaries(kind="quantile", classes=classes), "FOLLOW")
    counts = np.bincount(classify(returns, edges), minlength=classes)
    assert counts.max() - counts.min() <= 2


def test_quantile_edges_that_coincide_are_refused() -> None:
    with pytest.raises(DataQualityError, match="too many training returns are equal"):
        fit_boundaries(np.zeros(100), QuantileBoundaries(kind="quantile", classes=3), "FOLLOW")


def test_fixed_edges_are_taken_as_given_and_must_increase() -> None:
    fixed = FixedBoundaries(kind="fixed", edges_bps=(-1.0, 1.0))
    assert fit_boundaries(np.zeros(0), fixed, "FOLLOW").tolist() == [-1.0, 1.0]
    with pytest.raises(ValueError, match="increase strictly"):
        FixedBoundaries(kind="fixed", edges_bps=(1.0, 1.0))


def test_decisions_are_counted_from_each_midnight() -> None:
    every = {"every_seconds": 8640, "phase_seconds": 0}
    assert decision_steps(0, 200, 100, 864, **every).tolist() == list(range(0, 200, 10))
    assert decision_steps(95, 125, 100, 864, **every).tolist() == [100, 110, 120]


def test_decisions_keep_their_distance_to_the_phase_after_each_midnight() -> None:
    """A stride of seven minutes does not divide a day: the last interval of each is cut short."""
    found = decision_steps(0, 2 * 1440, 1440, 60, every_seconds=420, phase_seconds=180)
    assert found.tolist() == [*range(3, 1440, 7), *range(1443, 2880, 7)]
