import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.alignment import align_assets
from trademl_assets.grid.gaps import FILLED, MISSING, OBSERVED
from trademl_assets.long_term.level_moments import LEVEL_SCHEMA, aggregate_levels
from trademl_assets.long_term.moments import aggregate_day
from trademl_assets.long_term.parameters import LevelGroup, LongTermParameters
from trademl_assets_tests.grid.markets import DAY, grid_parameters, instruments, snapshots_at
from trademl_assets_tests.long_term.test_regimes import PARAMETERS

NAMES = ("AAA", "BBB")
SLOTS = 6
GROUPS = (
    LevelGroup(name="near", first_slot=0, last_slot=2),
    LevelGroup(name="deep", first_slot=2, last_slot=6),
    LevelGroup(name="all", first_slot=0, last_slot=6),
)


def arrays(quantities, state=None):
    """A grid day from quantities of shape (T, slots, instruments, sides)."""
    steps, slots, count, _ = quantities.shape
    book = np.full((steps, slots, count, 2, 2), 7.0, dtype=np.float16)  # distances, which do not matter
    book[..., 1] = np.log1p(quantities)
    if state is None:
        state = np.full((steps, count), OBSERVED, dtype=np.uint8)
    return {"book": book.reshape(steps, slots, count * 4), "state": state}


def as_stored(quantities):
    return np.expm1(np.log1p(quantities).astype(np.float16).astype(np.float64))


def row_of(frame, instrument, side, group):
    return frame.row(
        by_predicate=(pl.col("instrument") == instrument) & (pl.col("side") == side) & (pl.col("group") == group),
        named=True,
    )


def plain(stored, seen):
    """The same by numpy and scipy, one group of one side: stored quantities of shape (T, slots), seen (T,)."""
    quoted = stored[seen][stored[seen] > 0]
    totals = stored.sum(axis=1)
    changes = np.diff(totals)[seen[1:] & seen[:-1]]
    return {
        "mean": quoted.mean(),
        "std": quoted.std(),
        "skew": stats.skew(quoted),
        "kurtosis": stats.kurtosis(quoted),
        "volume": totals[seen].mean(),
        "volatility": changes.std(),
        "count": len(quoted),
        "steps": int(seen.sum()),
    }


@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(50, 203),
    empty=st.floats(0, 0.9),
    unseen=st.floats(0, 0.5),
    center=st.floats(-3, 8),
)
@settings(max_examples=60, deadline=None)
def test_groups_are_described_as_numpy_and_scipy_do(seed, steps, empty, unseen, center):
    random = np.random.default_rng(seed)
    quantities = random.lognormal(center, 1.0, (steps, SLOTS, 2, 2))
    quantities[random.random(quantities.shape) < empty] = 0.0
    state = random.choice([OBSERVED, FILLED, MISSING], (steps, 2), p=[1 - unseen, unseen / 2, unseen / 2])
    seen = state == OBSERVED

    frame = aggregate_levels(arrays(quantities, state.astype(np.uint8)), NAMES, DAY, GROUPS)

    stored = as_stored(quantities)
    for number, name in enumerate(NAMES):
        for half, side in enumerate(("bid", "ask")):
            for group in GROUPS:
                slots = stored[:, group.first_slot : group.last_slot, number, half]
                found = row_of(frame, name, side, group.name)
                for key, value in plain(slots, seen[:, number]).items():
                    assert found[key] == pytest.approx(value, rel=1e-8, abs=1e-8 * max(1, abs(value))), (side, key)


@pytest.mark.parametrize("offset", [100.0, 1e4, 5e7])
def test_large_quantities_that_hardly_differ_lose_nothing(offset):
    random = np.random.default_rng(4)
    quantities = offset + random.uniform(1, 1 + offset / 50, (400, SLOTS, 1, 2))

    frame = aggregate_levels(arrays(quantities), ("AAA",), DAY, GROUPS)

    expected = plain(as_stored(quantities)[:, :, 0, 0], np.ones(400, dtype=bool))
    found = row_of(frame, "AAA", "bid", "all")
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_volume_of_all_slots_is_that_of_the_daily_aggregate():
    market = instruments(*NAMES)
    snapshots = {name: snapshots_at(range(0, 3_000, 10), seed=number) for number, name in enumerate(NAMES)}
    grid = align_assets(snapshots, market, DAY, grid_parameters())
    whole = LevelGroup(name="whole", first_slot=0, last_slot=grid.arrays["book"].shape[1])

    frame = aggregate_levels(grid.arrays, NAMES, DAY, (whole,))

    both_sides = frame.group_by("instrument", maintain_order=True).agg(pl.col("volume").sum())
    np.testing.assert_allclose(both_sides["volume"], aggregate_day(grid.arrays, NAMES, DAY)["volume"], rtol=1e-12)


