"""What acting on probabilities earns: against plain loops, on markets whose edge is known, at every cost."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from trademl_assets.evaluation.book_at_decisions import notional_within
from trademl_assets.evaluation.daily_results import judge_days
from trademl_assets.evaluation.money import Book, MoneyParameters, choose_trades, fit_class_means, judge_money
from trademl_assets.evaluation.money_results import Money, numbers_of
from trademl_assets.evaluation.resampling import Resampling
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets_tests.evaluation.examples import HORIZON_STEPS, make_example

RESAMPLING = Resampling(block_horizons=2, minimum_block=timedelta(days=1), replicates=200, confidence=0.95, seed=3)
MONEY = {
    "positions": "one_at_a_time",
    "trade_shares": [0.1, 1.0],
    "costs": [
        {"name": "free", "spreads": 0.0, "fee_bps": 0.0},
        {"name": "crossing", "spreads": 1.0, "fee_bps": 0.0},
        {"name": "dear", "spreads": 1.0, "fee_bps": 1000.0},
    ],
    "capacity_bps": [5.0, 10.0],
    "minimum_trades": 20,
}


def parameters(**changes: Any) -> MoneyParameters:
    return MoneyParameters.model_validate_json(json.dumps(MONEY | changes))


def market(**options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    example = make_example(members=1, **options)
    probabilities = softmax(example.predictions.select(pl.exclude("sample", "member")).to_numpy(), axis=1)
    columns = {f"after_{number}": column for number, column in enumerate(probabilities.T)}
    return example.index.filter(pl.col("part") != "train").with_columns(**columns), example.index


def book_of(predictions: pl.DataFrame, spread: float = 2.0) -> Book:
    tests = predictions.filter(pl.col("part") == "test").height
    notional = np.broadcast_to(np.array([[100.0, 200.0], [1000.0, 2000.0]]), (tests, 2, 2))
    return Book(np.full(tests, spread), notional)


@pytest.fixture(scope="module")
def skilled() -> tuple[pl.DataFrame, pl.DataFrame]:
    return market(signal=0.8, known=1.0)


def judged(world: tuple[pl.DataFrame, pl.DataFrame], **changes: Any) -> Money:
    predictions, index = world
    return judge_money(predictions, index, book_of(predictions), parameters(**changes), RESAMPLING)


def test_one_position_at_a_time_equals_a_plain_loop(skilled):
    predictions, index = skilled
    found = judged(skilled)
    train = index.filter(pl.col("part") == "train")
    means = train.group_by("label").agg(pl.col("return_bps").mean()).sort("label")["return_bps"].to_numpy()
    assert found.class_means_bps == pytest.approx(tuple(means))
    sides = {part: predictions.filter(pl.col("part") == part).sort("t0") for part in ("calibration", "test")}
    expected = {
        part: rows.select(f"after_{number}" for number in range(5)).to_numpy() @ means for part, rows in sides.items()
    }
    threshold = np.quantile(np.abs(expected["calibration"]), 0.9)
    free_from, results = None, []
    for row, forecast in zip(sides["test"].iter_rows(named=True), expected["test"], strict=True):
        if abs(forecast) >= threshold and (free_from is None or row["t0"] >= free_from):
            results.append(np.sign(forecast) * row["return_bps"])
            free_from = row["t1"]
    first = found.thresholds[0]
    assert first.trades == len(results)
    assert first.trades_a_day == pytest.approx(len(results) / 8)
    assert first.turnover_a_day == pytest.approx(2 * len(results) / 8)
    assert first.gross_bps.value == pytest.approx(np.mean(results))
    assert first.hit_rate.value == pytest.approx(np.mean(np.array(results) > 0))
    assert first.break_even_spreads.value == pytest.approx(np.mean(results) / 2.0)
    free, crossing, _ = first.after
    assert free.net_bps == first.gross_bps
    assert crossing.net_bps.value == pytest.approx(np.mean(results) - 2.0)
    assert crossing.hit_rate.value == pytest.approx(np.mean(np.array(results) > 2.0))
    assert crossing.days.total_bps == pytest.approx(np.sum(np.array(results) - 2.0))


def test_overlapping_positions_take_every_decision_that_expects_enough(skilled):
    one, all_of_them = judged(skilled), judged(skilled, positions="overlapping")
    assert all_of_them.thresholds[1].trades == 8 * 288
    assert one.thresholds[1].trades == 8 * 288 / HORIZON_STEPS


def test_at_its_break_even_cost_nothing_is_left(skilled):
    first = judged(skilled).thresholds[0]
    costs = [{"name": "even", "spreads": 0.0, "fee_bps": first.gross_bps.value}]
    costs.append({"name": "even in spreads", "spreads": first.break_even_spreads.value, "fee_bps": 0.0})
    for after in judged(skilled, costs=costs).thresholds[0].after:
        assert after.net_bps.value == pytest.approx(0.0, abs=1e-9)


def test_a_skilful_model_earns_before_costs_and_one_without_skill_does_not(skilled):
    found = judged(skilled)
    assert found.thresholds[0].gross_bps.low > 0
    assert found.thresholds[0].gross_bps.value > found.thresholds[1].gross_bps.value
    assert "break even at" in found.sentence
    blind = judged(market(signal=0.0, seed=5)).thresholds[1].gross_bps
    assert blind is None or blind.low < 0.5


@settings(max_examples=20, deadline=None)
@given(fees=st.lists(st.floats(0, 100), min_size=2, max_size=4).map(sorted))
def test_dearer_is_never_better(skilled, fees: list[float]):
    costs = [{"name": f"{number}", "spreads": 1.0, "fee_bps": fee} for number, fee in enumerate(fees)]
    for threshold in judged(skilled, costs=costs).thresholds:
        for cheap, dear in zip(threshold.after, threshold.after[1:], strict=False):
            assert dear.net_bps.value <= cheap.net_bps.value
            assert dear.hit_rate.value <= cheap.hit_rate.value
            assert dear.days.max_drawdown_bps >= cheap.days.max_drawdown_bps - 1e-9


def test_capacity_is_what_lies_on_the_side_that_is_taken(skilled):
    found = judged(skilled).thresholds[1].capacity
    assert [each.within_bps for each in found] == [5.0, 10.0]
    assert 100.0 < found[0].typical.value < 1000.0
    assert found[0].lowest_decile == 100.0
    assert found[1].typical.value == pytest.approx(2 * found[0].typical.value)


def test_without_a_book_there_are_neither_spreads_nor_capacity(skilled):
    predictions, index = skilled
    found = judge_money(predictions, index, None, parameters(), RESAMPLING)
    assert found.mean_spread_bps is None
    assert found.thresholds[0].break_even_spreads is None
    assert found.thresholds[0].capacity == ()
    assert found.thresholds[0].after[1].net_bps == found.thresholds[0].gross_bps


def test_a_model_that_never_expects_enough_trades_nothing(skilled):
    predictions, index = skilled
    timid = predictions.with_columns(
        pl.when(pl.col("part") == "test").then(0.2).otherwise(pl.col(f"after_{number}")).alias(f"after_{number}")
        for number in range(5)
    )
    found = judge_money(timid, index, book_of(predictions), parameters(trade_shares=[0.01]), RESAMPLING)
    assert (found.thresholds[0].trades, found.thresholds[0].gross_bps, found.thresholds[0].judged) == (0, None, False)
    assert "nothing would have been traded" in found.sentence


def test_parts_that_are_missing_are_named(skilled):
    predictions, index = skilled
    for part in ("calibration", "test"):
        with pytest.raises(EvaluationError, match=f"no predictions for the {part} part"):
            judge_money(predictions.filter(pl.col("part") != part), index, None, parameters(), RESAMPLING)
    with pytest.raises(EvaluationError, match="a book at 3 decisions"):
        judge_money(predictions, index, Book(np.ones(3), np.ones((3, 2, 0))), parameters(), RESAMPLING)


def test_a_class_without_training_rows_takes_the_mean_of_its_neighbours():
    index = pl.DataFrame(
        {"part": ["train"] * 3, "on_stride": [True] * 3, "label": [0, 0, 2], "return_bps": [-4.0, -2.0, 5.0]}
    )
    assert fit_class_means(index, 4).tolist() == [-3.0, 1.0, 5.0, 5.0]


def test_values_are_json_and_equal_for_equal_input(skilled):
    text = json.dumps(judged(skilled).as_dict(), allow_nan=False)
    assert text == json.dumps(judged(skilled).as_dict())
    assert {"break_even_bps_share_0.1", "break_even_spreads_share_1", "trades_a_day_share_0.1"} <= set(
        numbers_of(judged(skilled))
    )


@given(
    wanted=st.lists(st.booleans(), min_size=1, max_size=50),
    length=st.integers(1, 10),
)
def test_positions_one_at_a_time_never_overlap_and_leave_no_gap_unused(wanted: list[bool], length: int):
    begins = np.arange(len(wanted))
    chosen = choose_trades(np.array(wanted), (begins, begins + length), "one_at_a_time")
    at = np.flatnonzero(chosen)
    assert (np.diff(at) >= length).all()
    for row in np.flatnonzero(np.array(wanted) & ~chosen):
        assert ((at < row) & (at + length > row)).any()


def test_days_are_added_up():
    days = np.array(["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-03"], dtype="datetime64[D]")
    found = judge_days(days, np.array([3.0, -1.0, -4.0, 5.0]))
    daily = np.array([2.0, -4.0, 5.0])
    assert (found.days, found.total_bps) == (3, 3.0)
    assert found.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(365))
    assert found.sortino == pytest.approx(daily.mean() / np.sqrt(16 / 3) * np.sqrt(365))
    assert found.max_drawdown_bps == 5.0
    assert judge_days(days[:1], np.array([1.0])).sharpe is None


def test_notional_counts_slots_within_the_distance_at_their_prices():
    book = np.zeros((1, 3, 4))
    book[0, :, 0] = [1.0, 6.0, 20.0]
    book[0, :, 1] = np.log1p([2.0, 3.0, 4.0])
    book[0, :, 2] = [1.0, np.nan, 7.0]
    book[0, :, 3] = np.log1p([1.0, 0.0, 5.0])
    found = notional_within(book, np.array([100.0]), 0.5, [5.0, 10.0])
    bids = [2 * 0.5 * 100 * (1 - 1e-4), 3 * 0.5 * 100 * (1 - 6e-4)]
    assert found[0, 0].tolist() == pytest.approx([bids[0], sum(bids)])
    asks = [1 * 0.5 * 100 * (1 + 1e-4), 5 * 0.5 * 100 * (1 + 7e-4)]
    assert found[0, 1].tolist() == pytest.approx([asks[0], sum(asks)])
