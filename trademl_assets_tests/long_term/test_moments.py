import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.alignment import align_assets
from trademl_assets.long_term.moments import aggregate_day, describe_returns
from trademl_assets.sources.contract import AGGREGATE_SCHEMA
from trademl_assets_tests.grid.markets import DAY, grid_parameters, instruments, snapshots_at


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(3, 4_000),
    center=st.floats(-5, 5),
    scale=st.floats(1e-3, 1e3),
    tail=st.floats(2.5, 30),
)
@settings(max_examples=100, deadline=None)
def test_moments_equal_scipys(seed, count, center, scale, tail):
    returns = center * scale + scale * np.random.default_rng(seed).standard_t(tail, count)

    found = describe_returns(returns)

    expected = (returns.mean(), returns.std(), stats.skew(returns), stats.kurtosis(returns))
    # an absolute share of the returns' own size where a moment all but vanishes
    size = np.abs(returns).max()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9, atol=1e-13 * size)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)
    np.testing.assert_allclose(found[2:], expected[2:], rtol=1e-9, atol=1e-11)


def test_the_moments_of_a_whole_day_equal_scipys_to_a_billionth():
    mids = 40_000 * np.exp(np.cumsum(np.random.default_rng(5).standard_t(4, 8_640) * 3e-4 + 1e-5))
    grid = align_assets({"AAA": snapshots_at(np.arange(8_640) * 10, mids)}, instruments("AAA"), DAY, grid_parameters())

    row = aggregate_day(grid.arrays, ("AAA",), DAY).row(0, named=True)

    returns = np.diff(np.log(mids)) * 1e4
    expected = {
        "mean_bps": returns.mean(),
        "std_bps": returns.std(),
        "skew": stats.skew(returns),
        "kurtosis": stats.kurtosis(returns),
        "volatility_bps": np.sqrt((returns**2).sum()),
        "close": mids[-1],
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-9), name
    assert row["steps"] == 8_640


def test_a_return_across_a_gap_counts_for_volatility_but_not_for_moments():
    mids = [100.0, 101.0, 100.0, 120.0, 121.0]
    frame = snapshots_at([0, 10, 20, 200, 210], mids)
    grid = align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters())

    row = aggregate_day(grid.arrays, ("AAA",), DAY).row(0, named=True)

    returns = np.diff(np.log(mids)) * 1e4
    assert row["mean_bps"] == pytest.approx(returns[[0, 1, 3]].mean())
    assert row["volatility_bps"] == pytest.approx(np.sqrt((returns**2).sum()))
    assert (row["steps"], row["close"]) == (5, 121.0)


def test_volume_is_the_mean_quantity_of_observed_steps_over_the_reference():
    frame = snapshots_at([0, 10, 55], seed=3)
    market = instruments("AAA", reference_quantity=4.0)
    grid = align_assets({"AAA": frame}, market, DAY, grid_parameters())

    volume = aggregate_day(grid.arrays, ("AAA",), DAY)["volume"][0]

    observed = frame[:2]  # the third fills the step at 60 s
    total = sum(np.nansum(observed[name].to_numpy()) for name in ("bid_quantity", "ask_quantity"))
    assert volume == pytest.approx(total / 2 / 4.0, rel=2e-3)  # as exact as half precision


def test_what_is_undefined_is_null():
    market = instruments("AAA", "BBB", "CCC", "DDD")
    snapshots = {
        "AAA": snapshots_at([]),
        "BBB": snapshots_at([0], [100.0]),
        "CCC": snapshots_at([0, 10], [100.0, 101.0]),
        "DDD": snapshots_at([0, 10, 20], [100.0, 100.0, 100.0]),
    }
    grid = align_assets(snapshots, market, DAY, grid_parameters())

    frame = aggregate_day(grid.arrays, tuple(market), DAY)

    assert dict(frame.schema) == dict(AGGREGATE_SCHEMA)
    assert frame["steps"].to_list() == [0, 1, 2, 3]
    known = {
        name: [value is not None for value in frame[name]]
        for name in ("mean_bps", "std_bps", "skew", "volatility_bps", "close", "volume")
    }
    assert known == {
        "mean_bps": [False, False, True, True],
        "std_bps": [False, False, True, True],
        "skew": [False, False, False, False],
        "volatility_bps": [False, False, True, True],
        "close": [False, True, True, True],
        "volume": [False, True, True, True],
    }
    assert not frame.select(pl.selectors.float().is_nan().any()).row(0)[0]


def test_read_only_arrays_give_the_same_aggregates():
    grid = align_assets({"AAA": snapshots_at(range(0, 500, 10))}, instruments("AAA"), DAY, grid_parameters())
    before = aggregate_day(grid.arrays, ("AAA",), DAY)
    assert grid.arrays["book"].flags.writeable
    assert grid.arrays["state"].flags.writeable
    for array in grid.arrays.values():
        array.flags.writeable = False

    assert aggregate_day(grid.arrays, ("AAA",), DAY).equals(before)


def test_arrays_of_other_instruments_are_refused():
    grid = align_assets({"AAA": snapshots_at([0])}, instruments("AAA"), DAY, grid_parameters())

    with pytest.raises(DataQualityError, match=r"grid of 2024-01-01.*\['AAA', 'BBB'\]"):
        aggregate_day(grid.arrays, ("AAA", "BBB"), DAY)
