"""Feeds a network from a dataset: segments of step features, batched with the decisions on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from trademl_assets.datasets.parameters import Part
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.held_features import Features, HeldFeatures
from trademl_assets.training.kept_features import DailyFeatures, days_of


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
    """Everything a network reads of a dataset, shared by all epochs and members.

    Args:
        dataset: The opened dataset.
        network: A network of the family, for its parameter-free first part, patch and window.
        features: Its step features; None computes them when they are asked for.

    Raises:
        ConfigError: The dataset lacks a stream that the network reads.
    """

    def __init__(self, dataset: Dataset, network: Network, features: DailyFeatures | None = None) -> None:
        self.dataset = dataset
        self.patch_steps = network.patch_steps
        self.window_steps = network.window_steps
        self.mirror = network.mirror
        self.reads_steps_in_products = network.reads_steps_in_products
        self.takes_half_steps = network.takes_half_steps
        self.daily = DailyFeatures(dataset, network.step_features) if features is None else features
        self.features: Features = self.daily
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

    def days(self, stretches: Iterable[Stretch]) -> NDArray[np.int64]:
        """Positions of the dataset's days that stretches touch, in order."""
        return days_of(((each.first_step, each.last_step) for each in stretches), self.dataset.steps_per_day)

    def hold(self, days: NDArray[np.int64], device: torch.device) -> None:
        """Hold the features of days on a device, where batches then have their steps; `release` ends it."""
        self.features = HeldFeatures(self.daily, days, device)

    def release(self) -> None:
        """Read features from the host again."""
        self.features = self.daily

    def batch(
        self, stretches: Sequence[Stretch], total_weight: float | None = None, dtype: torch.dtype = torch.float32
    ) -> SegmentBatch:
        """Put stretches side by side; behind a shorter one stand zeros, which nothing before them reads.

        Args:
            stretches: Segments with their decisions.
            total_weight: Of the whole step that they are a part of; None is the sum of their own weights.
            dtype: Of the steps; where it is single and they are kept at half, a network that takes these is given them
                as they are kept: half the memory, the same values.
        """
        longest = max(stretch.last_step - stretch.first_step for stretch in stretches)
        laid = self.daily.dtype if self.takes_half_steps and dtype == torch.float32 else dtype
        steps = torch.empty(len(stretches), longest, self.features.width, dtype=laid, device=self.features.device)
        views: dict[tuple[int, int], int] = {}
        decision_view, decision_patches, rows = [], [], []
        for number, stretch in enumerate(stretches):
            length = stretch.last_step - stretch.first_step
            self.features.copy(stretch.first_step, stretch.last_step, steps[number, :length])
            steps[number, length:] = 0
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


def _positions(values: pl.Series, answered: Sequence[Any]) -> Tensor:
    """(N,) int64 positions of values among those that are answered, -1 where they are not."""
    found = values.replace_strict(list(answered), list(range(len(answered))), default=-1, return_dtype=pl.Int64)
    return torch.from_numpy(found.to_numpy().copy())


def _decision_clock(dataset: Dataset, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, k) clock at steps (N,), gathered day by day, and of no other days than those of the steps."""
    found = np.empty((len(steps), *dataset.step_shape("clock")), np.float32)
    days = steps // dataset.steps_per_day
    order = np.argsort(days, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(days[order])) + 1):
        first, last = int(steps[rows].min()), int(steps[rows].max()) + 1
        found[rows] = dataset.gather("clock", first, last)[steps[rows] - first]
    return found
