"""Feeds a network from a dataset: step features computed once, segments batched with the decisions on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from trademl_assets.datasets.parameters import Part
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network, SegmentBatch

_CHUNK_STEPS = 2048
"""Steps whose features are computed together: a working set that stays in the processor's cache."""

_HALF = 0.5
"""Share of segments that are mirrored, where any are: the two sides count alike."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps and the decisions made on them.

    Attributes:
        first_step: First step (inclusive), where an anchored history begins.
        last_step: End (exclusive).
        rows: (n,) positions in the dataset's index.
        phases: (n,) phase of each decision: its distance from `first_step` modulo the patch.
        patches: (n,) whole patches from its phase up to the decision.
    """

    first_step: int
    last_step: int
    rows: NDArray[np.int64]
    phases: NDArray[np.int64]
    patches: NDArray[np.int64]

    def at_phase(self, phase: int) -> "Stretch":
        """Return the stretch with the decisions of one phase only."""
        chosen = self.phases == phase
        return replace(self, rows=self.rows[chosen], phases=self.phases[chosen], patches=self.patches[chosen])


class SegmentFeed:
    """Everything a network reads of a dataset, held in memory and shared by all epochs and members.

    Args:
        dataset: The opened dataset.
        network: A network of the family, for its parameter-free first part, patch and window.

    Raises:
        ConfigError: The dataset lacks a stream that the network reads.
    """

    def __init__(self, dataset: Dataset, network: Network) -> None:
        self.dataset = dataset
        self.patch_steps = network.patch_steps
        self.window_steps = network.window_steps
        self.mirror = network.mirror
        self.features = _step_features(dataset, network)
        index = dataset.index
        self.step = index["step"].to_numpy()
        self.label = torch.from_numpy(index["label"].to_numpy().astype(np.int64))
        self.sigma = torch.from_numpy(index["sigma_bps"].to_numpy().astype(np.float32))
        self.returns = torch.from_numpy(index["return_bps"].to_numpy().astype(np.float32))
        self.weight = torch.from_numpy(index["weight"].to_numpy().astype(np.float32))
        self.target = _positions(index["instrument"], network.targets)
        self.horizon = _positions(index["horizon_seconds"], network.horizons_seconds)
        self.day = self.step // dataset.steps_per_day
        self._clock: Tensor | None = None
        if "clock" in network.streams:
            self._clock = torch.from_numpy(_decision_clock(dataset, self.step))
        self._reads_days = "long_term" in network.streams

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N,) whether the network forecasts the label of each row of the index."""
        return ((self.target >= 0) & (self.horizon >= 0)).numpy()

    def stretches(self, part: Part, *, on_stride_only: bool, every_label: bool = False) -> list[Stretch]:
        """The segments of a part with the decisions that fall in them.

        Args:
            part: Part of the split.
            on_stride_only: Whether the training phases are left out.
            every_label: Whether decisions of all targets over all horizons that the network forecasts are wanted, not
                of the primary ones alone.
        """
        segments = self.dataset.segments(part, on_stride_only=on_stride_only, every_label=every_label)
        chosen = [(segment, segment.rows[self.answered[segment.rows]]) for segment in segments]
        return [self._stretch(segment.first_step, segment.last_step, rows) for segment, rows in chosen if len(rows)]

    def _stretch(self, first_step: int, last_step: int, rows: NDArray[np.int64]) -> Stretch:
        steps = self.step[rows]
        if self.window_steps is not None:
            first_step = int(steps.min()) - self.window_steps
            if first_step < 0:
                raise ConfigError(
                    f"dataset {self.dataset.experiment!r}: a decision at step {steps.min()} has no window of "
                    f"{self.window_steps} steps before it -> raise minimum_history or shorten the look-back"
                )
        patches, phases = np.divmod(steps - first_step, self.patch_steps)
        return Stretch(first_step, max(last_step, int(steps.max()) + 1), rows, phases, patches)

    def batch(self, stretches: Sequence[Stretch], total_weight: float | None = None) -> SegmentBatch:
        """Put stretches side by side; behind a shorter one stand zeros, which nothing before them reads."""
        longest = max(stretch.last_step - stretch.first_step for stretch in stretches)
        steps = torch.zeros(len(stretches), longest, self.features.shape[1])
        views: dict[tuple[int, int], int] = {}
        decision_view, decision_patches, rows = [], [], []
        for number, stretch in enumerate(stretches):
            steps[number, : stretch.last_step - stretch.first_step] = self.features[
                stretch.first_step : stretch.last_step
            ]
            for phase in np.unique(stretch.phases):
                view = views.setdefault((number, int(phase)), len(views))
                chosen = stretch.phases == phase
                rows.append(stretch.rows[chosen])
                decision_patches.append(stretch.patches[chosen])
                decision_view.append(np.full(int(chosen.sum()), view))
        all_rows = np.concatenate(rows)
        at = torch.from_numpy(all_rows)
        days, decision_day = np.unique(self.day[all_rows], return_inverse=True)
        weights = self.weight[at]
        return SegmentBatch(
            steps=steps,
            view_segment=tuple(segment for segment, _ in views),
            view_phase=tuple(phase for _, phase in views),
            decision_view=torch.from_numpy(np.concatenate(decision_view)),
            decision_patches=torch.from_numpy(np.concatenate(decision_patches)),
            decision_target=self.target[at],
            decision_horizon=self.horizon[at],
            sigma_bps=self.sigma[at],
            clock=None if self._clock is None else self._clock[at],
            days=self._daily_vectors(days) if self._reads_days else None,
            decision_day=torch.from_numpy(decision_day),
            labels=self.label[at],
            returns_bps=self.returns[at],
            weights=weights,
            total_weight=float(weights.sum()) if total_weight is None else total_weight,
            rows=at,
        )

    def total_weight(self, stretches: Sequence[Stretch]) -> float:
        """Sum of the weights of all decisions of the stretches."""
        return float(sum(self.weight[torch.from_numpy(stretch.rows)].sum() for stretch in stretches))

    def _daily_vectors(self, days: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.stack([self.dataset.long_term(int(day)) for day in days]))


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
    ) -> None:
        self._feed = feed
        self._stretches = stretches
        self._pace = pace
        self._seed = seed
        self._epoch = epoch
        self._share = share
        self._first_batch = first_batch

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
        batch = self._feed.batch(step[mine], self._feed.total_weight(step))
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
    """

    def __init__(self, feed: SegmentFeed, stretches: Sequence[Stretch], segments_per_batch: int) -> None:
        self._feed = feed
        self._stretches = stretches
        self._size = segments_per_batch

    def __iter__(self) -> Iterator[SegmentBatch]:
        for first in range(0, len(self._stretches), self._size):
            yield self._feed.batch(self._stretches[first : first + self._size])


def loader(batches: IterableDataset[SegmentBatch], workers: int = 0) -> DataLoader[SegmentBatch]:
    """Hand on ready batches, laid in this process or by workers; the order is the same."""
    return DataLoader(batches, batch_size=None, num_workers=workers)


def _positions(values: pl.Series, answered: Sequence[Any]) -> Tensor:
    """(N,) int64 positions of values among those that are answered, -1 where they are not."""
    found = values.replace_strict(list(answered), list(range(len(answered))), default=-1, return_dtype=pl.Int64)
    return torch.from_numpy(found.to_numpy().copy())


def _step_features(dataset: Dataset, network: Network) -> Tensor:
    part = network.step_features
    features = torch.empty(dataset.steps, part.width)
    with torch.no_grad():
        for first in range(0, dataset.steps, _CHUNK_STEPS):
            last = min(first + _CHUNK_STEPS, dataset.steps)
            raw = {name: torch.from_numpy(dataset.gather(name, first, last)) for name in part.streams}
            features[first:last] = part(raw)
    return features


def _decision_clock(dataset: Dataset, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    clock = dataset.gather("clock", 0, dataset.steps)
    return np.asarray(clock[steps], dtype=np.float32)
