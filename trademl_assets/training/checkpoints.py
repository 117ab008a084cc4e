"""Checkpoints that are wholly there or not at all, each with its hash, read without pickle's powers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.storage.durable import hash_file, make_folder, stream_durably
from trademl_assets.training.results import read_json, write_json

KEPT = 2
"""Checkpoints that stay: where the last one is damaged, the one before it serves."""
_SUFFIX = ".ckpt"
_KEY = "key.json"
_RECOVERIES = "recoveries.json"
_PARTS = "parts.json"


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints by the commit protocol, with their hash beside them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002 -- Lightning's signature
        """Save a checkpoint, then its hash, without which it does not count.

        Raises:
            StorageError: The bytes cannot be written.
        """
        target = Path(path)
        make_folder(target.parent)
        _, digest, _ = stream_durably(target.parent, lambda file: _put(checkpoint, file), lambda _: target.name)
        write_json(target.parent, _hash_file(target).name, {"sha256": digest})

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 -- Lightning's signature
        """Read a checkpoint; only tensors and plain values are accepted.

        Raises:
            CorruptArtifactError: The file is damaged.
        """
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CorruptArtifactError: The file is damaged or holds more than tensors and plain values.
    """
    try:
        as_written = hash_file(path)[0] == read_json(_hash_file(path))["sha256"]
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True) if as_written else {}
    except Exception as error:
        raise CorruptArtifactError(f"{path} is no readable checkpoint: {error} -> delete it and train again") from error
    if not as_written:
        raise CorruptArtifactError(f"{path} is not what was written -> delete it and train again")
    return checkpoint


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of one member.

    Attributes:
        folder: Where they lie.
        key: Names everything that the training follows from; checkpoints of another key are not taken up.
    """

    folder: Path
    key: str

    def path(self, step: int) -> Path:
        """Return where the checkpoint after a step of optimisation lies."""
        return self.folder / f"step_{step:09d}{_SUFFIX}"

    def prepare(self) -> None:
        """Make the folder ready: what another training left, and what a kill left half written, is removed."""
        make_folder(self.folder)
        stated = self.folder / _KEY
        if not (stated.is_file() and _stated(stated, "key") == self.key):
            self.clear()
            write_json(self.folder, stated.name, {"key": self.key})
        for path in self.folder.iterdir():
            orphaned = path.suffix == _SUFFIX and not _hash_file(path).is_file()
            if orphaned or path.name.startswith("."):
                path.unlink(missing_ok=True)
        self._leave_out()

    def clear(self) -> None:
        """Remove all checkpoints, the key first."""
        (self.folder / _KEY).unlink(missing_ok=True)
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove all but the last ones, each after its hash, so that no checkpoint stands without one."""
        for path in self._all()[:-KEPT]:
            _hash_file(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def latest(self, say: Callable[[str], None]) -> Path | None:
        """Return the last checkpoint that is whole, or None.

        Args:
            say: Is told of each that is damaged.
        """
        for path in reversed(self._all()):
            try:
                read_checkpoint(path)
            except CorruptArtifactError as error:
                say(f"checkpoint {path.stem} is damaged, falling back to what was before it: {error}")
            else:
                return path
        return None

    @property
    def recoveries(self) -> int:
        """How often the loss was not a number; it outlives a kill."""
        return int(self._recovery().get("recoveries", 0))

    @property
    def parts(self) -> int | None:
        """Parts that a step is computed in, if that was settled; it outlives a kill, so that the bits stay the same."""
        stated = self.folder / _PARTS
        return int(read_json(stated)["parts"]) if stated.is_file() else None

    def keep_parts(self, parts: int) -> None:
        """Note in how many parts a step is computed."""
        write_json(self.folder, _PARTS, {"parts": parts})

    def step_back(self, recoveries: int) -> None:
        """Note a recovery; leave out the checkpoint that it went on from last time, if it got no further than that.

        What the next attempt begins with is noted as well: after a kill it is still what that attempt was begun with,
        however much further its checkpoints are.

        Args:
            recoveries: How often the loss was not a number.
        """
        kept, left_out = self._all(), None
        if kept and kept[-1].stem == self._recovery().get("begun"):
            left_out = _stated(_hash_file(kept.pop()), "sha256")
        begun = kept[-1].stem if kept else None
        write_json(self.folder, _RECOVERIES, {"recoveries": recoveries, "begun": begun, "left_out": left_out})
        self._leave_out()

    def _leave_out(self) -> None:
        """Remove the checkpoint that a recovery left out; a kill may have come before."""
        left_out = self._recovery().get("left_out")
        for path in self._all() if left_out else ():
            if _stated(_hash_file(path), "sha256") == left_out:
                _hash_file(path).unlink()
                path.unlink()

    def _recovery(self) -> dict[str, Any]:
        stated = self.folder / _RECOVERIES
        return dict(read_json(stated)) if stated.is_file() else {}

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob(f"step_*{_SUFFIX}") if _hash_file(path).is_file())


def _hash_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _stated(path: Path, name: str) -> str:
    """Return what a file of this folder states, nothing where it is damaged."""
    try:
        return str(read_json(path)[name])
    except (json.JSONDecodeError, KeyError, OSError):
        return ""


def _put(checkpoint: dict[str, Any], file: Any) -> None:
    torch.save(checkpoint, file)
