"""What every network of the platform takes and gives: a batch of segments in, class logits out."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SegmentBatch:
    """Segments of B stretches of steps, V views of them at a phase, N decisions that fall on patches of the views.

    View v reads the steps of segment `view_segment[v]` from position `view_phase[v]` + 1 on; its patch j covers the
    positions phase + 1 + j * P to phase + (j + 1) * P.

    Attributes:
        steps: (B, L, F) step features, float32, at the precision of products of matrices, or float16 as they are kept,
            as far as the network takes these; behind a shorter segment stand zeros.
        view_segment: V segment positions.
        view_phase: V phases, each in [0, P).
        decision_view: (N,) int64 view of each decision.
        decision_patches: (N,) int64 whole patches of the view up to and with the decision.
        decision_target: (N,) int64 whose label it is: position in the network's `targets`.
        decision_horizon: (N,) int64 over which horizon: position in the network's `horizons_seconds`.
        sigma_bps: (N,) float32 trailing sigma of that target over that horizon.
        clock: (N, k) float32 clock at the decision, or None.
        days: (D, look-back days, statistics, assets) float32 daily vectors of each distinct day, or None.
        decision_day: (N,) int64 row of `days` for each decision.
        labels: (N,) int64 classes.
        returns_bps: (N,) float32 realised log returns over the horizon.
        weights: (N,) float32 sample weights.
        total_weight: Sum of the weights of the whole step of optimisation, over all processes.
        rows: (N,) int64 positions in the dataset's index.
    """

    steps: Tensor
    view_segment: tuple[int, ...]
    view_phase: tuple[int, ...]
    decision_view: Tensor
    decision_patches: Tensor
    decision_target: Tensor
    decision_horizon: Tensor
    sigma_bps: Tensor
    clock: Tensor | None
    days: Tensor | None
    decision_day: Tensor
    labels: Tensor
    returns_bps: Tensor
    weights: Tensor
    total_weight: float
    rows: Tensor

    def to(self, device: torch.device) -> "SegmentBatch":
        """Return the batch with its tensors on a device; from pinned memory to a GPU while the host goes on."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))

    def pin_memory(self) -> "SegmentBatch":
        """Return the batch with the tensors of the host in page-locked memory, from which a GPU copies by itself."""
        return self._each(lambda tensor: tensor.pin_memory() if tensor.device.type == "cpu" else tensor)

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        held = (getattr(self, field.name) for field in fields(self))
        return sum(value.nbytes for value in held if isinstance(value, Tensor))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "SegmentBatch":
        held: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in held.items() if isinstance(value, Tensor)}
        return replace(self, **changed)


class Network(nn.Module):
    """Base of all families."""

    step_features: "StepFeaturesLike"
    """Parameter-free first part, applied to raw streams once."""
    patch_steps: int
    """Steps of a patch; decisions of one view are a multiple of it apart."""
    window_steps: int | None
    """Steps that a decision reads, or None where it reads from the beginning of its segment."""
    streams: tuple[str, ...]
    """Streams that the network reads."""
    targets: tuple[str, ...]
    """Labelled instruments whose labels it forecasts."""
    horizons_seconds: tuple[int, ...]
    """Horizons of the labels that it forecasts."""

    mirror: "MirrorLike | None" = None
    """Turns segments into those of the mirrored market, where training shall show both."""

    reads_steps_in_products: bool = False
    """Whether all it does with steps first are products of matrices, so that it loses nothing where steps come at the
    precision that these are computed in."""

    takes_half_steps: bool = False
    """Whether it also takes steps as float16, and reads them as the float32 that they stand for."""

    has_density: bool = False
    """Whether `log_density` is defined."""

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (N, C) logits."""
        raise NotImplementedError

    def log_density(self, batch: SegmentBatch) -> Tensor:
        """Return (N,) log densities of the realised returns in units of sigma, where the network has any."""
        raise NotImplementedError

    def penalty(self) -> Tensor | None:
        """Return what the weights add to the loss; None without a penalty."""
        return None

    def constrain(self) -> None:
        """Bring the weights to what is asked of them; called after every step of optimisation."""

    def context_parameters(self) -> list[nn.Parameter]:
        """Return the weights that read what hardly changes within a day, for a decay of their own."""
        return []


class StepFeaturesLike(Protocol):
    """From raw streams to step features."""

    width: int
    streams: tuple[str, ...]

    def identity(self) -> str:
        """Name everything that the values follow from but the raw streams: statistics, choices, version of the code.

        Values are kept under that name, and taken from there by whoever names the same.
        """
        ...

    def __call__(self, raw: dict[str, Tensor]) -> Tensor:
        """Return (T, width) float32 of raw streams (T, ...); a step's values follow from that step alone."""
        ...


class MirrorLike(Protocol):
    """From segments to those of the mirrored market."""

    def turn(self, batch: SegmentBatch, turned: Tensor) -> SegmentBatch:
        """Return the batch with the segments mirrored of which `turned` (B,) is true."""
        ...
