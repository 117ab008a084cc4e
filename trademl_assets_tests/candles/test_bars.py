from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.candles.bars import check_bars, month_days
from trademl_assets.candles.plots import draw_bars, sketch_bars
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.sources.bar_contract import bar_contract
from trademl_assets.sources.contracts import require_contract
from trademl_assets_tests.candles.made_bars import at, candle_parameters, walk

MONTH = date(2024, 2, 1)
START = at("2024-02-01T00:00:00")
LENIENT = candle_parameters(max_invalid_share=1.0, max_out_of_order_share=1.0)
WHOLE = 29 * 1440


def changed(rows: pl.DataFrame, number: int, **values: object) -> pl.DataFrame:
    here = pl.int_range(pl.len()) == number
    return rows.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).cast(rows.schema[name]).alias(name)
        for name, value in values.items()
    )


def test_a_sound_month_is_kept_as_it_is():
    rows = walk(START, WHOLE)
    checked = check_bars(rows, "ABC", MONTH, candle_parameters())
    assert checked.table.equals(rows)
    assert checked.gaps.is_empty()
    assert checked.report.coverage == 1.0
    assert checked.report.as_dict()["missing"] == 0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"close": 0.0, "low": 0.0}, "impossible"),
        ({"open": float("nan")}, "impossible"),
        ({"high": float("inf")}, "impossible"),
        ({"low": -1.0}, "impossible"),
        ({"volume": -1.0}, "impossible"),
        ({"volume": None}, "impossible"),
        ({"trades": -1}, "impossible"),
        ({"high": 1.0}, "inconsistent"),
        ({"low": 1000.0}, "inconsistent"),
        ({"ts": START + timedelta(seconds=330)}, "off_cadence"),
    ],
)
def test_an_impossible_bar_is_dropped_and_counted_and_leaves_a_gap(values: dict[str, object], reason: str):
    rows = changed(walk(START, 10), 5, **values)
    checked = check_bars(rows, "ABC", MONTH, LENIENT)
    assert getattr(checked.report, reason) == 1
    assert checked.report.bars == 9
    assert checked.gaps["first_missing"][0] == START + timedelta(minutes=5)
    assert checked.gaps["bars"].to_list() == [1, WHOLE - 10]
    with pytest.raises(DataQualityError, match=r"bars of ABC in 2024-02: 1 of 10 bars are unsound"):
        check_bars(rows, "ABC", MONTH, candle_parameters())


def test_an_exact_repetition_counts_once_a_conflicting_one_refuses_the_month():
    rows = walk(START, 10)
    assert check_bars(pl.concat([rows, rows[3:4]]).sort("ts"), "ABC", MONTH, LENIENT).report.repeated == 1
    other = rows[3:4].with_columns(volume=pl.col("volume") + 1)
    with pytest.raises(DataQualityError, match="stated with different values, the first is 2024-02-01T00:03"):
        check_bars(pl.concat([rows, other]), "ABC", MONTH, LENIENT)


def test_rows_out_of_order_are_sorted_and_counted_and_too_many_refused():
    rows = walk(START, 10)
    shuffled = pl.concat([rows[5:], rows[:5]])
    checked = check_bars(shuffled, "ABC", MONTH, LENIENT)
    assert checked.table.equals(rows)
    assert checked.report.out_of_order == 5
    with pytest.raises(DataQualityError, match="5 of 10 bars come after a later one"):
        check_bars(shuffled, "ABC", MONTH, candle_parameters())


def test_rows_of_another_month_are_refused():
    rows = walk(START - timedelta(minutes=1), 3)
    with pytest.raises(DataQualityError, match="beyond the month"):
        check_bars(rows, "ABC", MONTH, LENIENT)


def test_an_empty_month_stands_with_its_reason_unless_coverage_is_wanted():
    checked = check_bars(walk(START, 0), "ABC", MONTH, candle_parameters())
    assert checked.table.is_empty()
    assert "no bar of the month" in checked.report.as_dict()["reason"]
    with pytest.raises(DataQualityError, match="0 of 41760 bars are there"):
        check_bars(walk(START, 0), "ABC", MONTH, candle_parameters(min_coverage_share=0.1))


def test_idle_bars_and_outliers_are_flagged_and_kept():
    rows = walk(START, 100).with_columns(
        volume=pl.when(pl.int_range(pl.len()).is_between(40, 45)).then(0.0).otherwise(pl.col("volume"))
    )
    jump = changed(rows, 70, close=150.0, high=150.0)
    report = check_bars(jump, "ABC", MONTH, LENIENT).report
    assert (report.idle, report.longest_idle_seconds) == (6, 360)
    assert report.outliers == 2
    assert report.bars == 100


@settings(max_examples=40, deadline=None)
@given(kept=st.sets(st.integers(0, 199)), seed=st.integers(0, 5))
def test_bars_and_gaps_together_are_the_whole_month_and_nothing_is_made_up(kept: set[int], seed: int):
    rows = walk(START, 200, seed)[sorted(kept)]
    checked = check_bars(rows, "ABC", MONTH, LENIENT)
    assert checked.table.equals(rows)
    absent = {
        (first - START) // timedelta(minutes=1) + number
        for first, bars in checked.gaps.iter_rows()
        for number in range(bars)
    }
    assert absent == set(range(WHOLE)) - kept
    assert checked.report.longest_gap_seconds == 60 * checked.gaps["bars"].max()


def test_months_end_with_their_last_day():
    assert month_days(date(2024, 2, 1)) == (date(2024, 2, 1), date(2024, 2, 29))
    assert month_days(date(2023, 12, 1))[1] == date(2023, 12, 31)


def test_a_month_with_gaps_and_an_empty_one_can_be_drawn():
    keep = np.r_[0:500, 900:WHOLE]
    for rows in (walk(START, WHOLE)[keep], walk(START, 0)):
        bars = check_bars(rows, "ABC", MONTH, LENIENT)
        for png in (draw_bars(bars, "ABC", MONTH, 60), sketch_bars(bars, MONTH).png):
            assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("values", "violation"),
    [
        ({"close": -1.0, "low": -2.0}, "in_range"),
        ({"high": float("inf")}, "in_range"),
        ({"volume": -1.0}, "in_range"),
        ({"low": 1e6, "high": 2e6}, "low <= open, close <= high"),
        ({"ts": START + timedelta(seconds=330)}, "ts lies on 60 s"),
        ({"ts": START + timedelta(minutes=4)}, "ts ascends"),
        ({"open": None}, "not_nullable"),
    ],
)
def test_the_contract_tells_what_checked_bars_must_not_be(values: dict[str, object], violation: str):
    require_contract(walk(START, 10), bar_contract(60), "here")
    with pytest.raises(DataQualityError, match=violation):
        require_contract(changed(walk(START, 10), 5, **values), bar_contract(60), "here")
