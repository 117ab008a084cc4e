from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book.compression import CompressionParameters, DistanceBins, LevelBins, compress_day
from trademl_assets.order_book.population import KeptDepth
from trademl_assets.sources.contract import TALL_SCHEMA, snapshot_schema
from trademl_assets_tests.order_book.books import (
    COMPRESSION,
    DAY,
    INSTRUMENT,
    MIDNIGHT,
    compression,
    steady_day,
    tall_rows,
)

NAN = float("nan")


@st.composite
def books(draw):
    """Valid books: strictly ordered prices, some levels missing or empty, the best ones there."""
    snapshots = draw(st.integers(1, 4))

    def side(sign):
        steps = draw(st.lists(st.integers(1, 12), min_size=1, max_size=9))
        prices = 1_000.0 + sign * (draw(st.integers(0, 3)) + np.cumsum(steps)) * 0.25
        absent = [False, *draw(st.lists(st.booleans(), min_size=len(steps) - 1, max_size=len(steps) - 1))]
        sizes = draw(st.lists(st.sampled_from([0.5, 1.0, 2.25, 0.0]), min_size=len(steps), max_size=len(steps)))
        sizes[0] = sizes[0] or 1.0
        return [None if gone else (float(p), q) for p, q, gone in zip(prices, sizes, absent, strict=True)]

    instants = [MIDNIGHT + timedelta(seconds=10 * number) for number in range(snapshots)]
    return tall_rows(instants, [side(-1) for _ in instants], [side(1) for _ in instants])


def compress_slowly(tall, parameters, depth=None):  # noqa: C901 -- a definition to read, in one place
    """The definition, level by level in plain Python."""
    near, edges = parameters.near_market_levels, parameters.bins.edges
    by_level = parameters.bins.by == "level"
    snapshots, total, beyond, unpopulated = [], 0.0, 0.0, 0.0
    for (ts,), rows in tall.group_by("ts", maintain_order=True):
        levels = rows.to_dicts()
        best = levels[0]
        mid = (best["bid_price"] + best["ask_price"]) / 2
        micro = (best["bid_price"] * best["ask_quantity"] + best["ask_price"] * best["bid_quantity"]) / (
            best["ask_quantity"] + best["bid_quantity"]
        )
        found = {
            "ts": ts,
            "batch_id": best["batch_id"],
            "mid": mid,
            "spread_bps": (best["ask_price"] - best["bid_price"]) / mid * 1e4,
            "microprice_bps": (micro - mid) / mid * 1e4,
            "locked": best["bid_price"] == best["ask_price"],
        }
        for side, sign in (("bid", -1.0), ("ask", 1.0)):
            distances, quantities = [NAN] * (near + len(edges)), [NAN] * (near + len(edges))
            present = [
                (row["level"], sign * (row[f"{side}_price"] - mid) / mid * 1e4, row[f"{side}_quantity"])
                for row in levels
                if (row[f"{side}_quantity"] or 0) > 0
            ]
            kept = 10**9 if depth is None else getattr(depth, side)
            reached = 0.0
            for level, distance, quantity in present:
                total += quantity
                if level >= kept:
                    unpopulated += quantity
                    continue
                reached = float(level) if by_level else distance
                if level < near:
                    distances[level], quantities[level] = distance, quantity
                elif not edges or reached >= edges[-1]:
                    beyond += quantity
            for b, upper in enumerate(edges):
                lower = edges[b - 1] if b else (near if by_level else 0.0)
                inside = [
                    (d, q)
                    for level, d, q in present
                    if near <= level < kept and lower <= (level if by_level else d) < upper
                ]
                if inside:
                    size, weighted = 0.0, 0.0
                    for d, q in inside:
                        size += q
                        weighted += q * d
                    distances[near + b], quantities[near + b] = weighted / size, size
                elif lower <= reached:
                    quantities[near + b] = 0.0
            found[f"{side}_distance_bps"], found[f"{side}_quantity"] = distances, quantities
        snapshots.append(found)
    return pl.DataFrame(snapshots, schema=snapshot_schema(parameters.slots)), (beyond / total, unpopulated / total)


