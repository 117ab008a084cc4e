"""Tables of upstream partitions as one lazy frame, for assets that take a table as an argument."""

import dagster as dg
import polars as pl

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.commit import ArtifactStore


class PartitionTables(dg.IOManager):
    """Reads tables from the store.

    Dagster hands out all mapped partition keys, unsorted, those included that were never materialised. They are sorted
    here, and the store names every one that is missing.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        """Return one lazy frame over all partitions that the run depends on, in the order of their keys.

        Raises:
            MissingPartitionError: Names every partition that does not exist.
        """
        return self._store.scan_tables(context.asset_key.path[-1], sorted(context.asset_partition_keys))

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuse: partitions are committed one by one by the body, with their provenance.

        Raises:
            StorageError: Always.
        """
        raise StorageError(
            f"{context.asset_key.to_user_string()}: a body returned {type(obj).__name__} "
            "-> commit it through the store, partition by partition"
        )
