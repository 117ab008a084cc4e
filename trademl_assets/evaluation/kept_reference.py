"""A reference's forecasts, kept for as long as nothing changes that they follow from: all models of a dataset share it.

They lie in the cache, and can be made again at any time.
"""

import hashlib
from collections.abc import Callable

import polars as pl

from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.leakage_certificate import code_fingerprint
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError
from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance

KEPT_REFERENCE = "boosted_reference"
SCHEMA_VERSION = 1
ROOMS = ("datasets", "evaluation", "foundation", "scoring")
"""Packages whose code decides what is forecast."""
LIBRARIES = ("numpy", "polars", "scikit-learn", "scipy")
_ROW = ("sample", "step", "instrument", "label", "t0", "t1")
_DIGITS = 16


def kept_forecasts(
    dataset: Dataset, known: pl.DataFrame, asked: pl.DataFrame, stated: str, make: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """Return the forecasts of a reference as they were kept, or make and keep them.

    They stand while the same are: the dataset's content, the rows that were learnt from and asked for, the parameters,
    the code that decides and the libraries' versions. A table that is damaged is made again.

    Args:
        dataset: The opened dataset; nothing is kept of one that was not opened from a store.
        known: Rows of its index that are learnt from.
        asked: Rows of its index that are forecast.
        stated: Fingerprint of the parameters.
        make: Learns and forecasts.

    Raises:
        StorageError: The table cannot be written.
    """
    if dataset.content_hash is None:
        return make()
    cache = dataset.store.cache
    partition = f"{dataset.experiment}|{_digest(asked)[:_DIGITS]}"
    provenance = Provenance(
        code_version=code_fingerprint((), ROOMS, LIBRARIES),
        config_fingerprint=combine_fingerprints(stated, _digest(known), _digest(asked)),
        upstream={f"{DATASET_ASSET}/{dataset.experiment}": dataset.content_hash},
    )
    kept = _kept(cache, partition, provenance)
    if kept is not None:
        return kept
    made = make()
    with cache.write(KEPT_REFERENCE, partition, schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
        writer.table("data", made)
        writer.rows(made.height)
    _forget_earlier_datasets(cache, dataset.experiment, provenance)
    return made


def _kept(cache: ArtifactStore, partition: str, now: Provenance) -> pl.DataFrame | None:
    try:
        manifest = cache.manifest(KEPT_REFERENCE, partition)
        if manifest is None:
            return None
        then = (manifest.schema_version, manifest.code_version, manifest.config_fingerprint, manifest.upstream)
        if then != (SCHEMA_VERSION, now.code_version, now.config_fingerprint, dict(now.upstream)):
            return None
        return cache.read_table(KEPT_REFERENCE, partition)
    except (CorruptArtifactError, MissingPartitionError):  # made again
        return None


def _forget_earlier_datasets(cache: ArtifactStore, experiment: str, now: Provenance) -> None:
    """Remove what was kept of other versions of a dataset: nobody asks for it any more."""
    for partition in cache.partitions(KEPT_REFERENCE):
        if partition.split("|")[0] != experiment:
            continue
        try:
            manifest = cache.manifest(KEPT_REFERENCE, partition)
        except CorruptArtifactError:
            manifest = None
        if manifest is None or manifest.upstream != dict(now.upstream):
            cache.delete(KEPT_REFERENCE, partition)


def _digest(rows: pl.DataFrame) -> str:
    return hashlib.sha256(rows.select(_ROW).cast({"instrument": pl.String}).write_csv().encode()).hexdigest()
