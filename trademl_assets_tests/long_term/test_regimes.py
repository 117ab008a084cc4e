from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.long_term.regimes import REGIME_SCHEMA, RegimeParameters, classify_regime
from trademl_assets.sources.contract import AGGREGATE_SCHEMA

FIRST = date(2024, 1, 1)
PARAMETERS = RegimeParameters(
    reference_instrument="AAA", window_days=10, min_days=5, trend_threshold=1.0, high_volatility_quantile=0.9
)


def aggregates(returns_bps, volatilities, instrument="AAA"):
    """Aggregates of consecutive days from the days' returns and volatilities."""
    closes = 100 * np.exp(np.cumsum(returns_bps) / 1e4)
    rows = [
        {
            "day": FIRST + timedelta(days=number),
            "instrument": instrument,
            "close": close,
            "volatility_bps": volatility,
            "steps": 8_640,
        }
        for number, (close, volatility) in enumerate(zip(closes, volatilities, strict=True))
    ]
    return pl.DataFrame(rows, schema=dict(AGGREGATE_SCHEMA))


def regime_of(frame, number, parameters=PARAMETERS):
    return classify_regime(frame, FIRST + timedelta(days=number), parameters).row(0, named=True)


@pytest.mark.parametrize(
    ("returns", "regime"), [([50.0] * 10, "bull"), ([-50.0] * 10, "bear"), ([50.0, -50.0] * 5, "sideways")]
)
def test_the_trend_of_the_window_names_the_regime(returns, regime):
    found = regime_of(aggregates(returns, [100.0] * 10), 9)

    assert found["regime"] == regime
    assert found["trend"] == pytest.approx(sum(returns[1:]) / (100.0 * 3))
    assert found["volatility_rank"] == 0.5


def test_a_day_more_volatile_than_nearly_all_others_is_high_volatility_whatever_the_trend():
    volatilities = [100.0 + number for number in range(10)]

    assert regime_of(aggregates([300.0] * 10, volatilities), 9)["regime"] == "high_volatility"
    assert regime_of(aggregates([300.0] * 10, volatilities[::-1]), 9)["regime"] == "bull"


def test_the_regime_is_unknown_until_there_are_enough_days():
    frame = aggregates([50.0] * 10, [100.0] * 10)

    assert [regime_of(frame, number)["regime"] for number in range(3, 6)] == ["unknown", "bull", "bull"]
    assert regime_of(frame, 3)["trend"] is None
    assert regime_of(frame[:0], 3)["regime"] == "unknown"


def test_the_regime_is_unknown_on_a_day_without_aggregates_of_its_own():
    frame = aggregates([50.0] * 10, [100.0] * 10)
    without_close = frame.with_columns(
        pl.when(pl.col("day") == frame["day"][9]).then(None).otherwise("close").alias("close")
    )

    assert regime_of(frame, 10)["regime"] == "unknown"
    assert regime_of(without_close, 9)["regime"] == "unknown"


@given(seed=st.integers(0, 10_000), number=st.integers(0, 25))
@settings(max_examples=50, deadline=None)
def test_later_days_days_before_the_window_order_and_other_instruments_change_nothing(seed, number):
    random = np.random.default_rng(seed)
    frame = aggregates(random.normal(0, 100, 30), random.uniform(50, 200, 30))
    other = aggregates(random.normal(0, 100, 30), random.uniform(50, 200, 30), "BBB")
    window = frame[max(0, number - PARAMETERS.window_days + 1) : number + 1]
    everything = pl.concat([other, frame]).sample(fraction=1, shuffle=True, seed=seed)
    day = FIRST + timedelta(days=number)

    assert_frame_equal(classify_regime(window, day, PARAMETERS), classify_regime(everything, day, PARAMETERS))


@given(
    seed=st.integers(0, 10_000),
    price=st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**30]),
    scale=st.sampled_from([0.25, 2.0]),
    others=st.floats(0.1, 10),
)
@settings(max_examples=40, deadline=None)
def test_neither_the_unit_of_the_price_nor_that_of_the_moves_matters(seed, price, scale, others):
    random = np.random.default_rng(seed)
    returns, volatilities = random.normal(0, 100, 10), random.uniform(50, 200, 10)

    plain = regime_of(aggregates(returns, volatilities), 9)
    scaled = aggregates(scale * returns, scale * volatilities).with_columns(
        pl.col("close") * price, volume=pl.lit(others), mean_bps=pl.lit(others), skew=pl.lit(others)
    )

    found = regime_of(scaled, 9)
    assert found["volatility_rank"] == plain["volatility_rank"]
    assert found["trend"] == pytest.approx(plain["trend"], rel=1e-6, abs=1e-9)
    assert found["regime"] == plain["regime"]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_market_upside_down_is_a_bear_where_it_was_a_bull(seed):
    random = np.random.default_rng(seed)
    returns, volatilities = random.normal(0, 100, 10), random.uniform(50, 200, 10)

    up, down = (regime_of(aggregates(sign * returns, volatilities), 9) for sign in (1, -1))

    swapped = {"bull": "bear", "bear": "bull"}
    assert down["regime"] == swapped.get(up["regime"], up["regime"])
    assert down["trend"] == pytest.approx(-up["trend"], rel=1e-6, abs=1e-9)


def test_a_day_without_aggregates_counts_with_the_mean_volatility_of_the_others():
    whole = aggregates([50.0] * 10, [100.0] * 10)
    missing = whole.filter(~pl.col("day").is_between(FIRST + timedelta(days=3), FIRST + timedelta(days=5)))

    assert regime_of(missing, 9)["trend"] == pytest.approx(regime_of(whole, 9)["trend"])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_dropping_days_outside_the_window_changes_nothing(seed):
    random = np.random.default_rng(seed)
    frame = aggregates(random.normal(0, 100, 40), random.uniform(50, 200, 40))
    day = FIRST + timedelta(days=int(random.integers(5, 35)))
    inside = pl.col("day").is_between(day - timedelta(days=PARAMETERS.window_days - 1), day)
    thinned = frame.filter(inside | pl.Series(random.random(40) < 0.5))

    assert_frame_equal(classify_regime(thinned, day, PARAMETERS), classify_regime(frame, day, PARAMETERS))


def test_the_row_has_the_stated_schema():
    frame = aggregates([50.0] * 10, [100.0] * 10)

    for number in (0, 9):
        assert dict(classify_regime(frame, FIRST + timedelta(days=number), PARAMETERS).schema) == REGIME_SCHEMA


def test_a_market_that_stands_still_is_sideways():
    assert regime_of(aggregates([0.0] * 10, [0.0] * 10), 9)["regime"] == "sideways"


def test_two_rows_of_one_day_are_refused():
    frame = aggregates([50.0] * 10, [100.0] * 10)

    with pytest.raises(DataQualityError, match="AAA 2024-01-06: 2 aggregate rows"):
        regime_of(pl.concat([frame, frame[5:6]]), 9)


def test_a_minimum_longer_than_the_window_is_refused():
    with pytest.raises(ValidationError, match="min_days 11 exceeds window_days 10"):
        RegimeParameters(**{**PARAMETERS.model_dump(), "min_days": 11})