BINS = [
    DistanceBins(by="distance", upper_edges_bps=()),
    DistanceBins(by="distance", upper_edges_bps=(5.0,)),
    DistanceBins(by="distance", upper_edges_bps=(2.5, 10.0, 25.0, 50.0)),
    LevelBins(by="level", upper_edges=(5, 6, 8)),
]


@given(
    tall=books(),
    near=st.integers(1, 4),
    bins=st.sampled_from(BINS),
    depth=st.none() | st.builds(KeptDepth, st.integers(4, 9), st.integers(4, 9)),
)
@settings(max_examples=200, deadline=None)
def test_compression_equals_its_definition_bit_for_bit(tall, near, bins, depth):
    parameters = CompressionParameters(near_market_levels=near, min_nonzero_threshold=1, bins=bins)

    compressed = compress_day(tall, INSTRUMENT, DAY, parameters, depth)

    expected, shares = compress_slowly(tall, parameters, depth)
    assert_frame_equal(compressed.snapshots, expected, check_exact=True)
    for name in ("bid_distance_bps", "bid_quantity", "ask_distance_bps", "ask_quantity"):
        assert compressed.snapshots[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()
    assert (compressed.beyond_bins_share, compressed.unpopulated_share) == shares


@given(tall=books())
@settings(max_examples=40, deadline=None)
def test_no_quantity_is_lost_but_what_is_reported_as_dropped(tall):
    compressed = compress_day(tall, INSTRUMENT, DAY, COMPRESSION, None)

    total = tall["bid_quantity"].sum() + tall["ask_quantity"].sum()
    kept = sum(np.nansum(compressed.snapshots[name].to_numpy()) for name in ("bid_quantity", "ask_quantity"))
    assert kept + compressed.dropped_depth_share * total == pytest.approx(total)


def test_missing_and_zero_are_kept_apart():
    # mid 1000, so 1 bps is 0.1; bids: the best, a missing level, one at 15 bps, where depth ends; asks: the best alone
    tall = tall_rows([MIDNIGHT], [[(999.9, 1.0), None, (998.5, 3.0)]], [[(1000.1, 2.0)]])

    row = compress_day(tall, INSTRUMENT, DAY, COMPRESSION, None).snapshots.row(0, named=True)

    np.testing.assert_allclose(row["bid_distance_bps"], [1.0, NAN, NAN, 15.0, NAN], rtol=1e-6)
    np.testing.assert_allclose(row["bid_quantity"], [1.0, NAN, 0.0, 3.0, NAN])
    np.testing.assert_allclose(row["ask_distance_bps"], [1.0, NAN, NAN, NAN, NAN], rtol=1e-6)
    np.testing.assert_allclose(row["ask_quantity"], [2.0, NAN, 0.0, NAN, NAN])
    assert row["microprice_bps"] == pytest.approx(-1 / 3)
    assert row["spread_bps"] == pytest.approx(2.0)


def test_a_level_on_an_edge_belongs_to_the_bin_above_and_on_the_last_edge_is_dropped():
    tall = tall_rows(
        [MIDNIGHT], [[(1024.0 - 1.024, 1.0), (1024.0 - 2.048, 1.0), (1020.0, 4.0)]], [[(1024.0 + 1.024, 1.0)]]
    )
    at_deep_bid = (1024.0 - 1020.0) / 1024.0 * 10_000.0

    between = compression(2, at_deep_bid, 80.0)
    last = compression(2, 30.0, at_deep_bid)

    np.testing.assert_array_equal(
        compress_day(tall, INSTRUMENT, DAY, between, None).snapshots["bid_quantity"][0].to_numpy()[2:], [0.0, 4.0]
    )
    compressed = compress_day(tall, INSTRUMENT, DAY, last, None)
    np.testing.assert_array_equal(compressed.snapshots["bid_quantity"][0].to_numpy()[2:], [0.0, 0.0])
    assert compressed.dropped_depth_share == pytest.approx(4 / 7)


def test_the_arrays_hold_no_nulls_and_map_to_numpy_without_a_copy():
    snapshots = compress_day(steady_day(levels=1), INSTRUMENT, DAY, COMPRESSION, None).snapshots

    assert dict(snapshots.schema) == snapshot_schema(COMPRESSION.slots)
    for name in ("bid_distance_bps", "bid_quantity", "ask_distance_bps", "ask_quantity"):
        assert snapshots[name].explode().null_count() == 0
        assert snapshots[name].to_numpy(allow_copy=False).shape == (20, 5)


def test_rows_in_any_order_give_the_same_snapshots():
    tall = steady_day()

    mixed = compress_day(tall.sample(fraction=1, shuffle=True, seed=3), INSTRUMENT, DAY, COMPRESSION, None)

    assert_frame_equal(mixed.snapshots, compress_day(tall, INSTRUMENT, DAY, COMPRESSION, None).snapshots)
    assert mixed.raw_rows == tall.height


def test_a_day_without_rows_has_no_snapshots():
    compressed = compress_day(pl.DataFrame(schema=dict(TALL_SCHEMA)), INSTRUMENT, DAY, COMPRESSION, None)

    assert compressed.snapshots.is_empty()
    assert dict(compressed.snapshots.schema) == snapshot_schema(5)
    assert compressed.dropped_depth_share == 0


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([None, (99.0, 1.0)], [(101.0, 1.0)]),
        ([(99.0, 0.0)], [(101.0, 1.0)]),
        ([(102.0, 1.0)], [(101.0, 1.0)]),
        ([(99.0, 1.0), (99.5, 1.0)], [(101.0, 1.0)]),
        ([(99.0, 1.0), (NAN, 1.0)], [(101.0, 1.0)]),
    ],
)
def test_rows_that_were_not_cleaned_are_refused(bids, asks):
    with pytest.raises(DataQualityError, match=r"BTCUSDT 2024-01-01.*2024-01-01T00:00:00.*clean the rows first"):
        compress_day(tall_rows([MIDNIGHT], [bids], [asks]), INSTRUMENT, DAY, COMPRESSION, None)


