from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import stats

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.long_term.bars import aggregates_from_bars
from trademl_assets.long_term.regimes import RegimeParameters, classify_regime
from trademl_assets.sources.contract import AGGREGATE_SCHEMA, INSTANT
from trademl_assets.sources.contracts import aggregate_contract, require_contract

MINUTE = 60
OUTAGE = date(2023, 3, 24)


def bars_at(minutes, closes, volumes=None):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    columns = {
        "ts": [start + timedelta(minutes=minute) for minute in minutes],
        "close": closes,
        "volume": volumes or [1.0] * len(closes),
    }
    return pl.DataFrame(columns, schema={"ts": INSTANT, "close": pl.Float64(), "volume": pl.Float64()})


@pytest.fixture(scope="module")
def bitcoin(market_data):
    return pl.read_parquet(market_data / "candles-binance-1m" / "BTCUSDT_1m_2023.parquet").rename({"time": "ts"})


def test_a_day_of_candles_is_described_as_numpy_and_scipy_do(bitcoin):
    row = aggregates_from_bars(bitcoin, "BTC", MINUTE).row(by_predicate=pl.col("day") == date(2023, 4, 1), named=True)

    of_day = bitcoin.filter(pl.col("ts").dt.date() == date(2023, 4, 1))
    returns = np.diff(np.log(of_day["close"].to_numpy())) * 1e4
    expected = {
        "mean_bps": returns.mean(),
        "std_bps": returns.std(),
        "skew": stats.skew(returns),
        "kurtosis": stats.kurtosis(returns),
        "volume": of_day["volume"].mean(),
        "volatility_bps": np.sqrt((returns**2).sum()),
        "close": of_day["close"][-1],
        "steps": 1_440,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_a_real_outage_costs_its_bars_and_no_return(bitcoin):
    frame = aggregates_from_bars(bitcoin, "BTC", MINUTE)

    row = frame.row(by_predicate=pl.col("day") == OUTAGE, named=True)
    assert row["steps"] == 1_440 - 80  # after 12:39 the next bar is 14:00
    of_day = bitcoin.filter(pl.col("ts").dt.date() == OUTAGE)
    returns = np.diff(np.log(of_day["close"].to_numpy())) * 1e4
    spans = np.diff(of_day["ts"].to_physical().to_numpy()) / 6e7
    assert sorted(set(spans)) == [1, 81]
    assert row["volatility_bps"] == pytest.approx(np.sqrt((returns**2).sum()))  # the jump over the outage counts
    assert row["mean_bps"] == pytest.approx(returns[spans == 1].mean())  # and is no return of a minute
    assert (of_day["volume"] == 0).sum() == 72
    assert row["volume"] == pytest.approx(of_day["volume"].mean())


def test_regimes_of_candles_come_from_days_before_alone(bitcoin):
    parameters = RegimeParameters(
        reference_instrument="BTC", window_days=30, min_days=10, trend_threshold=1.0, high_volatility_quantile=0.9
    )
    frame = aggregates_from_bars(bitcoin, "BTC", MINUTE)
    days = frame["day"].to_list()

    regimes = {day: classify_regime(frame, day, parameters)["regime"][0] for day in days}

    assert len(days) == 47
    assert set(list(regimes.values())[:9]) == {"unknown"}
    assert "unknown" not in list(regimes.values())[9:]
    cut = days[25]
    until = aggregates_from_bars(bitcoin.filter(pl.col("ts").dt.date() <= cut), "BTC", MINUTE)
    assert classify_regime(until, cut, parameters)["regime"][0] == regimes[cut]


def test_the_rows_keep_the_contract_of_aggregates(bitcoin):
    frame = aggregates_from_bars(bitcoin, "BTC", MINUTE)

    assert dict(frame.schema) == dict(AGGREGATE_SCHEMA)
    require_contract(frame, aggregate_contract(), "aggregates of candles")


@given(seed=st.integers(0, 10_000), kept=st.floats(0.01, 1.0))
@settings(max_examples=30, deadline=None)
def test_a_day_does_not_depend_on_bars_of_other_days(seed, kept):
    random = np.random.default_rng(seed)
    minutes = np.flatnonzero(random.random(3 * 1_440) < kept)
    bars = bars_at(minutes.tolist(), (100 * np.exp(np.cumsum(random.normal(0, 1e-3, len(minutes))))).tolist())

    together = aggregates_from_bars(bars, "AAA", MINUTE)

    alone = [
        aggregates_from_bars(of_day, "AAA", MINUTE)
        for _, of_day in bars.group_by(pl.col("ts").dt.date(), maintain_order=True)
    ]
    assert_frame_equal(together, pl.concat(alone) if alone else together.clear())


def test_a_day_with_one_bar_has_a_close_and_no_volatility():
    row = aggregates_from_bars(bars_at([1_439], [100.0], [3.0]), "AAA", MINUTE).row(0, named=True)

    assert (row["day"], row["close"], row["volume"], row["steps"]) == (date(2024, 1, 1), 100.0, 3.0, 1)
    assert (row["mean_bps"], row["volatility_bps"]) == (None, None)


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        (bars_at([0, 1], [100.0, 0.0]), "1 bars without a finite positive close"),
        (bars_at([0, 1], [100.0, float("nan")]), "00:01.*1 bars without a finite positive close"),
        (bars_at([0, 1], [100.0, None]), "1 bars without a finite positive close"),
        (bars_at([0, 1], [100.0, 1.0], [1.0, -1.0]), "1 bars without a finite volume"),
        (bars_at([0, 1, 1], [100.0] * 3), "1 bars that repeat an instant or step back"),
        (bars_at([0, 2, 1], [100.0] * 3), "1 bars that repeat an instant or step back"),
        (bars_at([0.5], [100.0]), "1 bars off the grid of 60 s"),
        (bars_at([0], [100.0]).drop("volume"), "bars have {'volume': None}"),
        (bars_at([0], [100.0]).with_columns(pl.col("ts").dt.replace_time_zone(None)), "bars have {'ts': Datetime"),
    ],
)
def test_bars_that_are_not_sound_are_refused(bars, message):
    with pytest.raises(DataQualityError, match=f"AAA.*{message}"):
        aggregates_from_bars(bars, "AAA", MINUTE)


def test_bars_that_do_not_divide_a_day_are_refused():
    with pytest.raises(DataQualityError, match="7 s do not divide a day"):
        aggregates_from_bars(bars_at([0], [100.0]), "AAA", 7)
