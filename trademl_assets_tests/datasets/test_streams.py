from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.datasets.parameters import SigmaParameters
from trademl_assets.datasets.series import DailyContext, GridSeries
from trademl_assets.datasets.streams import (
    PRICE_COLUMNS,
    long_term_columns,
    long_term_stream,
    price_stream,
    trailing_sigma,
)
from trademl_assets.grid.gaps import returns_between_observed

CADENCE = 10
SIGMA = SigmaParameters(short_window_seconds=200, long_window_seconds=900, floor_bps=0.05)


def series_of(seed: int, steps: int = 300, assets: int = 2) -> GridSeries:
    rng = np.random.default_rng(seed)
    mid = 50.0 * np.exp(np.cumsum(rng.normal(0, 2e-4, (steps, assets)), axis=0))
    state = rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1], size=(steps, assets)).astype(np.uint8)
    mid[state == 2] = np.nan
    noise = rng.exponential(1.0, (2, steps, assets)).astype(np.float32)
    instants = np.arange(steps, dtype=np.int64) * CADENCE * 1_000_000
    return GridSeries(
        instants, mid, state, np.zeros((steps, assets), np.float32), noise[0], noise[1], np.ones(steps, np.uint8)
    )


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 298))
def test_the_price_stream_does_not_notice_what_comes_later(seed: int, cut: int) -> None:
    series, other = series_of(seed), series_of(seed + 1)
    known = np.arange(300)[:, None] <= cut
    fields = ("mid", "state", "age_seconds", "spread_bps", "microprice_bps")
    changed = replace(series, **{f: np.where(known, getattr(series, f), getattr(other, f)) for f in fields})
    before, after = (price_stream(some, CADENCE, SIGMA)[: cut + 1] for some in (series, changed))
    assert before.tobytes() == after.tobytes()


def test_trailing_sigma_equals_its_definition_step_by_step() -> None:
    series = series_of(3)
    returns, spans = returns_between_observed(series.mid[:, 0], series.state[:, 0], CADENCE)
    found = trailing_sigma(returns, spans, CADENCE, 200, 0.05)
    for step in range(len(returns)):
        window = [number for number in range(step + 1) if spans[number] > 0][-20:]
        squares = [returns[number] ** 2 * CADENCE / spans[number] for number in window]
        assert found[step] == pytest.approx(max(np.sqrt(np.mean(squares or [0.0])), 0.05), rel=1e-9)


def test_sigma_of_a_random_walk_is_its_standard_deviation_whatever_the_gaps() -> None:
    rng = np.random.default_rng(0)
    mid = np.exp(np.cumsum(rng.normal(0, 3e-4, 40_000)))
    for missing_share in (0.0, 0.4):
        state = (rng.random(40_000) < missing_share).astype(np.uint8)
        returns, spans = returns_between_observed(mid, state, CADENCE)
        found = trailing_sigma(returns, spans, CADENCE, 200_000, 0.01)
        assert found[-1] == pytest.approx(3.0, rel=0.02)


def test_a_gap_longer_than_the_window_keeps_the_last_sigma() -> None:
    mid = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 3e-4, 200)))
    state = np.zeros(200, np.uint8)
    state[100:160] = 2
    returns, spans = returns_between_observed(mid, state, CADENCE)
    found = trailing_sigma(returns, spans, CADENCE, 200, 0.01)
    assert np.all(found[100:160] == found[99])
    assert found[160] == pytest.approx(found[99], rel=0.2)
    assert returns[160] == pytest.approx(1e4 * np.log(mid[160] / mid[99]))
    assert spans[160] == 61 * CADENCE


def test_a_silent_market_stands_at_the_floor() -> None:
    flat = trailing_sigma(
        *returns_between_observed(np.full(50, 9.0), np.zeros(50, np.uint8), CADENCE), CADENCE, 100, 0.25
    )
    assert flat.tolist() == [0.25] * 50


def test_price_columns_stand_by_instrument_and_hold_what_is_missing() -> None:
    series = series_of(5)
    stream = price_stream(series, CADENCE, SIGMA).reshape(300, 2, len(PRICE_COLUMNS))
    assert np.isfinite(stream).all()
    returns, _ = returns_between_observed(series.mid[:, 1], series.state[:, 1], CADENCE)
    assert stream[:, 1, 0] * np.exp(stream[:, 1, 1]) == pytest.approx(returns, abs=1e-4)
    known = series.state[:, 1] != 2
    assert stream[known, 1, 3].tolist() == series.spread_bps[known, 1].tolist()
    absent = np.flatnonzero(~known)
    absent = absent[absent > 0]
    assert stream[absent, 1, 3].tolist() == stream[absent - 1, 1, 3].tolist()


def test_an_absent_day_is_marked_and_carries_no_value() -> None:
    days = tuple(date(2024, 1, 1) + timedelta(days=n) for n in range(3))
    volume = np.asarray([[1.0, 2.0], [np.nan, 5.0], [3.0, 4.0]])
    skew = np.asarray([[0.5, 0.1], [np.nan, 0.2], [0.3, 0.4]])
    stream = long_term_stream(DailyContext(days, {"volume": volume, "skew": skew}, ("bull",) * 3), ("skew", "volume"))
    assert long_term_columns(("skew", "volume")) == ("skew", "log1p_volume", "present")
    assert stream[1, :, 0].tolist()[2] == 0.0
    assert np.isnan(stream[1, :2, 0]).all()
    assert stream[1, :, 1] == pytest.approx([0.2, np.log1p(5.0), 1.0])
