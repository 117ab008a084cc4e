import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets.grid.alignment import align_assets
from trademl_assets_tests.grid.definition import FILLED, MISSING, OBSERVED, align_slowly
from trademl_assets_tests.grid.markets import (
    DAY,
    SECOND,
    SLOTS,
    grid_parameters,
    instruments,
    snapshots_at,
)


def instants(seconds, low=-35.0, high=86_399.0):
    """Instants near a few places of the day, so that steps are observed, filled and missing."""
    return sorted({round(min(max(value, low), high), 6) for value in seconds})


times = st.lists(
    st.builds(
        lambda place, offset: place + offset,
        st.sampled_from([0, 30, 300, 43_200, 86_340]),
        st.one_of(st.floats(-35, 60), st.integers(-35, 60).map(float)),
    ),
    max_size=25,
).map(instants)


@given(
    first=times,
    second=times,
    third=st.sampled_from(["absent", "no rows", "rows"]),
    cadence_and_tolerance=st.tuples(st.sampled_from([10, 20, 60]), st.sampled_from([0, 2_000, 35_000])),
    minimum=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_alignment_equals_its_definition_bit_for_bit(first, second, third, cadence_and_tolerance, minimum):
    market = instruments("AAA", "BBB", "CCC")
    snapshots = {
        "AAA": snapshots_at(sorted({0.0, *first}), seed=1),
        "BBB": snapshots_at(second, seed=2),
    }
    if third != "absent":
        snapshots["CCC"] = snapshots_at([] if third == "no rows" else [5.0, 9.0, 30.0, 43_200.5], seed=3)
    parameters = grid_parameters(
        cadence_seconds=cadence_and_tolerance[0],
        tolerance_milliseconds=cadence_and_tolerance[1],
        required_instruments=("AAA",),
        min_assets_required=minimum,
    )

    grid = align_assets(snapshots, market, DAY, parameters)

    expected = align_slowly(snapshots, market, parameters)
    assert grid.arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert grid.arrays[name].dtype == array.dtype
        assert grid.arrays[name].tobytes() == array.tobytes(), name


def test_a_step_is_observed_then_filled_with_its_age_then_missing():
    frame = snapshots_at([19.0], mids=[100.0])

    grid = align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters())

    assert grid.arrays["state"][:7, 0].tolist() == [MISSING, MISSING, OBSERVED, FILLED, FILLED, FILLED, MISSING]
    np.testing.assert_array_equal(grid.arrays["mid"][1:7, 0], [np.nan, 100.0, 100.0, 100.0, 100.0, np.nan])
    np.testing.assert_allclose(grid.arrays["mask"][1:7, 3], [1, 1 / 35, 11 / 35, 21 / 35, 31 / 35, 1], rtol=1e-3)
    np.testing.assert_array_equal(grid.arrays["mask"][:, :3].sum(axis=1), np.ones(8_640))
    assert not grid.arrays["book"][6].any()
    assert grid.summary["AAA"] == {"observed": 1 / 8_640, "filled": 3 / 8_640, "missing": 8_636 / 8_640}


def test_tolerance_and_longest_gap_include_their_ends_and_an_instant_its_own_snapshot():
    frame = snapshots_at([10.0, 28.0, 65.0 - 1e-6])

    state = align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters()).arrays["state"][:, 0]

    assert state[1] == OBSERVED  # age 0
    assert state[3] == OBSERVED  # age 2 s
    assert state[6] == FILLED  # 32 s after 28 s
    assert state[7] == FILLED  # 5.000001 s
    assert state[10] == MISSING  # 35.000001 s after 64.999999 s
    exactly = align_assets({"AAA": snapshots_at([25.0])}, instruments("AAA"), DAY, grid_parameters()).arrays["state"]
    assert exactly[5:8, 0].tolist() == [FILLED, FILLED, MISSING]  # 35 s, then 45 s


def test_a_snapshot_just_after_the_instant_is_not_taken():
    frame = snapshots_at([9.0, 10.000001], mids=[100.0, 101.0])

    arrays = align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters()).arrays

    assert arrays["state"][:3, 0].tolist() == [MISSING, OBSERVED, FILLED]
    assert arrays["mid"][1:3, 0].tolist() == [100.0, 101.0]


def test_a_return_across_a_gap_carries_its_length():
    frame = snapshots_at([10, 20, 29.5, 100], mids=[100.0, 101.0, 102.0, 110.0])

    price = align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters()).arrays["price"]

    np.testing.assert_array_equal(price[:12, 1], [0, 0, 10, 10, 0, 0, 0, 0, 0, 0, 70, 0])
    np.testing.assert_allclose(price[[2, 3, 10], 0], np.log([1.01, 102 / 101, 110 / 102]) * 1e4, rtol=1e-6)
    assert not price[4:10, 0].any()