def test_an_empty_slot_counts_for_volume_but_is_no_quotation():
    quantities = np.zeros((4, SLOTS, 1, 2))
    quantities[:, 0] = 3.0

    found = row_of(aggregate_levels(arrays(quantities), ("AAA",), DAY, GROUPS), "AAA", "ask", "near")

    assert (found["count"], found["mean"], found["volume"]) == (
        4,
        pytest.approx(3, rel=1e-3),
        pytest.approx(3, rel=1e-3),
    )
    assert (found["skew"], found["kurtosis"], found["volatility"]) == (None, None, 0.0)


def test_what_is_undefined_is_null():
    quantities = np.ones((3, SLOTS, 2, 2))
    quantities[:, :2, 0] = 0.0
    state = np.array([[OBSERVED, MISSING], [MISSING, MISSING], [OBSERVED, MISSING]], dtype=np.uint8)

    frame = aggregate_levels(arrays(quantities, state), NAMES, DAY, GROUPS)

    nothing = dict.fromkeys(("mean", "std", "skew", "kurtosis", "volatility"))
    empty = row_of(frame, "AAA", "bid", "near")
    assert {key: empty[key] for key in nothing} == nothing
    assert (empty["volume"], empty["count"], empty["steps"]) == (0.0, 0, 2)
    unseen = row_of(frame, "BBB", "bid", "deep")
    assert {key: unseen[key] for key in (*nothing, "volume")} == {**nothing, "volume": None}
    assert (unseen["count"], unseen["steps"]) == (0, 0)
    apart = row_of(frame, "AAA", "bid", "deep")
    assert (apart["std"], apart["skew"], apart["volatility"]) == (0.0, None, None)  # two steps that are no neighbours
    assert dict(frame.schema) == dict(LEVEL_SCHEMA)
    assert not frame.select(pl.selectors.float().is_nan().any()).row(0)[0]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 8])
def test_days_of_any_number_of_steps_are_described(steps):
    quantities = np.random.default_rng(steps).lognormal(0, 1, (steps, SLOTS, 1, 2))

    found = row_of(aggregate_levels(arrays(quantities), ("AAA",), DAY, GROUPS), "AAA", "bid", "all")

    assert found["volume"] == pytest.approx(as_stored(quantities)[:, :, 0, 0].sum() / steps)


def test_read_only_arrays_give_the_same_and_stay_as_they_are():
    given_arrays = arrays(np.random.default_rng(1).lognormal(0, 1, (40, SLOTS, 2, 2)))
    before = aggregate_levels(given_arrays, NAMES, DAY, GROUPS)
    assert given_arrays["book"].flags.writeable
    for array in given_arrays.values():
        array.flags.writeable = False

    assert aggregate_levels(given_arrays, NAMES, DAY, GROUPS).equals(before)


def test_arrays_of_other_instruments_are_refused():
    with pytest.raises(DataQualityError, match=r"grid of 2024-01-01.*\['AAA', 'BBB'\]"):
        aggregate_levels(arrays(np.ones((4, SLOTS, 1, 2))), NAMES, DAY, GROUPS)


def test_a_group_beyond_the_book_is_refused():
    with pytest.raises(DataQualityError, match=r"6 slots, level groups end at \{'bins': 60\}"):
        aggregate_levels(
            arrays(np.ones((4, SLOTS, 2, 2))), NAMES, DAY, (LevelGroup(name="bins", first_slot=2, last_slot=60),)
        )


def test_an_empty_group_and_repeated_names_are_mistakes():
    with pytest.raises(ValidationError, match="last_slot 3 must lie behind 3"):
        LevelGroup(name="near", first_slot=3, last_slot=3)
    with pytest.raises(ValidationError, match=r"repeat the names \['near'\]"):
        LongTermParameters(regimes=PARAMETERS, level_groups=(GROUPS[0], GROUPS[0]))
