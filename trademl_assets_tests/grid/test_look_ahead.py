import numpy as np
import polars as pl

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

CUTS, GAP_EDGES = 60, 200
MARKET = instruments("AAA", "BBB", "CCC")
PARAMETERS = grid_parameters(required_instruments=("AAA",), min_assets_required=2)


def irregular_snapshots(random, after=-35.0):
    """Snapshots at random instants of the day later than `after`, with gaps of up to several minutes."""
    snapshots = {}
    for number, name in enumerate(MARKET):
        waits = np.where(random.random(12_000) < 0.02, random.uniform(0, 300, 12_000), random.exponential(6, 12_000))
        seconds = np.unique(np.round(np.cumsum(waits) - 35 + random.random(), 6))
        seconds = seconds[(seconds > after) & (seconds < 86_400)]
        snapshots[name] = snapshots_at(seconds, seed=int(random.integers(2**31)) + number)
    return snapshots


def known_by(snapshots, instant_us):
    later = pl.col("ts").dt.timestamp("us") > instant_us
    return {name: frame.filter(~later) for name, frame in snapshots.items()}


def with_other_future(snapshots, cut, random):
    """The same snapshots up to a step, then others; an instrument may fall silent."""
    known = known_by(snapshots, MIDNIGHT_US + cut * 10 * SECOND)
    future = irregular_snapshots(random, after=cut * 10.0)
    silent = str(random.choice([*MARKET, "nobody"]))
    return {name: known[name] if name == silent else pl.concat([known[name], future[name]]) for name in known}


def chosen_steps(state, random):
    """Random steps, and steps where an instrument's state changes, spread evenly over the kinds of change."""
    edges = [
        np.flatnonzero((state[:-1, a] == before) & (state[1:, a] == after))
        for a in range(state.shape[1])
        for before in range(3)
        for after in range(3)
        if before != after
    ]
    edges = [found for found in edges if len(found)]
    each = GAP_EDGES // len(edges)
    picked = np.concatenate([random.choice(found, min(each, len(found)), replace=False) for found in edges])
    assert len(picked) > GAP_EDGES / 2
    return np.concatenate([random.integers(10, len(state) - 1, CUTS), picked])


def test_nothing_at_or_before_a_step_changes_when_what_follows_is_cut_off_or_replaced():
    random = np.random.default_rng(11)
    snapshots = irregular_snapshots(random)
    whole = align_assets(snapshots, MARKET, DAY, PARAMETERS)

    for cut in chosen_steps(whole.arrays["state"], random).tolist():
        shortened = known_by(snapshots, MIDNIGHT_US + cut * 10 * SECOND)
        others = shortened if random.random() < 0.5 else with_other_future(snapshots, cut, random)
        other = align_assets(others, MARKET, DAY, PARAMETERS)
        for name, array in whole.arrays.items():
            assert array[: cut + 1].tobytes() == other.arrays[name][: cut + 1].tobytes(), (name, cut)
        assert (whole.ages_us[: cut + 1] == other.ages_us[: cut + 1]).all()


def test_the_random_days_differ_after_their_cut():
    random = np.random.default_rng(12)
    snapshots = irregular_snapshots(random)
    cut = 4_000

    one = align_assets(snapshots, MARKET, DAY, PARAMETERS)
    other = align_assets(with_other_future(snapshots, cut, random), MARKET, DAY, PARAMETERS)

    assert one.arrays["book"].shape == (8_640, SLOTS, 12)
    for name, array in one.arrays.items():
        assert array[: cut + 1].tobytes() == other.arrays[name][: cut + 1].tobytes()
        assert array[cut + 1 :].tobytes() != other.arrays[name][cut + 1 :].tobytes()
