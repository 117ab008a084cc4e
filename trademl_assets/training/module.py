"""One member of an ensemble as Lightning sees it: loss, optimiser, schedule, validation."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from trademl_assets.datasets.class_view import ClassGrid
from trademl_assets.foundation.errors import TrainingError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.class_grids import grouped
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.epochs import HeldOut, Pace, Share, TrainingEpoch, loader
from trademl_assets.training.finite import require_finite
from trademl_assets.training.held_features import held_where
from trademl_assets.training.losses import sample_loss, weighted_mean, without_class_weights
from trademl_assets.training.optimisers import build_optimiser
from trademl_assets.training.parameters import Precision, TrainingParameters
from trademl_assets.training.schedules import build_schedule

VALIDATION_LOG_LOSS = "validation_log_loss"
VALIDATION_ACCURACY = "validation_accuracy"
TRAINING_LOSS = "training_loss"

PRODUCTS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of products of matrices."""


class MemberModule(LightningModule):
    """A network in training.

    Args:
        network: The network.
        parameters: How it is trained.
        total_steps: Steps of optimisation of all epochs.
        class_weights: Of the loss, as they were fitted.
        grid: Classes that it learns in place of those it is validated on; None where they are the same.

    Raises:
        ConfigError: The loss does not fit the network.
    """

    def __init__(
        self,
        network: Network,
        parameters: TrainingParameters,
        total_steps: int,
        class_weights: tuple[float, ...] | None = None,
        grid: ClassGrid | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._stated = parameters
        self._total_steps = total_steps
        self._class_weights = class_weights
        self._judged = None if grid is None else grid.judged
        self._loss = sample_loss(parameters.loss, network, class_weights, None if grid is None else grid.trained)
        self._validation: list[tuple[Tensor, Tensor, Tensor]] = []
        self.training_sums = (0.0, 0.0)
        """Weighted losses and weights of the epoch so far, of this process."""
        self.recoveries = 0
        """How often the loss was not a number before, by which the rate is lowered."""

    def training_step(self, batch: SegmentBatch, batch_index: int) -> Tensor:
        """Return the loss of a batch: of a step, or of a part of one.

        Raises:
            NotFiniteError: The loss is not a number, in this process or in another.
        """
        shares = self.trainer.world_size * self._stated.parts
        loss = weighted_mean(self._loss(self.network, batch), batch, shares)
        require_finite(loss, "loss", f"epoch {self.current_epoch}, step {batch_index}", self.trainer.world_size)
        losses, weights = self.training_sums
        weight = float(batch.weights.sum())
        self.training_sums = (losses + float(loss.detach()) * batch.total_weight / shares, weights + weight)
        penalty = self.network.penalty()
        return loss if penalty is None else loss + penalty

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,  # noqa: ARG002 -- Lightning's signature
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002 -- the same
    ) -> None:
        """Bound the entries of the gradient, then its norm."""
        stated = self._stated.gradient_clipping
        if stated.value is not None:
            self.clip_gradients(optimizer, stated.value, "value")
        if stated.norm is not None:
            self.clip_gradients(optimizer, stated.norm, "norm")

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Step, then bring the weights to what the network asks of them."""
        super().optimizer_step(*arguments, **named)
        self.network.constrain()

    def validation_step(self, batch: SegmentBatch, batch_index: int) -> None:  # noqa: ARG002 -- Lightning's signature
        """Collect log-losses, class weights undone; every process sees the whole of validation."""
        unweighted = without_class_weights(self.network(batch), self._class_weights)
        logits, labels = grouped(unweighted, batch.labels, self._judged)
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        right = (logits.argmax(dim=1) == labels).sum()
        self._validation.append((losses.sum(), right, torch.ones_like(losses).sum()))

    def on_validation_epoch_end(self) -> None:
        """Publish the validation log-loss (unweighted), accuracy and the training loss of the epoch before it, in nats.

        Raises:
            NotFiniteError: The log-loss is not a number.
        """
        losses, weights = self._over_processes(self.training_sums)
        self.training_sums = (0.0, 0.0)
        total, right, count = (torch.stack(column).sum() for column in zip(*self._validation, strict=True))
        self._validation.clear()
        require_finite(total, "validation log-loss", f"epoch {self.current_epoch}", self.trainer.world_size)
        together = self.trainer.world_size > 1
        self.log(TRAINING_LOSS, losses / weights if weights else math.nan, sync_dist=together)
        self.log(VALIDATION_LOG_LOSS, total / count, sync_dist=together)
        self.log(VALIDATION_ACCURACY, right / count, sync_dist=together)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and the schedule of its rate."""
        optimiser = build_optimiser(self.network, self._stated.optimiser, unscales=self._stated.precision == "fp16")
        factor = self._stated.not_a_number.learning_rate_factor**self.recoveries
        schedule = build_schedule(optimiser, self._stated.schedule, self._total_steps, factor)
        return {"optimizer": optimiser, "lr_scheduler": schedule}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule of steps; one that follows validation was stepped with it, before a checkpoint is written."""
        if metric is None:
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        """Let a schedule that follows validation see its result."""
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(float(self.trainer.callback_metrics[VALIDATION_LOG_LOSS]))

    def _over_processes(self, sums: tuple[float, float]) -> tuple[float, float]:
        if self.trainer.world_size == 1:
            return sums
        summed = self.trainer.strategy.reduce(torch.tensor(sums, device=self.device), reduce_op="sum")
        return float(summed[0]), float(summed[1])


def batch_precision(feed: SegmentFeed, precision: Precision) -> torch.dtype:
    """Return at which precision steps are laid: that of products, where a network reads them by nothing else."""
    return PRODUCTS[precision] if feed.reads_steps_in_products else torch.float32


class FeedModule(LightningDataModule):
    """The feed as Lightning asks for it; training batches are laid anew for each epoch.

    Args:
        feed: The feed.
        parameters: Segments per step.
        seed: The member's seed.
    """

    def __init__(self, feed: SegmentFeed, parameters: TrainingParameters, seed: int) -> None:
        super().__init__()
        self._feed = feed
        self._together = parameters.segments_together
        self._pace = Pace(parameters.segments_per_step, parameters.parts, parameters.steps_per_epoch_at_most)
        self._workers = parameters.workers
        self._place, self._share = parameters.step_features_on, parameters.device_memory_share
        self._dtype = batch_precision(feed, parameters.precision)
        self._seed = seed
        self._training = feed.stretches("train", on_stride_only=False, every_label=True)
        self._held_out = feed.stretches("validation", on_stride_only=True, every_label=True)
        self._begins_at = (0, 0)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of optimisation of an epoch."""
        return self._pace.steps(len(self._training))

    def begin_at(self, epoch: int, batch: int) -> None:
        """Pass over the batches of an epoch that were trained on already."""
        self._begins_at = (epoch, batch)

    def setup(self, stage: str) -> None:  # noqa: ARG002 -- Lightning's signature
        """Hold step features on the device that trains, where that is asked for or pays."""
        if self.trainer is None:
            raise TrainingError("features are asked for outside a training")
        device, days = self.trainer.strategy.root_device, self._feed.days([*self._training, *self._held_out])
        if held_where(self._place, self._feed.daily, days, device, share=self._share, workers=self._workers):
            self._feed.hold(days, device)

    def teardown(self, stage: str) -> None:  # noqa: ARG002 -- Lightning's signature
        """Give the device's memory back: predictions are made where the network is then."""
        self._feed.release()

    def train_dataloader(self) -> DataLoader[SegmentBatch]:
        """Batches of the current epoch."""
        if self.trainer is None:
            raise TrainingError("batches are asked for outside a training")
        epoch, (begun, done) = self.trainer.current_epoch, self._begins_at
        batches = TrainingEpoch(
            self._feed,
            self._training,
            self._pace,
            seed=self._seed,
            epoch=epoch,
            share=Share(self.trainer.global_rank, self.trainer.world_size),
            first_batch=done if epoch == begun else 0,
            dtype=self._dtype,
        )
        return loader(batches, self._workers, is_pinned=self._on_card)

    def transfer_batch_to_device(
        self,
        batch: SegmentBatch,
        device: torch.device,
        dataloader_idx: int,  # noqa: ARG002 -- Lightning's signature
    ) -> SegmentBatch:
        """Move a batch."""
        return batch.to(device)

    def val_dataloader(self) -> DataLoader[SegmentBatch]:
        """Batches of validation."""
        held_out = HeldOut(self._feed, self._held_out, self._together, self._dtype)
        return loader(held_out, is_pinned=self._on_card)

    @property
    def _on_card(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
