"""The atomic commit of a partition: content-addressed files first, then the manifest, then strays are removed."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage import durable
from trademl_assets.storage.arrays import write_arrays
from trademl_assets.storage.manifest import MANIFEST_FILE, FileEntry, Manifest, Provenance, content_hash
from trademl_assets.storage.tables import write_table


class PartitionWriter:
    """Collects the files and facts of one partition under its lock; made by `ArtifactStore.write`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, FileEntry] = {}
        self.notes: dict[str, Any] = {}
        self.row_count = 0

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Add a table."""
        self._add(name, ".parquet", lambda path: write_table(frame, path), hashed=True)

    def arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add named arrays, mappable without a copy."""
        self._add(name, ".arrow", lambda path: write_arrays(arrays, path), hashed=True)

    def json(self, name: str, value: Any) -> None:
        """Add a JSON document with sorted keys."""
        text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False)
        self._add(name, ".json", lambda path: _write(path, text.encode()), hashed=True)

    def text(self, name: str, text: str, suffix: str = ".html", *, hashed: bool = True) -> None:
        """Add a text."""
        self._add(name, suffix, lambda path: _write(path, text.encode()), hashed=hashed)

    def bytes(self, name: str, data: bytes, suffix: str, *, hashed: bool = True) -> None:
        """Add bytes as they are."""
        self._add(name, suffix, lambda path: _write(path, data), hashed=hashed)

    def adopt(self, name: str, path: Path, *, hashed: bool = True) -> None:
        """Add a copy of an existing file."""
        if not path.is_file():
            raise StorageError(f"{path}: no such file to commit as {name!r} -> make it first")
        self._add(name, path.suffix, lambda target: _copy(path, target), hashed=hashed)

    def rows(self, count: int) -> None:
        """Set the number of rows."""
        self.row_count = int(count)

    def note(self, key: str, value: Any) -> None:
        """Set a small fact, a JSON value; it counts for the content hash."""
        self.notes[key] = json.loads(json.dumps(value, allow_nan=False))

    def _add(self, name: str, suffix: str, write: Callable[[Path], None], *, hashed: bool) -> None:
        if name in self.files:
            raise StorageError(f"{self.folder}: two files are called {name!r} -> name each once")
        file, digest, size = durable.write_durably(self.folder, write, lambda digest: f"{name}-{digest[:16]}{suffix}")
        self.files[name] = FileEntry(name, file, digest, size, hashed)


@contextlib.contextmanager
def commit_partition(
    folder: Path, asset: str, partition: str, schema_version: int, provenance: Provenance
) -> Iterator[PartitionWriter]:
    """Write one partition under its lock.

    Args:
        folder: Folder of the partition.
        asset: Name of the asset.
        partition: Partition key.
        schema_version: Version of the partition's form.
        provenance: Where it comes from.

    Yields:
        The writer. A clean exit commits; an exception leaves the version that was there.
    """
    with durable.locked(folder):
        remove_strays(folder)
        writer = PartitionWriter(folder)
        yield writer
        manifest = Manifest(
            asset=asset,
            partition=partition,
            schema_version=schema_version,
            rows=writer.row_count,
            content_hash=content_hash(schema_version, writer.row_count, writer.notes, writer.files),
            code_version=provenance.code_version,
            config_fingerprint=provenance.config_fingerprint,
            upstream=dict(provenance.upstream),
            files=writer.files,
            notes=writer.notes,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            run_id=provenance.run_id,
        )
        durable.failpoint("before_manifest")
        durable.write_durably(
            folder, lambda path: _write(path, manifest.to_json().encode()), lambda _digest: MANIFEST_FILE
        )
        durable.failpoint("after_manifest")
        remove_strays(folder)


def remove_strays(folder: Path) -> int:
    """Remove temporary files and files that the manifest does not name; the caller holds the folder's lock.

    Returns:
        How many files were removed.
    """
    manifest = folder / MANIFEST_FILE
    kept = {MANIFEST_FILE, durable.LOCK_FILE}
    if manifest.exists():
        try:
            kept |= {
                entry.file for entry in Manifest.from_json(manifest.read_text("utf-8", errors="replace")).files.values()
            }
        except ValueError:
            return 0
    strays = [path for path in folder.iterdir() if path.is_file() and path.name not in kept]
    for path in strays:
        path.unlink(missing_ok=True)
    return len(strays)


def delete_partition(folder: Path) -> None:
    """Remove a partition, its manifest first, so that no reader sees half of it."""
    if not folder.is_dir():
        return
    with durable.locked(folder):
        (folder / MANIFEST_FILE).unlink(missing_ok=True)
        remove_strays(folder)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        durable.failpoint("mid_write")
        file.write(data)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    os.utime(target)
