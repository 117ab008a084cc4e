"""What compression keeps to whatever the book: nothing vanishes unreported, no snapshot knows a later row."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from trademl_assets.order_book import compression as room
from trademl_assets.order_book.compression import CompressionParameters, LevelBins, compress_day
from trademl_assets.order_book.population import KeptDepth, count_populated_levels, kept_depth
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, SNAPSHOT_SCALARS, TALL_SCHEMA
from trademl_assets_tests.order_book.books import DAY, INSTRUMENT, MIDNIGHT, compression, tall_rows
from trademl_assets_tests.order_book.test_compression import BINS, books, compress_slowly

NAN = float("nan")
CUTS, LEVELS = 60, 7
BY_DISTANCE = compression(2, 1.0, 2.5, 5.0, threshold=1)
BY_LEVEL = CompressionParameters(
    near_market_levels=2, min_nonzero_threshold=1, bins=LevelBins(by="level", upper_edges=(3, 5))
)


def random_rows(seed, snapshots, first_second=0):
    """Valid books one second apart: some levels empty, some missing, a depth that varies."""
    random = np.random.default_rng(seed)
    mid = 1_000 + np.cumsum(random.normal(0, 0.05, snapshots))
    away = 0.01 * np.cumsum(random.integers(1, 40, (2, snapshots, LEVELS)), axis=2)
    sizes = random.exponential(2.0, (2, snapshots, LEVELS)) * (random.random((2, snapshots, LEVELS)) > 0.2)
    sizes[:, :, 0] += 0.1
    seconds = np.repeat(np.arange(first_second, first_second + snapshots), LEVELS)
    columns = {
        "ts": np.datetime64(MIDNIGHT.replace(tzinfo=None), "us") + seconds.astype("timedelta64[s]"),
        "batch_id": seconds,
        "level": np.tile(np.arange(LEVELS), snapshots),
        "bid_price": (mid[:, None] - away[0]).ravel(),
        "bid_quantity": sizes[0].ravel(),
        "ask_price": (mid[:, None] + away[1]).ravel(),
        "ask_quantity": sizes[1].ravel(),
    }
    missing = (pl.col("level") > 0) & pl.Series(random.random(len(seconds)) < 0.1)
    prices_and_sizes = list(columns)[3:]
    return (
        pl.DataFrame(columns)
        .with_columns(pl.when(~missing).then(pl.col(name)).alias(name) for name in prices_and_sizes)
        .with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
        .cast(dict(TALL_SCHEMA))
    )


def bytes_of(snapshots):
    """Every bit of the snapshots, that of a NaN included."""
    scalars = snapshots.select(*SNAPSHOT_SCALARS).with_columns(pl.col("ts").to_physical())
    return [frame.to_numpy().tobytes() for frame in (*scalars, *(snapshots[name] for name in SNAPSHOT_ARRAYS))]


def test_a_day_of_many_blocks_equals_the_definition_bit_for_bit(monkeypatch):
    monkeypatch.setattr(room, "BLOCK_SNAPSHOTS", 64)
    tall = random_rows(1, 300)
    for parameters in (BY_DISTANCE, BY_LEVEL):
        for depth in (None, KeptDepth(4, 6)):
            compressed = compress_day(tall, INSTRUMENT, DAY, parameters, depth)

            expected, shares = compress_slowly(tall, parameters, depth)
            assert_frame_equal(compressed.snapshots, expected, check_exact=True)
            assert bytes_of(compressed.snapshots) == bytes_of(expected)
            assert (compressed.beyond_bins_share, compressed.unpopulated_share) == pytest.approx(shares)
            assert (compressed.unpopulated_share > 0) == (depth is not None)


def test_any_number_of_threads_gives_the_same_bytes_and_shares(monkeypatch):
    tall = random_rows(2, 2_500)
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(room, "thread_count", lambda threads=threads: threads)
        found.append(compress_day(tall, INSTRUMENT, DAY, BY_DISTANCE, KeptDepth(5, 5)))

    assert bytes_of(found[0].snapshots) == bytes_of(found[1].snapshots) == bytes_of(found[2].snapshots)
    assert found[0].facts() == found[1].facts() == found[2].facts()
    assert found[0].beyond_bins_share > 0


@pytest.mark.parametrize("parameters", [BY_DISTANCE, BY_LEVEL], ids=["by distance", "by level"])
def test_rows_after_an_instant_change_no_snapshot_at_or_before_it(parameters):
    tall, depth = random_rows(3, 1_500), KeptDepth(5, 6)
    whole = compress_day(tall, INSTRUMENT, DAY, parameters, depth).snapshots
    changed = 0
    for cut in np.random.default_rng(4).integers(1, 1_499, CUTS).tolist():
        known = tall.head(cut * LEVELS)
        for rows in (known, pl.concat([known, random_rows(5 + cut, 1_500 - cut, first_second=cut)])):
            found = compress_day(rows, INSTRUMENT, DAY, parameters, depth).snapshots
            assert bytes_of(found.head(cut)) == bytes_of(whole.head(cut)), cut
        changed += bytes_of(found) != bytes_of(whole)
    assert changed == CUTS


@given(
    tall=books(),
    near=st.integers(1, 4),
    bins=st.sampled_from(BINS),
    depth=st.none() | st.builds(KeptDepth, st.integers(4, 9), st.integers(4, 9)),
)
@settings(max_examples=80, deadline=None)
def test_quantity_and_notional_are_kept_but_for_the_share_that_is_reported(tall, near, bins, depth):
    parameters = CompressionParameters(near_market_levels=near, min_nonzero_threshold=1, bins=bins)

    compressed = compress_day(tall, INSTRUMENT, DAY, parameters, depth)

    total, dropped = 0.0, {"beyond": 0.0, "unpopulated": 0.0}
    for snapshot, (_, rows) in zip(
        compressed.snapshots.to_dicts(), tall.group_by("ts", maintain_order=True), strict=True
    ):
        for side, sign in (("bid", -1.0), ("ask", 1.0)):
            slots = np.array([snapshot[f"{side}_distance_bps"], snapshot[f"{side}_quantity"]])
            held = slots[:, slots[1] > 0]
            present = rows.filter(pl.col(f"{side}_quantity") > 0)
            distance = sign * (present[f"{side}_price"].to_numpy() - snapshot["mid"]) / snapshot["mid"] * 1e4
            size, level = present[f"{side}_quantity"].to_numpy(), present["level"].to_numpy()
            deep = level >= (np.inf if depth is None else getattr(depth, side))
            last = bins.edges[-1] if bins.edges else 0.0
            beyond = ~deep & (level >= near) & ((level if bins.by == "level" else distance) >= last)
            kept = ~deep & ~beyond
            assert held[1].sum() == pytest.approx(size[kept].sum())
            assert (held[0] * held[1]).sum() == pytest.approx((distance * size)[kept].sum(), rel=1e-5)
            total += size.sum()
            dropped["beyond"] += size[beyond].sum()
            dropped["unpopulated"] += size[deep].sum()
    assert compressed.beyond_bins_share == pytest.approx(dropped["beyond"] / total)
    assert compressed.unpopulated_share == pytest.approx(dropped["unpopulated"] / total)
    assert compressed.dropped_depth_share == pytest.approx(sum(dropped.values()) / total)


def test_the_day_before_decides_how_deep_each_side_is_kept():
    before = tall_rows([MIDNIGHT], [[(999.0, 1.0), (998.0, 1.0)]], [[(1001.0, 1.0), None, (1003.0, 1.0)]])
    today = tall_rows(
        [MIDNIGHT],
        [[(999.0, 1.0), (998.0, 2.0), (997.0, 4.0), (996.0, 8.0)]],
        [[(1001.0, 1.0), (1002.0, 2.0), (1003.0, 4.0), (1004.0, 8.0)]],
    )
    parameters = compression(1, 25.0, 50.0, threshold=1)
    depth = kept_depth(count_populated_levels(before, DAY), 1, 1)

    compressed = compress_day(today, INSTRUMENT, DAY, parameters, depth)

    row = compressed.snapshots.row(0, named=True)
    np.testing.assert_array_equal(row["bid_quantity"], [1.0, 2.0, NAN])  # at 20 bps; nothing kept reaches 25
    np.testing.assert_array_equal(row["ask_quantity"], [1.0, 2.0, 4.0])
    assert compressed.kept_depth == KeptDepth(2, 3)
    assert compressed.unpopulated_share == pytest.approx((4 + 8 + 8) / 30)
    assert compressed.beyond_bins_share == 0


def test_bins_of_levels_hold_the_levels_up_to_their_edges():
    bids = [(1_000.0 - k, float(2**k)) for k in range(1, 7)]
    asks = [(1_000.0 + k, 1.0) for k in range(1, 4)]

    compressed = compress_day(tall_rows([MIDNIGHT], [bids], [asks]), INSTRUMENT, DAY, BY_LEVEL, None)

    row = compressed.snapshots.row(0, named=True)
    np.testing.assert_array_equal(row["bid_quantity"], [2.0, 4.0, 8.0, 16.0 + 32.0])
    np.testing.assert_allclose(row["bid_distance_bps"], [10.0, 20.0, 30.0, (40 * 16 + 50 * 32) / 48], rtol=1e-6)
    np.testing.assert_array_equal(row["ask_quantity"], [1.0, 1.0, 1.0, NAN])
    assert compressed.beyond_bins_share == pytest.approx(64 / (126 + 3))


def test_bins_of_levels_that_begin_among_the_near_levels_are_refused():
    with pytest.raises(ValidationError, match=r"bins\.upper_edges begin with 2, but 2 levels are kept one by one"):
        CompressionParameters(
            near_market_levels=2, min_nonzero_threshold=0, bins=LevelBins(by="level", upper_edges=(2, 5))
        )