def test_the_lead_in_fills_and_returns_across_midnight():
    frame = snapshots_at([-20.5, -12.0, 0.0], mids=[100.0, 101.0, 102.0])
    before_midnight = frame[:2]

    filled = align_assets({"AAA": before_midnight}, instruments("AAA"), DAY, grid_parameters()).arrays
    observed = align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters()).arrays

    assert filled["state"][:4, 0].tolist() == [FILLED, FILLED, FILLED, MISSING]
    assert filled["mid"][0, 0] == 101.0
    np.testing.assert_allclose(observed["price"][0, :2], [np.log(102 / 101) * 1e4, 10], rtol=1e-6)


@pytest.mark.parametrize(("cadence", "steps"), [(1, 86_400), (10, 8_640), (60, 1_440)])
def test_the_cadence_gives_the_steps_of_the_day(cadence, steps):
    frame = snapshots_at(np.arange(0, 3_600, 5.0))
    parameters = grid_parameters(cadence_seconds=cadence, max_gap_seconds=60)

    arrays = align_assets({"AAA": frame}, instruments("AAA"), DAY, parameters).arrays

    assert {name: array.shape for name, array in arrays.items()} == {
        "book": (steps, SLOTS, 4),
        "price": (steps, 4),
        "mask": (steps, 4),
        "mid": (steps, 1),
        "state": (steps, 1),
        "usable": (steps,),
    }
    assert arrays["state"][3_599 // cadence, 0] != MISSING
    assert arrays["state"][-1, 0] == MISSING


def test_the_same_snapshots_give_the_same_bytes_and_columns_follow_the_order_of_instruments():
    snapshots = {"AAA": snapshots_at([0, 10], seed=1), "BBB": snapshots_at([0, 10], seed=2)}
    market = instruments("AAA", "BBB")
    swapped = {name: market[name] for name in ("BBB", "AAA")}

    one, again = (align_assets(snapshots, market, DAY, grid_parameters()) for _ in range(2))
    other = align_assets(snapshots, swapped, DAY, grid_parameters())

    for name, array in one.arrays.items():
        assert array.tobytes() == again.arrays[name].tobytes()
        columns = np.roll(other.arrays[name], array.shape[-1] // 2, axis=-1) if name != "usable" else array
        np.testing.assert_array_equal(array, columns)
    assert other.instruments == ("BBB", "AAA")


def test_an_instrument_without_snapshots_is_missing_unless_required():
    snapshots = {"AAA": snapshots_at([0.0]), "BBB": snapshots_at([])}
    market = instruments("AAA", "BBB", "CCC")

    grid = align_assets(snapshots, market, DAY, grid_parameters(required_instruments=("AAA",)))

    assert (grid.arrays["state"][:, 1:] == MISSING).all()
    for name in ("BBB", "CCC"):
        with pytest.raises(
            DataQualityError, match=rf"2024-01-01: required instruments \['{name}'\] are never observed"
        ):
            align_assets(snapshots, market, DAY, grid_parameters(required_instruments=("AAA", name)))


def test_steps_are_usable_where_the_required_and_enough_instruments_are_shown():
    snapshots = {
        "AAA": snapshots_at([0, 10, 20, 30, 100]),
        "BBB": snapshots_at([10, 20]),
        "CCC": snapshots_at([0, 10, 30, 100]),
    }
    market = instruments("AAA", "BBB", "CCC")
    parameters = grid_parameters(required_instruments=("AAA",), max_gap_seconds=10)

    def usable(**changes):
        changed = parameters.model_copy(update=changes)
        return align_assets(snapshots, market, DAY, changed).arrays["usable"][:12].tolist()

    assert usable(min_assets_required=1) == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert usable(min_assets_required=3) == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert usable(min_assets_required=2, required_instruments=("BBB",)) == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert usable(min_assets_required=1, required_instruments=("AAA", "BBB")) == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ConfigError, match="min_assets_required 4 exceeds the 3 instruments"):
        usable(min_assets_required=4)


def test_a_day_on_which_every_instrument_was_masked_is_a_grid_of_nothing():
    snapshots = {"AAA": snapshots_at([]), "BBB": snapshots_at([])}

    arrays = align_assets(snapshots, instruments("AAA", "BBB"), DAY, grid_parameters()).arrays

    assert (arrays["state"] == MISSING).all()
    assert np.isnan(arrays["mid"]).all()
    assert not arrays["book"].any()
    assert not arrays["price"].any()
    assert not arrays["usable"].any()
    np.testing.assert_array_equal(arrays["mask"], np.tile([0, 0, 1, 1], (8_640, 2)))


@pytest.mark.parametrize(
    ("snapshots", "found"),
    [
        ({"AAA": snapshots_at([10, 0])}, "AAA 2024-01-01: snapshots are not strictly ascending"),
        ({"AAA": snapshots_at([10, 10])}, "AAA 2024-01-01: snapshots are not strictly ascending"),
        ({"AAA": snapshots_at([0]), "ZZZ": snapshots_at([0])}, r"snapshots of \['ZZZ'\]"),
        ({}, "same number of slots"),
    ],
)
def test_snapshots_that_do_not_belong_together_are_refused(snapshots, found):
    with pytest.raises(DataQualityError, match=found):
        align_assets(snapshots, instruments("AAA"), DAY, grid_parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"cadence_seconds": 7},
        {"tolerance_milliseconds": 35_001},
        {"method": "linear"},
        {"max_gap_seconds": 0},
        {"min_assets_required": 0},
    ],
)
def test_impossible_grids_are_refused(changes):
    with pytest.raises(ValidationError):
        grid_parameters(**changes)


