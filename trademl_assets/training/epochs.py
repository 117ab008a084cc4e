"""Passes over the segments of a feed: training in an order of its own for each epoch, held-out parts in time order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from trademl_assets.models.network import SegmentBatch
from trademl_assets.training.data import SegmentFeed, Stretch

_HALF = 0.5
"""Share of segments that are mirrored, where any are: the two sides count alike."""


@dataclass(frozen=True)
class Share:
    """Which part of each step of optimisation this process computes."""

    rank: int
    processes: int


@dataclass(frozen=True)
class Pace:
    """How an epoch is cut into steps of optimisation.

    Attributes:
        segments_per_step: Segments of one step, over all processes and parts.
        parts_per_step: Batches that one step is computed in, one after the other.
        steps_at_most: Steps after which an epoch ends; None for none.
    """

    segments_per_step: int
    parts_per_step: int = 1
    steps_at_most: int | None = None

    def steps(self, segments: int) -> int:
        """Steps of optimisation of an epoch over so many segments."""
        steps = -(-segments // self.segments_per_step)
        return steps if self.steps_at_most is None else min(steps, self.steps_at_most)


class TrainingEpoch(IterableDataset[SegmentBatch]):
    """One pass over the training segments in an order, and at phases, that follow from seed and epoch alone.

    Where the network has a mirror, so does the choice of those that are mirrored.

    Args:
        feed: The feed.
        stretches: Training segments with all their phases.
        pace: How the epoch is cut.
        seed: The member's seed.
        epoch: The epoch.
        share: What this process computes of each step.
        first_batch: Batches that were trained on before the process was ended, which are passed over.
        dtype: Of the steps.
    """

    def __init__(
        self,
        feed: SegmentFeed,
        stretches: Sequence[Stretch],
        pace: Pace,
        *,
        seed: int,
        epoch: int,
        share: Share,
        first_batch: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._feed = feed
        self._stretches = stretches
        self._pace = pace
        self._seed = seed
        self._epoch = epoch
        self._share = share
        self._first_batch = first_batch
        self._dtype = dtype

    def __iter__(self) -> Iterator[SegmentBatch]:
        random = np.random.default_rng([self._seed, self._epoch])
        order = random.permutation(len(self._stretches))
        chosen = [
            self._stretches[number].at_phase(int(random.choice(np.unique(self._stretches[number].phases))))
            for number in order
        ]
        turned = torch.from_numpy(np.random.default_rng([self._seed, self._epoch, 1]).random(len(chosen)) < _HALF)
        worker = get_worker_info()  # workers take turns, and the loader asks them in turn
        ahead, together = (0, 1) if worker is None else (worker.id, worker.num_workers)
        batches = self._pace.steps(len(chosen)) * self._pace.parts_per_step
        for number in range(self._first_batch + ahead, batches, together):
            yield self._batch(chosen, turned, *divmod(number, self._pace.parts_per_step))

    def _batch(self, chosen: Sequence[Stretch], turned: Tensor, step_number: int, part: int) -> SegmentBatch:
        first = step_number * self._pace.segments_per_step
        step = chosen[first : first + self._pace.segments_per_step]
        place = self._share.rank + part * self._share.processes
        shares = self._share.processes * self._pace.parts_per_step
        mine = slice(place, None, shares) if len(step) > place else slice(1)
        batch = self._feed.batch(step[mine], self._feed.total_weight(step), self._dtype)
        if self._feed.mirror is not None:
            batch = self._feed.mirror.turn(batch, turned[first : first + self._pace.segments_per_step][mine])
        if len(step) <= place:  # nothing left for this part: it is computed, but counts for nothing
            batch = replace(batch, weights=torch.zeros_like(batch.weights))
        return batch


class HeldOut(IterableDataset[SegmentBatch]):
    """The segments of a part in time order.

    Args:
        feed: The feed.
        stretches: Segments.
        segments_per_batch: Segments computed together.
        dtype: Of the steps.
    """

    def __init__(
        self,
        feed: SegmentFeed,
        stretches: Sequence[Stretch],
        segments_per_batch: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._feed = feed
        self._stretches = stretches
        self._size = segments_per_batch
        self._dtype = dtype

    def __iter__(self) -> Iterator[SegmentBatch]:
        for first in range(0, len(self._stretches), self._size):
            yield self._feed.batch(self._stretches[first : first + self._size], dtype=self._dtype)


def loader(
    batches: IterableDataset[SegmentBatch], workers: int = 0, *, is_pinned: bool = False
) -> DataLoader[SegmentBatch]:
    """Hand on ready batches, laid in this process or by workers, into page-locked memory or not; the order is one."""
    return DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=is_pinned)
