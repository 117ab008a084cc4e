"""How partitions of one space depend on those of another: Dagster's mappings, named for what they mean here."""

import dagster as dg

from trademl_assets.orchestration.partitions import DAY, EXPERIMENT, INSTRUMENT


def all_instruments_of_the_day() -> dg.PartitionMapping:
    """A day depends on every instrument's partition of that day."""
    return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=DAY)


def same_and_previous_day() -> dg.PartitionMapping:
    """A day of an instrument depends on the same day and on the day before, where that exists."""
    return dg.MultiPartitionMapping(
        {
            DAY: dg.DimensionPartitionMapping(DAY, trailing_days(2)),
            INSTRUMENT: dg.DimensionPartitionMapping(INSTRUMENT, dg.IdentityPartitionMapping()),
        }
    )


def same_day_where_it_exists() -> dg.PartitionMapping:
    """A day depends on the same day of a space that may begin later."""
    return dg.TimeWindowPartitionMapping(start_offset=0, end_offset=0, allow_nonexistent_upstream_partitions=True)


def trailing_days(count: int) -> dg.PartitionMapping:
    """A day depends on itself and the days before it, `count` altogether, cut off at the beginning of the history."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-(count - 1), end_offset=0, allow_nonexistent_upstream_partitions=True
    )


def any_partition() -> dg.PartitionMapping:
    """An experiment may depend on any day or series; what it read stands, pinned by content hash, in its manifest."""
    return dg.AllPartitionMapping()


def experiment_of_the_model() -> dg.PartitionMapping:
    """A model depends on the dataset of its experiment, the leaderboard of an experiment on all its models."""
    return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=EXPERIMENT)
