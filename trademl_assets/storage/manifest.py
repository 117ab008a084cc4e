"""What a committed partition says of itself: its files with their hashes, its counts, where it came from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from trademl_assets.foundation.input_files import InputFiles

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class FileEntry:
    """One file of a partition.

    Attributes:
        name: Name under which it is read, for example `data`.
        file: File name inside the partition's folder.
        sha256: Hash of its bytes, hex.
        bytes: Size.
        hashed: Whether it counts for the content hash.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    hashed: bool


@dataclass(frozen=True)
class Provenance:
    """Where a partition comes from.

    Attributes:
        code_version: Version of the code that made it.
        config_fingerprint: Fingerprint of the parameters it was made with.
        upstream: Content hashes of what it was made from, by `asset/partition`.
        run_id: Run that made it; never part of the content hash.
    """

    code_version: str
    config_fingerprint: str
    upstream: Mapping[str, str]
    run_id: str = ""


@dataclass(frozen=True)
class Manifest:
    """A committed partition.

    `content_hash` covers schema version, rows, notes and hashed files: what the partition says, not when, by whom or
    from what. Files named in `evicted` were removed after use; their entries stay, so that the manifest still says
    what they held. `seconds` is how long it took to make; forecasts are drawn from it. `inputs` are the files outside
    the platform that were read, as they were.
    """

    asset: str
    partition: str
    schema_version: int
    rows: int
    content_hash: str
    code_version: str
    config_fingerprint: str
    upstream: dict[str, str]
    files: dict[str, FileEntry]
    notes: dict[str, Any] = field(default_factory=dict)
    created_at: str = ""
    run_id: str = ""
    seconds: float = 0.0
    evicted: list[str] = field(default_factory=list)
    inputs: InputFiles = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Size of the files that are still there."""
        return sum(entry.bytes for entry in self.kept_files().values())

    def kept_files(self) -> dict[str, FileEntry]:
        """Return the files that are still there, by name."""
        return {name: entry for name, entry in self.files.items() if name not in self.evicted}

    def to_json(self) -> str:
        """Return the manifest as stored: JSON with a checksum of itself."""
        body = {item.name: getattr(self, item.name) for item in fields(self)}
        body["files"] = {name: vars(entry) for name, entry in self.files.items()}
        return json.dumps({"checksum": _checksum(body), "manifest": body}, indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "Manifest":
        """Read a stored manifest.

        Raises:
            ValueError: The text is no manifest, or its checksum does not fit.
        """
        try:
            document = json.loads(text)
            body = document["manifest"]
            if document["checksum"] != _checksum(body):
                raise ValueError("checksum does not fit")
            files = {name: FileEntry(**entry) for name, entry in body["files"].items()}
            outside = [entry.file for entry in files.values() if PurePath(entry.file).name != entry.file]
            if outside:
                raise ValueError(f"names files outside of its folder: {outside}")
            return Manifest(**{**body, "files": files})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error}") from error


def content_hash(schema_version: int, rows: int, notes: Mapping[str, Any], files: Mapping[str, FileEntry]) -> str:
    """Return the sha256 (hex) of what a partition says.

    Args:
        schema_version: Version of the partition's form.
        rows: Number of rows.
        notes: Small facts, JSON values.
        files: Files by name; those not hashed are left out.
    """
    hashed = {name: entry.sha256 for name, entry in files.items() if entry.hashed}
    return _checksum({"schema_version": schema_version, "rows": rows, "notes": notes, "files": hashed})


def _checksum(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