def test_interpolation_is_refused_with_what_to_write_instead():
    with pytest.raises(ValidationError, match=r"NEXT observation.*write forward_fill.*interpolate_for_display"):
        grid_parameters(method="linear_interpolate")


def test_symbols_whose_instants_never_coincide_are_shown_at_their_own_ages(market_data):
    first_us = 1_726_876_800_000_000  # midnight of the recording, 2024-09-21
    names = ("BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT")
    files = [market_data / "lob-binance-futures-100lvl" / f"{name}_2024-09-21.parquet" for name in names]
    recorded = [pl.read_parquet(file)["tm"].to_numpy() * 1_000 - first_us for file in files]
    snapshots = {name: snapshots_at(times / SECOND) for name, times in zip(names, recorded, strict=True)}
    parameters = grid_parameters(cadence_seconds=1, tolerance_milliseconds=500, max_gap_seconds=10)

    grid = align_assets(snapshots, instruments(*names), DAY, parameters)

    assert len(np.unique(np.concatenate(recorded))) == sum(len(times) for times in recorded) == 220 + 217 + 215 + 228
    for number, times in enumerate(recorded):
        for step in range(int(times[0] // SECOND), int(times[-1] // SECOND) + 13):
            known = times[times <= step * SECOND]
            age = step * SECOND - known.max() if len(known) else -1
            assert grid.ages_us[step, number] == age
            state = MISSING if age < 0 or age > 10 * SECOND else OBSERVED if age <= SECOND // 2 else FILLED
            assert grid.arrays["state"][step, number] == state
    shown = (grid.arrays["state"] != MISSING).all(axis=1)
    assert all(len(set(ages)) == len(names) for ages in grid.ages_us[shown].tolist())


def test_real_asynchronous_snapshots_are_shown_at_their_true_age(market_data):
    listed = pl.read_parquet(market_data / "lob-btc-top-5s" / "BTC_top_of_book.parquet")
    stamps = listed["timestamp"]
    stamps = stamps.str.to_datetime(time_unit="us") if stamps.dtype == pl.String else stamps.dt.cast_time_unit("us")
    instant_us = np.unique(stamps.dt.replace_time_zone(None).to_physical().to_numpy())
    seconds = instant_us % (86_400 * SECOND) / SECOND
    frame = snapshots_at(seconds, mids=np.full(len(seconds), 100.0))

    arrays = align_assets(
        {"AAA": frame}, instruments("AAA"), DAY, grid_parameters(tolerance_milliseconds=10_000, max_gap_seconds=60)
    ).arrays

    steps = np.arange(8_640) * 10.0
    latest = np.searchsorted(seconds, steps, side="right") - 1
    age = np.where(latest >= 0, steps - seconds[latest], np.inf)
    np.testing.assert_array_equal(arrays["state"][:, 0] == MISSING, age > 60)
    known = age <= 60
    np.testing.assert_allclose(arrays["mask"][known, 3].astype(float) * 60, age[known], atol=0.03)
    missing_runs = np.diff(np.flatnonzero(np.diff(known, prepend=False, append=False))[1:-1])[::2] * 10
    assert len(missing_runs) == 3
