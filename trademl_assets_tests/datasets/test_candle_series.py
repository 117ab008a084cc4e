from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.datasets.candle_inputs import candle_partitions, read_candles, series_of_bars
from trademl_assets.datasets.series import GridFrame, GridSeries
from trademl_assets.foundation.calendar import to_microseconds
from trademl_assets.foundation.errors import MissingPartitionError
from trademl_assets_tests.candles.made_bars import at, walk
from trademl_assets_tests.datasets.candle_market import DAY, FRAME, NAMES, made_store, three_days

OBSERVED, FILLED, MISSING = 0, 1, 2
ONE = ("ONE",)
SMALL = GridFrame(cadence_seconds=60, max_gap_seconds=180, instruments=ONE)
MORNING = at("2024-03-04T00:00:00")


def series_of(table: pl.DataFrame) -> GridSeries:
    return series_of_bars({"ONE": table}, [DAY], ONE, SMALL)


def step_of(series: GridSeries, text: str) -> int:
    return int(np.searchsorted(series.instants_us, to_microseconds(at(text))))


def test_a_bar_that_opens_at_noon_is_known_a_minute_past():
    table = walk(MORNING, 1440)
    noon = table["ts"].to_list().index(at("2024-03-04T12:00:00"))
    series = series_of(table)
    known = step_of(series, "2024-03-04T12:01:00")
    assert series.mid[known, 0] == table["close"][noon]
    assert series.mid[known - 1, 0] == table["close"][noon - 1]
    assert series.bars is not None
    assert series.bars[known, 0].tolist() == [table[name][noon] for name in ("open", "high", "low", "volume")]


@settings(max_examples=30, deadline=None)
@given(kept=st.sets(st.integers(0, 59), min_size=1), cut=st.integers(0, 60), idle=st.sets(st.integers(0, 59)))
def test_what_is_known_at_a_step_does_not_change_with_bars_that_end_later(kept: set[int], cut: int, idle: set[int]):
    whole = walk(MORNING, 60)
    still = pl.int_range(pl.len()).is_in(list(idle))
    table = whole.with_columns(volume=pl.when(still).then(0.0).otherwise(pl.col("volume")))[sorted(kept)]
    instant = MORNING + cut * timedelta(minutes=1)
    ended = table.filter(pl.col("ts") + timedelta(minutes=1) <= instant)
    noise = walk(instant, 60 - cut, seed=9) if cut < 60 else ended[:0]
    all_bars, noisy, truncated = (series_of(some) for some in (table, ended.vstack(noise), ended))
    known = slice(0, cut + 1)
    for name in ("mid", "state", "age_seconds", "usable", "bars", "spread_bps", "microprice_bps"):
        expected = getattr(all_bars, name)[known]
        for other in (noisy, truncated):
            assert np.array_equal(expected, getattr(other, name)[known], equal_nan=True), name


def test_a_missing_bar_shows_the_last_close_for_the_longest_fill_and_nothing_beyond():
    table = walk(MORNING, 20).filter(~pl.int_range(pl.len()).is_between(5, 14))
    series = series_of(table)
    assert series.state[:17, 0].tolist() == [MISSING] + [OBSERVED] * 5 + [FILLED] * 3 + [MISSING] * 7 + [OBSERVED]
    assert series.mid[6:9, 0].tolist() == [table["close"][4]] * 3
    assert np.isnan(series.mid[9:16, 0]).all()
    assert series.age_seconds[5:9, 0].tolist() == [0.0, 60.0, 120.0, 180.0]
    assert series.bars is not None
    assert np.isnan(series.bars[6:16]).all()
    assert series.usable[:17].tolist() == [0] + [1] * 8 + [0] * 7 + [1]


def test_a_bar_without_a_trade_is_observed_but_as_old_as_the_last_trade():
    still = pl.int_range(pl.len()).is_between(3, 5)
    table = walk(MORNING, 8).with_columns(volume=pl.when(still).then(0.0).otherwise(pl.col("volume")))
    series = series_of(table)
    assert series.state[1:9, 0].tolist() == [OBSERVED] * 8
    assert series.age_seconds[1:9, 0].tolist() == [0.0, 0.0, 0.0, 60.0, 120.0, 180.0, 0.0, 0.0]


def test_spread_and_microprice_are_zero():
    series = series_of(walk(MORNING, 60))
    assert not series.spread_bps.any()
    assert not series.microprice_bps.any()


def test_months_are_read_together_and_pinned(tmp_path: Path):
    store = made_store(tmp_path)
    days = [DAY, DAY + timedelta(days=1)]
    series, upstream = read_candles(store, days, NAMES, FRAME)
    assert sorted(upstream) == ["candles/2024-03|ONE", "candles/2024-03|TWO"]
    one = three_days()["ONE"]
    within = one.filter(pl.col("ts") < at("2024-03-05T23:59:00"))
    assert series.mid[series.state[:, 0] == OBSERVED, 0].tolist() == within["close"].to_list()
    with pytest.raises(MissingPartitionError, match=r"candles has no partition for 2024-04\|ONE, 2024-04\|TWO"):
        read_candles(store, [date(2024, 4, 1)], NAMES, FRAME)


def test_days_across_a_new_year_lie_in_two_months():
    days = [date(2023, 12, 31), date(2024, 1, 1)]
    assert candle_partitions(days, ("A", "B")) == ("2023-12|A", "2023-12|B", "2024-01|A", "2024-01|B")
