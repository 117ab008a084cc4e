"""A tracked run an instrument below that of an alignment: what its books and their gaps were, day by day."""

from collections.abc import Mapping, Sequence
from typing import Any

from trademl_assets.orchestration.catalog import BOOK_SNAPSHOTS, RAW_DEPTH
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.partitions import join_key
from trademl_assets.orchestration.resources.run_parameters import run_parameters
from trademl_assets.orchestration.resources.tracking import TrackedRun
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Manifest


def log_instrument_runs(
    deployment: Deployment, store: ArtifactStore, run: TrackedRun, manifests: Sequence[Manifest]
) -> None:
    """Record `<instrument>_preprocessing_<days>` below the run of a batch of grid days, one an instrument.

    Its metrics are, a step a day, the shares, gaps and ages of the instrument on the grid, its snapshots, and by how
    much their bytes are fewer than those of the tall rows, where there were any.

    Args:
        deployment: The deployment.
        store: Where the books lie.
        run: Of the batch.
        manifests: Of the grid days that it made, in their order.
    """
    days = [manifest.partition for manifest in manifests]
    for instrument in deployment.configuration.market.instruments_by_name() if days else ():
        keys = [join_key(day, instrument) for day in days]
        books = [store.require(BOOK_SNAPSHOTS.name, key) for key in keys]
        found = {run.tracking.find(BOOK_SNAPSHOTS.name, each.run_id) for each in books if each.run_id}
        tags = deployment.names.instrument_tags(instrument, days)
        run.nested(
            deployment.names.instrument_run_name(instrument, days),
            tags=tags | {"source_data_object_run_id": ",".join(sorted(found - {""}))},
            parameters=run_parameters(deployment.configuration, BOOK_SNAPSHOTS, keys),
            numbers={},
            series=[
                _gaps(manifest.notes["statistics"]["instruments"][instrument]) | _books(store, book)
                for manifest, book in zip(manifests, books, strict=True)
            ],
            status="FINISHED",
        )


def _gaps(statistics: Mapping[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in statistics.items():
        inner = {f"{name}_{each}": number for each, number in value.items()} if isinstance(value, Mapping) else {}
        flat |= {
            each: float(number) for each, number in (inner or {name: value}).items() if isinstance(number, int | float)
        }
    return flat


def _books(store: ArtifactStore, book: Manifest) -> dict[str, float]:
    """Snapshots, and bytes of the tall rows over theirs."""
    numbers = {"snapshots": float(book.rows)}
    raw = store.manifest(RAW_DEPTH.name, book.partition)
    if raw is not None and book.bytes:
        numbers["compression_ratio"] = sum(entry.bytes for entry in raw.files.values()) / book.bytes
    return numbers