def test_edges_that_do_not_ascend_are_refused():
    with pytest.raises(ValidationError, match="must ascend"):
        compression(1, 10.0, 10.0)


def test_a_real_hour_keeps_its_prices_and_sizes(market_data):
    listed = pl.read_parquet(market_data / "lob-binance-ethbtc-1000lvl" / "ETHBTC_snapshots_10s.parquet")
    sides = ["bid_price", "bid_size", "ask_price", "ask_size"]
    tall = (
        listed.select(
            pl.col("ts").dt.replace_time_zone(None).dt.replace_time_zone("UTC").dt.cast_time_unit("us"), *sides
        )
        .with_row_index("batch_id")
        .with_columns(level=pl.int_ranges(pl.col("bid_price").list.len()))
        .explode("level", *sides)
        .rename({"bid_size": "bid_quantity", "ask_size": "ask_quantity"})
        .select(pl.col(name).cast(kind) for name, kind in TALL_SCHEMA.items())
    )
    parameters = compression(50, 50.0, 100.0, 200.0)

    snapshots = compress_day(tall, INSTRUMENT, DAY, parameters, None).snapshots

    near_bids = np.array([prices[:50] for prices in listed["bid_price"].to_list()])
    mid = snapshots["mid"].to_numpy()
    distances = snapshots["bid_distance_bps"].to_numpy()[:, :50].astype(np.float64)
    np.testing.assert_allclose(mid[:, None] * (1 - distances / 1e4), near_bids, rtol=1e-9)
    sizes = np.array([sizes[:50] for sizes in listed["bid_size"].to_list()], dtype=np.float32)
    np.testing.assert_array_equal(snapshots["bid_quantity"].to_numpy()[:, :50], sizes)
