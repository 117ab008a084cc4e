"""Which levels a day keeps is counted on the day before: quantities above 0, not rows."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.order_book.population import (
    POPULATION_SCHEMA,
    KeptDepth,
    count_populated_levels,
    kept_depth,
)
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets_tests.order_book.books import DAY, MIDNIGHT, steady_day, tall_rows
from trademl_assets_tests.order_book.test_compression import books


def counts(bids, asks):
    levels = np.arange(len(bids), dtype=np.int32)
    return pl.DataFrame({"level": levels, "bid_snapshots": bids, "ask_snapshots": asks}, schema=dict(POPULATION_SCHEMA))


@given(tall=books(), seed=st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_counts_equal_those_of_a_plain_group_by_in_any_order_of_rows(tall, seed):
    found = count_populated_levels(tall.sample(fraction=1, shuffle=True, seed=seed), DAY)

    plain = (
        tall.group_by("level")
        .agg(bid_snapshots=(pl.col("bid_quantity") > 0).sum(), ask_snapshots=(pl.col("ask_quantity") > 0).sum())
        .sort("level")
    )
    there = plain.filter((pl.col("bid_snapshots") > 0) | (pl.col("ask_snapshots") > 0))
    deepest = there["level"].max()
    expected = pl.DataFrame({"level": np.arange(deepest + 1, dtype=np.int32)}).join(plain, on="level", how="left")
    assert found.equals(
        expected.select(pl.col(name).cast(kind).fill_null(0) for name, kind in POPULATION_SCHEMA.items())
    )


def test_a_row_without_quantity_is_no_level_and_padding_makes_no_book_deeper():
    tall = tall_rows([MIDNIGHT], [[(99.0, 1.0), (98.0, 0.0), None]], [[(101.0, 1.0), (102.0, 2.0), (103.0, 0.0)]])

    assert count_populated_levels(tall, DAY).rows() == [(0, 1, 1), (1, 0, 1)]


def test_a_level_that_no_book_has_counts_nowhere():
    tall = steady_day(snapshots=3, levels=2)
    below = tall.with_columns(level=pl.when(pl.col("level") == 1).then(-1).otherwise("level").cast(pl.Int32))

    assert count_populated_levels(below, DAY).rows() == [(0, 3, 3)]


def test_rows_before_midnight_do_not_count():
    tall = steady_day(snapshots=5, levels=2, first=MIDNIGHT - timedelta(seconds=20))

    assert count_populated_levels(tall, DAY)["bid_snapshots"].to_list() == [3, 3]


def test_a_day_without_rows_has_no_levels_and_says_nothing_about_the_next():
    population = count_populated_levels(pl.DataFrame(schema=dict(TALL_SCHEMA)), DAY)

    assert dict(population.schema) == dict(POPULATION_SCHEMA)
    assert population.is_empty()
    assert kept_depth(population, 2, 1) is None
    assert kept_depth(None, 2, 1) is None


@pytest.mark.parametrize(
    ("bids", "asks", "near", "threshold", "kept"),
    [
        ([9, 9, 5, 4], [9, 5, 0, 0], 1, 5, KeptDepth(3, 2)),
        ([9, 9, 5, 4], [9, 5, 0, 0], 4, 5, KeptDepth(4, 4)),
        ([9, 0, 0, 5], [9, 1, 1, 1], 1, 5, KeptDepth(4, 1)),
        ([1, 1], [0, 0], 1, 5, KeptDepth(1, 1)),
    ],
    ids=["by threshold", "near levels stay", "holes above stay", "nothing reaches it"],
)
def test_a_side_is_kept_down_to_its_deepest_populated_level(bids, asks, near, threshold, kept):
    assert kept_depth(counts(bids, asks), near, threshold) == kept
