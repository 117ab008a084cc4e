"""The only place that knows where a partition lies."""

import re
from pathlib import Path

from trademl_assets.foundation.errors import StorageError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]{0,120}")


class Layout:
    """Folders below one root.

    Args:
        root: Folder of the store; `artifacts/`, `scratch/` and `cache/` lie below it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    @property
    def artifacts(self) -> Path:
        """Folder of all committed artifacts."""
        return self.root / "artifacts"

    @property
    def cache(self) -> "Layout":
        """Layout of what can be made again at any time; the whole of it may be removed by hand while nothing runs."""
        return Layout(self.root / "cache")

    def asset_folder(self, asset: str) -> Path:
        """Folder of all partitions of an asset."""
        return self.artifacts / _checked(asset)

    def partition_folder(self, asset: str, partition: str) -> Path:
        """Folder of one partition; a key `a|b` lies in `a/b`.

        Raises:
            StorageError: A part of the key is no plain name.
        """
        return self.asset_folder(asset).joinpath(*(_checked(part) for part in partition.split("|")))

    def partition_of(self, path: Path) -> tuple[str, str] | None:
        """Return asset and key of the partition whose folder holds a file; None for a file outside of the store."""
        folder = Path(path).absolute().parent
        if not folder.is_relative_to(self.artifacts):
            return None
        asset, *key = folder.relative_to(self.artifacts).parts or ("",)
        return (asset, "|".join(key)) if asset and key else None

    def set_aside_folder(self, asset: str, partition: str, version: str) -> Path:
        """Folder where one version of a refused partition is kept aside."""
        return self.set_aside_root(asset).joinpath(
            *(_checked(part) for part in partition.split("|")), _checked(version)
        )

    def set_aside_root(self, asset: str) -> Path:
        """Folder of everything of an asset that is kept aside."""
        return self.root / "set_aside" / _checked(asset)

    def scratch_folder(self, asset: str, partition: str) -> Path:
        """Folder for work in progress (checkpoints, a study's database), made on demand.

        It may outlive a killed run.
        """
        folder = self.root.joinpath("scratch", _checked(asset), *(_checked(part) for part in partition.split("|")))
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _checked(part: str) -> str:
    if not _PART.fullmatch(part):
        raise StorageError(f"{part!r} cannot name a folder -> use letters, digits, dot, dash and underscore")
    return part
