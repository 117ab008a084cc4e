"""How much memory a step of optimisation takes, measured: forward, backward and the optimiser on a copy."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Counts the bytes of the tensors that are made within it, and the most that were alive at once.

    Each storage counts once, however many tensors look at it, from the operation that made it until it is freed. What a
    kernel takes and gives back within one operation is not seen.

    Attributes:
        peak_bytes: Most bytes that were alive after an operation.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self._alive: dict[int, int] = {}
        self._bytes = 0
        self.peak_bytes = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it made."""
        del types
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # noqa: SLF001 -- what tells storages apart where there is no memory to point to
        if key not in self._alive:
            self._alive[key] = storage.nbytes()
            self._bytes += storage.nbytes()
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._bytes -= self._alive.pop(key)


def peak_bytes(step: Callable[[], None], device: torch.device) -> int:
    """Run a step and return the most bytes that its tensors took at once, beside what was there before.

    A CUDA device is asked what it handed out; on a host the tensors are counted.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    with LiveTensors() as counted:
        step()
    return int(counted.peak_bytes)


def give_back(device: torch.device) -> None:
    """Hand memory that a CUDA device's allocator keeps back, so that others see it as free."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
