"""The artifact store: every asset's partitions, written atomically and verified on read."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError, StorageError
from trademl_assets.storage import arrays, tables
from trademl_assets.storage.layout import Layout
from trademl_assets.storage.locking import LOCK_FILE, locked_if_free
from trademl_assets.storage.manifest import MANIFEST_FILE, Manifest, Provenance
from trademl_assets.storage.partition_writer import (
    PartitionWriter,
    commit_partition,
    delete_partition,
    evict_files,
    remove_strays,
)
from trademl_assets.storage.set_aside import SetAside, keep_aside, kept_aside
from trademl_assets.storage.verification import damage

_SHOWN = 8
T = TypeVar("T")

# What libraries raise on bytes they cannot read; a panic of polars derives from BaseException alone.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    pa.ArrowException,
)


class ArtifactStore:
    """Partitions of assets below one root.

    Args:
        layout: Where they lie.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @classmethod
    def at(cls, root: Path) -> "ArtifactStore":
        """Return the store below `root`."""
        return cls(Layout(root))

    @property
    def cache(self) -> "ArtifactStore":
        """The store, beside this one, of what can be made again at any time."""
        return ArtifactStore(self.layout.cache)

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
            StorageError: It cannot be read at all.
        """
        path = self.layout.partition_folder(asset, partition) / MANIFEST_FILE
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise _corrupt(asset, partition, MANIFEST_FILE, "is not text") from error
        except OSError as error:
            raise StorageError(f"{asset}/{partition}: {path} cannot be read: {error} -> check the folder") from error
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
        return self._read(asset, partition, name, tables.read_table)

    def scan_tables(self, asset: str, partitions: Sequence[str], name: str = "data") -> pl.LazyFrame:
        """Return one lazy frame over several partitions in the order of their sorted keys, each taken once.

        Hold no such frame while its partitions are written: what it has not read yet may be gone.

        Raises:
            MissingPartitionError: Names all that are missing.
            CorruptArtifactError: Some bytes are not those committed.
            StorageError: The tables do not have the same columns.
        """
        keys = sorted(set(partitions))
        missing = [key for key in keys if self.manifest(asset, key) is None]
        if missing or not keys:
            raise _missing(asset, missing)
        paths = [self.file_path(asset, key, name) for key in keys]
        expected = self._read(asset, keys[0], name, tables.table_schema)
        for key in keys[1:]:
            found = self._read(asset, key, name, tables.table_schema)
            if list(found.items()) != list(expected.items()):
                different = sorted(
                    {*found, *expected} - {column for column in found if found[column] == expected.get(column)}
                )
                raise StorageError(
                    f"{asset}/{key}: its table {name!r} has other columns than that of {keys[0]} "
                    f"({', '.join(different) or 'their order'}) -> materialise {asset} again for the older of them"
                )
        return tables.scan_tables(paths)

    def open_arrays(self, asset: str, partition: str, name: str = "arrays") -> dict[str, NDArray[Any]]:
        """Map arrays read-only, without a copy.

        Raises:
            MissingPartitionError: The partition was never materialised.
            CorruptArtifactError: Its bytes are not those committed.
        """
        return self._read(asset, partition, name, arrays.map_arrays)

    def read_json(self, asset: str, partition: str, name: str) -> Any:
        """Read a JSON document; errors as `read_table`."""
        return self._read(asset, partition, name, lambda path: json.loads(path.read_bytes()))

    def read_bytes(self, asset: str, partition: str, name: str) -> bytes:
        """Read a file whole; errors as `read_table`."""
        return self._read(asset, partition, name, Path.read_bytes)

    def file_path(self, asset: str, partition: str, name: str) -> Path:
        """Return the path of a file whose bytes were verified.

        Raises:
            MissingPartitionError: The partition was never materialised.
            CorruptArtifactError: The file is missing, or its bytes are not those committed.
        """
        return self._read(asset, partition, name, lambda path: path)

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

    def stated_contents(self, asset: str, partitions: Sequence[str]) -> Mapping[str, str]:
        """Return what `upstream` does at a third of its cost, for thousands of partitions at once.

        Only the content hash is read of each manifest; whether the rest of it is whole is seen when it is used.

        Raises:
            MissingPartitionError: Names all that are missing.
            CorruptArtifactError: A manifest has no content hash.
        """
        found: dict[str, str] = {}
        unclear = []
        for key in partitions:
            try:
                text = (self.layout.partition_folder(asset, key) / MANIFEST_FILE).read_bytes()
                found[f"{asset}/{key}"] = str(orjson.loads(text)["manifest"]["content_hash"])
            except (OSError, ValueError, LookupError, TypeError):
                unclear.append(key)
        return {**found, **self.upstream(asset, unclear)}

    def evict(self, asset: str, partition: str, names: Collection[str]) -> Manifest:
        """Remove files of a partition that can be made again; its manifest stays and says so.

        Returns:
            The manifest that stands afterwards.

        Raises:
            MissingPartitionError: It was never materialised.
            StorageError: The manifest cannot be written.
        """
        return evict_files(self.layout.partition_folder(asset, partition), self.require(asset, partition), names)

    def set_aside(self, asset: str, partition: str, *, cause: str, message: str, facts: Mapping[str, Any]) -> Path:
        """Keep the present version of a partition aside, with the reason why it was refused.

        Returns:
            The folder where it lies.

        Raises:
            MissingPartitionError: It was never materialised.
            StorageError: It cannot be written.
        """
        manifest = self.require(asset, partition)
        refusal = SetAside(asset, partition, manifest.content_hash, cause, message, dict(facts))
        return keep_aside(self.layout, manifest, refusal)

    def all_set_aside(self, asset: str) -> tuple[SetAside, ...]:
        """Return everything of an asset that is kept aside."""
        return tuple(kept_aside(self.layout, asset))

    def delete(self, asset: str, partition: str) -> None:
        """Remove a partition; nothing happens where there is none."""
        delete_partition(self.layout.partition_folder(asset, partition))

    def sweep(self) -> int:
        """Remove what killed writers left behind; return how many files. Partitions being written are left alone."""
        if not self.layout.artifacts.is_dir():
            return 0
        removed = 0
        for lock in sorted(self.layout.artifacts.rglob(LOCK_FILE)):
            with locked_if_free(lock.parent) as free:
                removed += remove_strays(lock.parent) if free else 0
        return removed

    def _read(self, asset: str, partition: str, name: str, parse: Callable[[Path], T]) -> T:
        """Verify a file, then parse it; begin again where a writer replaced the version meanwhile."""
        manifest = self.require(asset, partition)
        while True:
            try:
                return parse(self._verified(manifest, name))
            except (CorruptArtifactError, *_UNREADABLE) as error:
                current = self.require(asset, partition)
                if current == manifest:
                    if isinstance(error, CorruptArtifactError):
                        raise
                    file = manifest.files[name].file
                    raise _corrupt(asset, partition, file, f"cannot be read: {error}") from error
                manifest = current

    def _verified(self, manifest: Manifest, name: str) -> Path:
        entry = manifest.files.get(name)
        if name in manifest.evicted:
            raise MissingPartitionError(
                f"{manifest.asset}/{manifest.partition}: {name!r} was removed after use "
                f"-> materialise {manifest.asset} for it again"
            )
        if entry is None:
            raise _corrupt(manifest.asset, manifest.partition, name, f"is not among its files {sorted(manifest.files)}")
        path = self.layout.partition_folder(manifest.asset, manifest.partition) / entry.file
        problem = damage(path, entry)
        if problem is not None:
            raise _corrupt(manifest.asset, manifest.partition, entry.file, problem)
        return path


def _missing(asset: str, partitions: Sequence[str]) -> MissingPartitionError:
    shown = ", ".join(partitions[:_SHOWN]) + (
        f" and {len(partitions) - _SHOWN} more" if len(partitions) > _SHOWN else ""
    )
    return MissingPartitionError(
        f"{asset}: not materialised: {shown or 'nothing was asked for'} -> materialise {asset} for it first"
    )


def _corrupt(asset: str, partition: str, file: str, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(f"{asset}/{partition}: {file} {problem} -> materialise {asset} {partition} again")


__all__ = ["ArtifactStore", "Layout", "Manifest", "PartitionWriter", "Provenance", "SetAside"]
