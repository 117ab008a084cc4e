import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.alignment import align_assets
from trademl_assets_tests.grid.markets import (
    DAY,
    MIDNIGHT_US,
    SECOND,
    SLOTS,
    grid_parameters,
    instruments,
    snapshots_at,
)

OBSERVED, FILLED, MISSING = 0, 1, 2


def align_slowly(snapshots, market, parameters):
    """The definition, step by step in plain Python."""
    steps, cadence = 86_400 // parameters.cadence_seconds, parameters.cadence_seconds
    tolerance, max_gap = parameters.tolerance_milliseconds * 1_000, parameters.max_gap_seconds * SECOND
    width = 4 * len(market)
    book, price = np.zeros((steps, SLOTS, width), np.float16), np.zeros((steps, width), np.float32)
    mask, mid = np.zeros((steps, width), np.float16), np.full((steps, len(market)), np.nan)
    state = np.full((steps, len(market)), MISSING, np.uint8)
    for a, (name, instrument) in enumerate(market.items()):
        rows = snapshots[name].to_dicts()
        times = [int(row["ts"].timestamp() * SECOND) for row in rows]
        previous, at = None, -1
        for k in range(-(parameters.max_gap_seconds // cadence), steps):
            instant = MIDNIGHT_US + k * cadence * SECOND
            while at + 1 < len(times) and times[at + 1] <= instant:
                at += 1
            age = instant - times[at] if at >= 0 else None
            known = age is not None and age <= max_gap
            seen = known and age <= tolerance
            if k >= 0:
                mask[k, 4 * a : 4 * a + 4] = (seen, known and not seen, not known, age / max_gap if known else 1)
            if known and k >= 0:
                row = rows[at]
                state[k, a], mid[k, a] = (OBSERVED if seen else FILLED), row["mid"]
                price[k, 4 * a + 2 : 4 * a + 4] = row["spread_bps"], row["microprice_bps"]
                for field, key in enumerate(("bid_distance_bps", "bid_quantity", "ask_distance_bps", "ask_quantity")):
                    values = np.asarray(row[key], np.float32)
                    if field % 2:
                        values = np.log1p((values / np.float32(instrument.reference_quantity)).astype(np.float64))
                    book[k, :, 4 * a + field] = np.nan_to_num(values)
            if seen:
                if previous is not None and k >= 0:
                    change = (np.log(rows[at]["mid"]) - np.log(previous[1])) * 1e4
                    price[k, 4 * a : 4 * a + 2] = change, (k - previous[0]) * cadence
                previous = (k, rows[at]["mid"])
    return {"book": book, "price": price, "mask": mask, "mid": mid, "state": state}


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


@given(first=times, second=times, cadence=st.sampled_from([10, 60]), tolerance=st.sampled_from([0, 2_000, 35_000]))
@settings(max_examples=15, deadline=None)
def test_alignment_equals_its_definition_bit_for_bit(first, second, cadence, tolerance):
    market = instruments("AAA", "BBB")
    snapshots = {"AAA": snapshots_at(first, seed=1), "BBB": snapshots_at(second, seed=2)}
    parameters = grid_parameters(cadence_seconds=cadence, tolerance_milliseconds=tolerance)

    grid = align_assets(snapshots, market, DAY, parameters)

    for name, expected in align_slowly(snapshots, market, parameters).items():
        assert grid.arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(grid.arrays[name], expected, err_msg=name)


@given(seconds=times.filter(len), cut=st.integers(0, 8_640), data=st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_after_an_instant_changes_anything_at_or_before_it(seconds, cut, data):
    before = [second for second in seconds if second <= cut * 10]
    after = [second for second in data.draw(times) if second > cut * 10]
    original, changed = snapshots_at(seconds, seed=1), snapshots_at(sorted(before + after), seed=1)
    if before:
        changed = pl.concat([original[: len(before)], changed[len(before) :]])
    market, parameters = instruments("AAA"), grid_parameters()

    one = align_assets({"AAA": original}, market, DAY, parameters)
    other = align_assets({"AAA": changed}, market, DAY, parameters)

    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array[: cut + 1], other.arrays[name][: cut + 1], err_msg=name)


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
    state = align_assets({"AAA": snapshots_at([10.000001])}, instruments("AAA"), DAY, grid_parameters()).arrays["state"]

    assert state[:3, 0].tolist() == [MISSING, MISSING, FILLED]


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
        half = array.shape[-1] // 2
        np.testing.assert_array_equal(array[..., :half], other.arrays[name][..., half:])
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


def test_values_beyond_half_precision_are_refused_by_name():
    far = np.full((1, SLOTS), 70_000.0, np.float32)
    frame = snapshots_at([0.0]).with_columns(ask_distance_bps=pl.Series(far, dtype=pl.Array(pl.Float32, SLOTS)))

    with pytest.raises(DataQualityError, match=r"AAA 2024-01-01: ask_distance_bps reaches 70000"):
        align_assets({"AAA": frame}, instruments("AAA"), DAY, grid_parameters())


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
        {"method": "linear_interpolate"},
        {"max_gap_seconds": 0},
    ],
)
def test_impossible_grids_are_refused(changes):
    with pytest.raises(ValidationError):
        grid_parameters(**changes)


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
