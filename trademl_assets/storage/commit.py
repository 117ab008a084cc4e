"""The artifact store: every asset's partitions, written atomically and verified on read."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError
from trademl_assets.storage import arrays, durable, tables
from trademl_assets.storage.layout import Layout
from trademl_assets.storage.manifest import MANIFEST_FILE, FileEntry, Manifest, Provenance
from trademl_assets.storage.partition_writer import PartitionWriter, commit_partition, delete_partition, remove_strays

_SHOWN = 8


class ArtifactStore:
    """Partitions of assets below one root.

    Args:
        layout: Where they lie.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._verified: set[tuple[str, int, int, int]] = set()

    @classmethod
    def at(cls, root: Path) -> "ArtifactStore":
        """Return the store below `root`."""
        return cls(Layout(root))

    def write(
        self, asset: str, partition: str, *, schema_version: int, provenance: Provenance
    ) -> AbstractContextManager[PartitionWriter]:
        """Open a partition for writing; it is committed when the `with` block ends cleanly.

        Raises:
            StorageError: It cannot be written; the old version stays.
        """
        return commit_partition(
            self.layout.partition_folder(asset, partition), asset, partition, schema_version, provenance
        )

    def manifest(self, asset: str, partition: str) -> Manifest | None:
        """Return the manifest of a partition, or None where it was never materialised.

        Raises:
            CorruptArtifactError: The manifest is damaged.
        """
        path = self.layout.partition_folder(asset, partition) / MANIFEST_FILE
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise _corrupt(asset, partition, MANIFEST_FILE, "is not text") from error
        try:
            manifest = Manifest.from_json(text)
        except ValueError as error:
            raise _corrupt(asset, partition, MANIFEST_FILE, str(error)) from error
        if (manifest.asset, manifest.partition) != (asset, partition):
            raise _corrupt(asset, partition, MANIFEST_FILE, f"belongs to {manifest.asset}/{manifest.partition}")
        return manifest

    def require(self, asset: str, partition: str) -> Manifest:
        """Return the manifest of a partition.

        Raises:
            MissingPartitionError: It was never materialised.
        """
        manifest = self.manifest(asset, partition)
        if manifest is None:
            raise _missing(asset, [partition])
        return manifest

    def partitions(self, asset: str) -> tuple[str, ...]:
        """Return the keys of all materialised partitions, sorted."""
        folder = self.layout.asset_folder(asset)
        found = (path.parent.relative_to(folder).parts for path in folder.rglob(MANIFEST_FILE))
        return tuple(sorted("|".join(parts) for parts in found))

    def read_table(self, asset: str, partition: str, name: str = "data") -> pl.DataFrame:
        """Read a table.

        Raises:
            MissingPartitionError: The partition was never materialised.
            CorruptArtifactError: Its bytes are not those committed.
        """
        path = self.file_path(asset, partition, name)
        return tables.read_table(path)

    def scan_tables(self, asset: str, partitions: Sequence[str], name: str = "data") -> pl.LazyFrame:
        """Return one lazy frame over several partitions in the order of their sorted keys.

        Raises:
            MissingPartitionError: Names all that are missing.
            CorruptArtifactError: Some bytes are not those committed.
        """
        keys = sorted(partitions)
        missing = [key for key in keys if self.manifest(asset, key) is None]
        if missing or not keys:
            raise _missing(asset, missing)
        return tables.scan_tables([self.file_path(asset, key, name) for key in keys])

    def open_arrays(self, asset: str, partition: str, name: str = "arrays") -> dict[str, NDArray[Any]]:
        """Map arrays read-only, without a copy.

        Raises:
            MissingPartitionError: The partition was never materialised.
            CorruptArtifactError: Its bytes are not those committed.
        """
        return arrays.map_arrays(self.file_path(asset, partition, name))

    def read_json(self, asset: str, partition: str, name: str) -> Any:
        """Read a JSON document; errors as `read_table`."""
        return json.loads(self.read_bytes(asset, partition, name))

    def read_bytes(self, asset: str, partition: str, name: str) -> bytes:
        """Read a file whole; errors as `read_table`."""
        return self.file_path(asset, partition, name).read_bytes()

    def file_path(self, asset: str, partition: str, name: str) -> Path:
        """Return the path of a file whose bytes were verified.

        Raises:
            MissingPartitionError: The partition was never materialised.
            CorruptArtifactError: The file is missing, or its bytes are not those committed.
        """
        manifest = self.require(asset, partition)
        entry = manifest.files.get(name)
        if entry is None:
            raise _corrupt(asset, partition, name, f"is not among its files {sorted(manifest.files)}")
        path = self.layout.partition_folder(asset, partition) / entry.file
        self._verify(path, entry, manifest)
        return path

    def upstream(self, asset: str, partitions: Sequence[str]) -> Mapping[str, str]:
        """Return the content hashes of partitions as a provenance names them.

        Raises:
            MissingPartitionError: Names all that are missing.
        """
        found = {key: self.manifest(asset, key) for key in sorted(partitions)}
        missing = [key for key, manifest in found.items() if manifest is None]
        if missing:
            raise _missing(asset, missing)
        return {f"{asset}/{key}": manifest.content_hash for key, manifest in found.items() if manifest is not None}

    def delete(self, asset: str, partition: str) -> None:
        """Remove a partition; nothing happens where there is none."""
        delete_partition(self.layout.partition_folder(asset, partition))

    def sweep(self) -> int:
        """Remove what killed writers left behind; return how many files."""
        if not self.layout.artifacts.is_dir():
            return 0
        removed = 0
        for lock in sorted(self.layout.artifacts.rglob(durable.LOCK_FILE)):
            with durable.locked(lock.parent):
                removed += remove_strays(lock.parent)
        return removed

    def _verify(self, path: Path, entry: FileEntry, manifest: Manifest) -> None:
        try:
            state = path.stat()
        except FileNotFoundError as error:
            raise _corrupt(manifest.asset, manifest.partition, entry.file, "is gone") from error
        identity = (entry.sha256, state.st_ino, state.st_size, state.st_mtime_ns)
        if identity in self._verified:
            return
        digest, size = durable.hash_file(path)
        if (digest, size) != (entry.sha256, entry.bytes):
            raise _corrupt(
                manifest.asset,
                manifest.partition,
                entry.file,
                f"has {size} bytes and another hash than the {entry.bytes} committed",
            )
        self._verified.add(identity)


def _missing(asset: str, partitions: Sequence[str]) -> MissingPartitionError:
    shown = ", ".join(partitions[:_SHOWN]) + (
        f" and {len(partitions) - _SHOWN} more" if len(partitions) > _SHOWN else ""
    )
    return MissingPartitionError(
        f"{asset}: not materialised: {shown or 'nothing was asked for'} -> materialise {asset} for it first"
    )


def _corrupt(asset: str, partition: str, file: str, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(f"{asset}/{partition}: {file} {problem} -> materialise {asset} {partition} again")


__all__ = ["ArtifactStore", "Layout", "Manifest", "PartitionWriter", "Provenance"]
