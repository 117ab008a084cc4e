"""In how many parts a step of optimisation is computed, chosen by the memory that it was measured to take."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from trademl_assets.datasets.class_view import ClassGrid
from trademl_assets.datasets.device_windows import free_bytes
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.checkpoints import CheckpointFolder
from trademl_assets.training.data import SegmentFeed, Stretch
from trademl_assets.training.held_features import held_bytes, held_where
from trademl_assets.training.losses import sample_loss, weighted_mean
from trademl_assets.training.module import PRODUCTS, batch_precision
from trademl_assets.training.optimisers import build_optimiser
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.training.step_memory import give_back, peak_bytes
from trademl_assets.training.trainer import of_all, of_the_first, root_device

Report = Callable[[str, dict[str, Any]], None]
_GIGABYTE = 1e9
_PREFETCHED = 2
"""Batches that each of torch's workers lays ahead."""


@dataclass(frozen=True)
class StepMemory:
    """Memory that a step takes at once, by the segments in it.

    Attributes:
        fixed_bytes: What it takes whatever the segments: gradients, the optimiser's moments.
        segment_bytes: What each of the longest segments adds.
    """

    fixed_bytes: int
    segment_bytes: int

    def bytes_of(self, segments: int) -> int:
        """Return what a step of so many segments takes."""
        return self.fixed_bytes + segments * self.segment_bytes

    def fewest_parts(self, segments: int, processes: int, allowed_bytes: int) -> int:
        """Return the fewest parts of a step, each of which takes no more than is allowed, or one segment a part.

        Args:
            segments: Of the step.
            processes: Processes that share them.
            allowed_bytes: What each process may take.
        """
        if self.segment_bytes == 0:  # parts would not help
            return 1
        fitting = max(1, (allowed_bytes - self.fixed_bytes) // self.segment_bytes)
        return -(-segments // (processes * fitting))


@dataclass(frozen=True)
class Sizing:
    """What a step's memory is measured with.

    Attributes:
        build: Makes the network anew; its copy is thrown away.
        feed: Where segments come from.
        parameters: How it is trained.
        class_weights: Of the loss.
        grid: Classes that it learns in place of the dataset's; None where they are the same.
        processes: Processes that train together; those of one host share its memory.
    """

    build: Callable[[], Network]
    feed: SegmentFeed
    parameters: TrainingParameters
    class_weights: tuple[float, ...] | None
    grid: ClassGrid | None
    processes: int

    @cached_property
    def device(self) -> torch.device:
        """What trains."""
        return root_device(self.parameters)

    def choose(self, report: Report) -> int:
        """Measure the steps of one and of two segments, the longest, and return the fewest parts that fit.

        Raises:
            ConfigError: Not even a single segment fits into the free memory.
        """
        stated, training = self.parameters, self.feed.stretches("train", on_stride_only=False, every_label=True)
        segments = min(stated.segments_per_step, len(training))
        longest = sorted(training, key=lambda each: (each.last_step - each.first_step, len(each.rows)))[-2:]
        chosen = [_busiest_phase(each) for each in longest]
        one, more = self._peak(chosen[-1:]), self._peak(chosen)
        give_back(self.device)
        each = max(0, more - one) if len(chosen) > 1 else one
        memory = StepMemory(max(0, one - each), each)
        free = self._free(training)
        allowed = round(stated.step_memory_share * free)
        parts = memory.fewest_parts(segments, self.processes, allowed)
        at_once = -(-segments // (self.processes * parts))
        needed = memory.bytes_of(at_once)
        where = f"{needed / _GIGABYTE:.3g} GB at once, {free / _GIGABYTE:.3g} GB are free on {self.device}"
        if needed > free:
            raise ConfigError(
                f"training.yaml: parts_per_step auto: a single segment takes {where} -> shorten segments.length of the "
                "dataset, set recompute_activations: true or precision: bf16, or train a smaller network"
            )
        report(
            f"steps of {segments} segments in {parts} part(s): {at_once} segment(s) take {where}, of which "
            f"{stated.step_memory_share:.3g} may be taken",
            {},
        )
        return parts

    def _peak(self, stretches: list[Stretch]) -> int:
        batch = self.feed.batch(stretches, dtype=batch_precision(self.feed, self.parameters.precision)).to(self.device)
        network = self.build().to(self.device)
        ahead = self.parameters.workers * _PREFETCHED if self.device.type == "cpu" else 0
        held = batch.nbytes * (1 + ahead) + sum(weights.nbytes for weights in network.parameters())
        return held + peak_bytes(partial(self._step, network, batch), self.device)

    def _step(self, network: Network, batch: SegmentBatch) -> None:
        stated = self.parameters
        loss = sample_loss(stated.loss, network, self.class_weights, None if self.grid is None else self.grid.trained)
        mixed = stated.precision != "fp32"
        optimiser = build_optimiser(network, stated.optimiser, unscales=stated.precision == "fp16")
        with torch.autocast(self.device.type, PRODUCTS[stated.precision], enabled=mixed):
            found = weighted_mean(loss(network, batch), batch, 1)
            penalty = network.penalty()
        (found if penalty is None else found + penalty).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()

    def _free(self, training: list[Stretch]) -> int:
        """Bytes that a process may take, what its held features will take left out."""
        stated, free = self.parameters, free_bytes(self.device)
        days = self.feed.days([*training, *self.feed.stretches("validation", on_stride_only=True, every_label=True)])
        if held_where(
            stated.step_features_on,
            self.feed.daily,
            days,
            self.device,
            share=stated.device_memory_share,
            workers=stated.workers,
        ):
            free -= held_bytes(self.feed.daily, days)
        return free if self.device.type == "cuda" else free // self.processes


def settled(sizing: Sizing, checkpoints: CheckpointFolder, report: Report) -> TrainingParameters:
    """Return the parameters with the parts of a step settled: as stated, as they were before a kill, or as measured.

    Raises:
        ConfigError: Not even one segment fits into the free memory.
    """
    parameters, processes = sizing.parameters, sizing.processes
    if parameters.parts_per_step != "auto":
        return parameters
    parts = of_the_first(processes, lambda: checkpoints.parts)
    if parts is None:
        chosen = max(of_all(processes, sizing.choose(report)))
        of_the_first(processes, lambda: checkpoints.keep_parts(chosen))
        parts = chosen
    return parameters.in_parts(parts)


def _busiest_phase(stretch: Stretch) -> Stretch:
    phases, decisions = np.unique(stretch.phases, return_counts=True)
    return stretch.at_phase(int(phases[decisions.argmax()]))
