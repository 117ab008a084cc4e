"""Streams held whole on a device, where windows are gathered without the host.

The one module of this package that knows torch: whoever imports it trains.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.free_memory import free_host_bytes

_CHUNK_BYTES = 1 << 26
"""Bytes that are staged on the host at a time while a stream moves to the device; changes nothing but the speed."""

_BLOCK_BYTES = 1 << 18
"""Windows above this size are copied one by one, each a block; smaller ones by one gather for all."""


def pinned_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array in page-locked memory, from which a CUDA device copies while the processor goes on.

    Without such a device it is an ordinary array.
    """
    kind = _torch_dtype(np.dtype(dtype))
    pinned: NDArray[Any] = torch.empty(shape, dtype=kind, pin_memory=torch.cuda.is_available()).numpy()
    return pinned


def free_bytes(device: torch.device) -> int:
    """Free memory of a CUDA device, or of the host for any other."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_host_bytes()


def needed_bytes(dataset: Dataset, streams: Sequence[str], *, scaling: bool) -> int:
    """Bytes that whole streams take on a device."""
    total = 0
    for name in streams:
        itemsize = np.dtype(np.float32).itemsize if scaling else dataset.dtype(name).itemsize
        total += dataset.stored.rows(name) * int(np.prod(dataset.step_shape(name))) * itemsize
    return total


class DeviceWindows:
    """Gathers windows of a dataset's samples on a device; values and shapes are those of `WindowReader`, bit for bit.

    Args:
        dataset: The opened dataset.
        streams: Names of the streams to hold.
        scaling: Whether they are scaled by the dataset's statistics (float32), or as stored.
        device: Where they are held.
        share_of_free_memory: Most of the device's free memory that they may take, within 0..1.

    Raises:
        ConfigError: The streams do not fit, or the dataset lacks one.
    """

    def __init__(
        self,
        dataset: Dataset,
        streams: Sequence[str],
        *,
        scaling: bool,
        device: torch.device,
        share_of_free_memory: float,
    ) -> None:
        needed, free = needed_bytes(dataset, streams, scaling=scaling), free_bytes(device)
        if needed > share_of_free_memory * free:
            raise ConfigError(
                f"streams {', '.join(streams)} of dataset {dataset.experiment!r} take {needed} bytes, {device} has "
                f"{free} free and {share_of_free_memory:.0%} of them are allowed -> raise the share, hold fewer "
                "streams or days, or read windows from the host (WindowReader)"
            )
        self.dataset = dataset
        self.device = device
        self._held: Mapping[str, Tensor] = {name: self._hold(name, scaling=scaling) for name in streams}
        self._steps = dataset.index["step"].to_numpy()

    def windows(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the windows of samples by stream, (n, look-back, *shape of a step) on the device.

        Raises:
            ConfigError: A window begins before the dataset.
        """
        return {name: self._gather(name, self._steps[rows]) for name in self._held}

    def _gather(self, name: str, steps: NDArray[np.int64]) -> Tensor:
        held, length = self._held[name], self.dataset.lookback_steps(name)
        first = self.dataset.window_ends(name, steps) - length
        if len(first) and (first.min() < 0 or first.max() + length > len(held)):
            raise ConfigError(
                f"dataset {self.dataset.experiment!r}: a sample at step {steps[first.argmin()]} has no whole window of "
                f"{length} rows of {name!r} -> raise minimum_history, shorten the look-back, or leave such samples out"
            )
        if length * held[:1].numel() * held.element_size() >= _BLOCK_BYTES:
            out = torch.empty((len(first), length, *held.shape[1:]), dtype=held.dtype, device=self.device)
            for number, at in enumerate(first.tolist()):
                out[number].copy_(held[at : at + length])
            return out
        windows = held.unfold(0, length, 1).movedim(-1, 1)  # a view: (rows - length + 1, length, *shape)
        return windows[torch.from_numpy(first).to(self.device)].contiguous()

    def _hold(self, name: str, *, scaling: bool) -> Tensor:
        dataset = self.dataset
        shape, rows = dataset.step_shape(name), dataset.stored.rows(name)
        dtype = np.dtype(np.float32) if scaling else dataset.dtype(name)
        held = torch.empty((rows, *shape), dtype=_torch_dtype(dtype), device=self.device)
        chunk = max(_CHUNK_BYTES // max(int(np.prod(shape)) * dtype.itemsize, 1), 1)
        stage = np.empty((min(chunk, rows), *shape), dtype=dataset.dtype(name))
        for first in range(0, rows, chunk):
            last = min(first + chunk, rows)
            values = stage[: last - first]
            dataset.stored.copy(name, first, last, values)
            ready = dataset.scaling(name).apply(values) if scaling else values
            held[first:last].copy_(torch.from_numpy(ready))
        return held


def _torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
