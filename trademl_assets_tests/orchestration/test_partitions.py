"""Partition spaces and the ranges that cover a set of keys."""

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.configuration.model import Configuration
from trademl_assets.orchestration.partitions import build_spaces, ranges

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-09")
BOOKS = dg.MultiPartitionsDefinition({"day": DAYS, "instrument": dg.StaticPartitionsDefinition(["C", "A", "B"])})


def covered(found: list[tuple[str, str]], space: dg.PartitionsDefinition[str]) -> list[str]:
    keys = [space.get_partition_keys_in_range(dg.PartitionKeyRange(first, last)) for first, last in found]
    return [str(key) for chunk in keys for key in chunk]


@given(st.sets(st.sampled_from(DAYS.get_partition_keys())))
def test_ranges_of_days_cover_each_key_once_and_nothing_else(keys: set[str]):
    assert sorted(covered(ranges(list(keys), DAYS), DAYS)) == sorted(keys)


@given(st.sets(st.sampled_from([str(key) for key in BOOKS.get_partition_keys()])))
def test_ranges_of_books_cover_each_key_once_and_nothing_else(keys: set[str]):
    assert sorted(covered(ranges(list(keys), BOOKS), BOOKS)) == sorted(keys)


def test_whole_space_is_one_range():
    keys = [str(key) for key in BOOKS.get_partition_keys()]
    assert ranges(keys, BOOKS) == [("2024-01-01|C", "2024-01-08|B")]


def test_spaces_follow_the_configuration(configuration: Configuration):
    spaces = build_spaces(configuration)
    assert spaces.days.get_first_partition_key() == "2024-01-01"
    assert spaces.days.get_last_partition_key() == "2024-01-06"
    assert spaces.history.get_first_partition_key() == "2023-12-26"
    assert str(spaces.books.get_partition_keys()[0]) == "2024-01-01|LEADUSDT"
    assert len(spaces.books.get_partition_keys()) == 6 * 3
