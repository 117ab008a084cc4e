"""Partitions that were refused downstream, kept aside with the reason so that somebody can look at them."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trademl_assets.storage import durable
from trademl_assets.storage.layout import Layout
from trademl_assets.storage.manifest import MANIFEST_FILE, Manifest

REASON_FILE = "reason.json"
_VERSION_DIGITS = 16


@dataclass(frozen=True)
class SetAside:
    """A version of a partition that is kept aside.

    Attributes:
        asset: The asset.
        partition: Its key.
        content_hash: Content hash of the version.
        cause: Why it was refused, in a word.
        message: Why, in full.
        facts: What was found, JSON values.
    """

    asset: str
    partition: str
    content_hash: str
    cause: str
    message: str
    facts: dict[str, Any]


def keep_aside(layout: Layout, manifest: Manifest, refusal: SetAside) -> Path:
    """Keep the files of a partition aside; they are linked, not copied, where the disk can do that.

    Keeping the same version aside again leaves it as it is, but for the reason.

    Args:
        layout: Where partitions lie.
        manifest: Manifest of the refused partition.
        refusal: Why it was refused.

    Returns:
        The folder.

    Raises:
        StorageError: The folder cannot be written.
    """
    source = layout.partition_folder(manifest.asset, manifest.partition)
    folder = layout.set_aside_folder(manifest.asset, manifest.partition, manifest.content_hash[:_VERSION_DIGITS])
    try:
        durable.make_folder(folder)
        for entry in manifest.kept_files().values():
            with suppress(FileExistsError):
                os.link(source / entry.file, folder / entry.file)
    except OSError as error:
        raise durable.write_error(folder, error) from error
    _put_text(folder, MANIFEST_FILE, manifest.to_json())
    _put_text(folder, REASON_FILE, json.dumps(asdict(refusal), sort_keys=True, indent=1))
    return folder


def kept_aside(layout: Layout, asset: str) -> Iterator[SetAside]:
    """Yield everything of an asset that is kept aside, in the order of its keys and versions."""
    for path in sorted(layout.set_aside_root(asset).rglob(REASON_FILE)):
        yield SetAside(**json.loads(path.read_text("utf-8")))


def _put_text(folder: Path, name: str, text: str) -> None:
    def write(file: durable.HashingFile) -> None:
        file.write(text.encode())

    durable.stream_durably(folder, write, lambda _digest: name)
