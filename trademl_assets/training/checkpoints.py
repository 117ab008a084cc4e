"""Checkpoints that are wholly there or not at all, read without pickle's powers."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.storage.durable import write_durably


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary name in the same folder, flushes to disk, then renames."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        """Save a checkpoint.

        Raises:
            StorageError: The bytes cannot be written.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(target.parent, lambda temporary: torch.save(checkpoint, temporary), lambda _digest: target.name)

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
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CorruptArtifactError(f"{path} is no readable checkpoint: {error} -> delete it and train again") from error
    return checkpoint
