"""The atomic commit of a partition: content-addressed files first, then the manifest, then strays are removed."""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import StorageError
from trademl_assets.foundation.input_files import InputFiles
from trademl_assets.storage import durable
from trademl_assets.storage.arrays import write_arrays
from trademl_assets.storage.locking import LOCK_FILE, locked
from trademl_assets.storage.manifest import MANIFEST_FILE, FileEntry, Manifest, Provenance, content_hash
from trademl_assets.storage.tables import write_table

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}")
_CLOCK_SECONDS = 0.001
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,16})?")


class PartitionWriter:
    """Collects the files and facts of one partition under its lock; made by `ArtifactStore.write`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, FileEntry] = {}
        self.notes: dict[str, Any] = {}
        self.row_count = 0
        self.inputs: InputFiles = {}

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Add a table."""
        self._add(name, ".parquet", lambda file: write_table(frame, file), hashed=True)

    def arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add named arrays, mappable without a copy."""
        self._add(name, ".arrow", lambda file: write_arrays(arrays, file), hashed=True)

    def json(self, name: str, value: Any) -> None:
        """Add a JSON document with sorted keys."""
        self.text(name, self._as_json(name, value, indent=1), ".json")

    def text(self, name: str, text: str, suffix: str = ".html", *, hashed: bool = True) -> None:
        """Add a text."""
        self.bytes(name, text.encode(), suffix, hashed=hashed)

    def bytes(self, name: str, data: bytes, suffix: str, *, hashed: bool = True) -> None:
        """Add bytes as they are."""
        self._add(name, suffix, lambda file: _put(file, data), hashed=hashed)

    def adopt(self, name: str, path: Path, *, hashed: bool = True) -> None:
        """Add a copy of an existing file."""
        if not path.is_file():
            raise StorageError(f"{path}: no such file to commit as {name!r} -> make it first")
        self._add(name, path.suffix, lambda file: _copy(path, file), hashed=hashed)

    def rows(self, count: int) -> None:
        """Set the number of rows."""
        self.row_count = int(count)

    def read_from(self, inputs: InputFiles) -> None:
        """Set the files outside the platform that were read; they do not count for the content hash."""
        self.inputs = dict(sorted(inputs.items()))

    def note(self, key: str, value: Any) -> None:
        """Set a small fact, a JSON value; it counts for the content hash."""
        self.notes[key] = json.loads(self._as_json(key, value))

    def _as_json(self, name: str, value: Any, indent: int | None = None) -> str:
        try:
            return json.dumps(value, sort_keys=True, indent=indent, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StorageError(
                f"{self.folder}: {name!r} is not JSON: {error} -> give finite numbers, texts, lists and mappings"
            ) from error

    def _add(self, name: str, suffix: str, write: Callable[[durable.HashingFile], None], *, hashed: bool) -> None:
        if not _NAME.fullmatch(name) or not _SUFFIX.fullmatch(suffix):
            raise StorageError(f"{self.folder}: {name + suffix!r} cannot name a file -> use letters, digits, - and _")
        if name in self.files:
            raise StorageError(f"{self.folder}: two files are called {name!r} -> name each once")
        file, digest, size = durable.stream_durably(self.folder, write, lambda digest: f"{name}-{digest[:16]}{suffix}")
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
    with locked(folder):
        remove_strays(folder)
        begun = time.monotonic()
        writer = PartitionWriter(folder)
        try:
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
                inputs=writer.inputs,
                seconds=max(_CLOCK_SECONDS, round(time.monotonic() - begun, 3)),
            )
            durable.failpoint("before_manifest")
            _put_manifest(folder, manifest)
            durable.failpoint("after_manifest")
        finally:
            with contextlib.suppress(StorageError):  # what stays is swept later; the outcome stands either way
                remove_strays(folder)


def remove_strays(folder: Path) -> int:
    """Remove temporary files and files that the manifest does not name; the caller holds the folder's lock.

    Returns:
        How many files were removed.

    Raises:
        StorageError: One cannot be removed.
    """
    manifest = folder / MANIFEST_FILE
    kept = {MANIFEST_FILE, LOCK_FILE}
    removed = 0
    try:
        if manifest.exists():
            kept |= {entry.file for entry in Manifest.from_json(manifest.read_text("utf-8")).kept_files().values()}
        for path in folder.iterdir():
            if path.is_file() and path.name not in kept:
                path.unlink(missing_ok=True)
                removed += 1
    except ValueError:  # a damaged manifest does not say what belongs to it
        return 0
    except OSError as error:
        raise durable.write_error(folder, error) from error
    return removed


def evict_files(folder: Path, manifest: Manifest, names: Collection[str]) -> Manifest:
    """Remove files of a partition and say so in its manifest, which goes first: a kill leaves strays, no lies.

    Args:
        folder: Folder of the partition.
        manifest: Its manifest.
        names: Names of the files.

    Returns:
        The manifest that stands afterwards; one that another writer committed meanwhile is left alone.

    Raises:
        StorageError: The manifest cannot be written.
    """
    with locked(folder):
        current = Manifest.from_json((folder / MANIFEST_FILE).read_text("utf-8"))
        if current != manifest:
            return current
        evicted = replace(manifest, evicted=sorted({*manifest.evicted, *names}))
        _put_manifest(folder, evicted)
        durable.failpoint("after_manifest")
        remove_strays(folder)
    return evicted


def delete_partition(folder: Path) -> None:
    """Remove a partition, its manifest first, so that no reader sees half of it.

    Raises:
        StorageError: It cannot be removed.
    """
    if not folder.is_dir():
        return
    with locked(folder):
        try:
            (folder / MANIFEST_FILE).unlink(missing_ok=True)
            durable.flush(folder)
        except OSError as error:
            raise durable.write_error(folder, error) from error
        remove_strays(folder)


def _put_manifest(folder: Path, manifest: Manifest) -> None:
    text = manifest.to_json().encode()
    durable.stream_durably(folder, lambda file: _put(file, text), lambda _digest: MANIFEST_FILE)


def _put(file: durable.HashingFile, data: bytes) -> None:
    file.write(data)


def _copy(source: Path, file: durable.HashingFile) -> None:
    with source.open("rb") as original:
        shutil.copyfileobj(original, file)
