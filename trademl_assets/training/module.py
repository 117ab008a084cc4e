"""One member of an ensemble as Lightning sees it: loss, optimiser, schedule, validation."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from trademl_assets.foundation.errors import TrainingError
from trademl_assets.models.network import Network, SegmentBatch
from trademl_assets.training.data import HeldOut, SegmentFeed, Share, TrainingEpoch, loader, steps_per_epoch
from trademl_assets.training.losses import sample_loss, weighted_mean, without_class_weights
from trademl_assets.training.parameters import OptimiserParameters, TrainingParameters

VALIDATION_LOG_LOSS = "validation_log_loss"
TRAINING_LOSS = "training_loss"


class MemberModule(LightningModule):
    """A network in training.

    Args:
        network: The network.
        parameters: How it is trained.
        total_steps: Steps of optimisation of all epochs.
        class_weights: Of the loss, as they were fitted.

    Raises:
        ConfigError: The loss does not fit the network.
    """

    def __init__(
        self,
        network: Network,
        parameters: TrainingParameters,
        total_steps: int,
        class_weights: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._stated = parameters
        self._total_steps = total_steps
        self._class_weights = class_weights
        self._loss = sample_loss(parameters.loss, network, class_weights)
        self._validation: list[tuple[Tensor, Tensor]] = []
        self._training: list[tuple[float, float]] = []

    def training_step(self, batch: SegmentBatch, batch_index: int) -> Tensor:
        """Return the loss of a step.

        Raises:
            TrainingError: The loss is not a number.
        """
        loss = weighted_mean(self._loss(self.network, batch), batch, self.trainer.world_size)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} in epoch {self.current_epoch}, step {batch_index} -> lower the learning "
                "rate or look for impossible values in the dataset"
            )
        weight = float(batch.weights.sum())
        self._training.append((float(loss.detach()) * batch.total_weight / self.trainer.world_size, weight))
        penalty = self.network.penalty()
        return loss if penalty is None else loss + penalty

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Step, then bring the weights to what the network asks of them."""
        super().optimizer_step(*arguments, **named)
        self.network.constrain()

    def validation_step(self, batch: SegmentBatch, batch_index: int) -> None:  # noqa: ARG002 -- Lightning's signature
        """Collect log-losses, class weights undone; every process sees the whole of validation."""
        logits = without_class_weights(self.network(batch), self._class_weights)
        losses = nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        self._validation.append((losses.sum(), torch.ones_like(losses).sum()))

    def on_validation_epoch_end(self) -> None:
        """Publish the validation log-loss (unweighted) and the training loss of the epoch before it, in nats."""
        losses, weights = (
            (sum(column) for column in zip(*self._training, strict=True)) if self._training else (0.0, 0.0)
        )
        self._training.clear()
        self.log(TRAINING_LOSS, losses / weights if weights else math.nan, sync_dist=self.trainer.world_size > 1)
        total = torch.stack([part for part, _ in self._validation]).sum()
        count = torch.stack([part for _, part in self._validation]).sum()
        self._validation.clear()
        self.log(VALIDATION_LOG_LOSS, total / count, sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> Any:
        """AdamW on matrices with, on the rest without decay; a rate for every step."""
        stated = self._stated.optimiser
        context = {id(parameter) for parameter in self.network.context_parameters()}
        matrices = [p for p in self.parameters() if p.ndim > 1]
        groups = [
            {"params": [p for p in matrices if id(p) not in context], "weight_decay": stated.weight_decay},
            {"params": [p for p in matrices if id(p) in context], "weight_decay": stated.context_weight_decay},
            {"params": [p for p in self.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=stated.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: rate_share(step, self._total_steps, stated)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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
        self._size = parameters.segments_per_step
        self._seed = seed
        self._training = feed.stretches("train", on_stride_only=False, every_label=True)
        self._held_out = feed.stretches("validation", on_stride_only=True, every_label=True)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of optimisation of an epoch."""
        return steps_per_epoch(self._training, self._size)

    def train_dataloader(self) -> DataLoader[SegmentBatch]:
        """Batches of the current epoch."""
        if self.trainer is None:
            raise TrainingError("batches are asked for outside a training")
        share = Share(self.trainer.global_rank, self.trainer.world_size)
        epoch = self.trainer.current_epoch
        return loader(TrainingEpoch(self._feed, self._training, self._size, seed=self._seed, epoch=epoch, share=share))

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
        return loader(HeldOut(self._feed, self._held_out, self._size))


def rate_share(step: int, total_steps: int, parameters: OptimiserParameters) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine to the final share."""
    warm = round(parameters.warm_up_share * total_steps)
    if step < warm:
        return (step + 1) / warm
    progress = min((step - warm) / max(total_steps - warm, 1), 1.0)
    final = parameters.final_learning_rate_share
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
