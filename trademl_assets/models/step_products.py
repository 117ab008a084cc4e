"""Products of weights with step features that lie at half precision: cast piece by piece, within the processor's cache.

Features kept as float16 fill half the memory of a batch where they are laid as they are kept. Values, products and sums
are float32; a cast copy of the whole batch never exists.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_PIECE_BYTES = 1 << 21
"""Of a cast piece: it is read again from the cache by the product that it was cast for."""


class StepLinear(nn.Linear):
    """A dense layer over step features at whatever precision they were laid; it answers at that of its products."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- torch's name
        """Return (..., out) of step features (..., in)."""
        if input.dtype != torch.float16 or torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        if input.device.type != "cpu":
            return super().forward(input.to(self.weight.dtype))
        rows = input.reshape(-1, input.shape[-1])
        product: Tensor = _HalfProduct.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]  # torch's own
        return product.reshape(*input.shape[:-1], -1)


def as_read(steps: Tensor) -> Tensor:
    """Return steps as layers other than `StepLinear` read them: at single precision where they lie at half."""
    is_kept = steps.dtype == torch.float16 and not torch.is_autocast_enabled(steps.device.type)
    return steps.float() if is_kept else steps


class _HalfProduct(torch.autograd.Function):
    """rows @ weight.T + bias of (R, F) float16 rows, which have no gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        found = rows.new_empty(len(rows), len(weight), dtype=weight.dtype)
        at = 0
        for piece in _pieces(rows, weight.dtype):
            torch.addmm(bias, piece, weight.t(), out=found[at : at + len(piece)])
            at += len(piece)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        of_weight, at = torch.zeros_like(weight), 0
        for piece in _pieces(rows, weight.dtype):
            of_weight.addmm_(gradient[at : at + len(piece)].t(), piece)
            at += len(piece)
        return None, of_weight, gradient.sum(dim=0)


def _pieces(rows: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """Yield the rows piece by piece, cast; each piece is overwritten by the next."""
    count = max(1, _PIECE_BYTES // (rows.shape[1] * dtype.itemsize))
    held = rows.new_empty(min(count, len(rows)), rows.shape[1], dtype=dtype)
    for piece in torch.split(rows, count):
        yield held[: len(piece)].copy_(piece)
