"""What a resumed training goes on from: a checkpoint every so many steps, taken up to the same bits."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from trademl_assets.training.checkpoints import CheckpointFolder
from trademl_assets.training.finite import NotFiniteError, all_finite
from trademl_assets.training.module import FeedModule, MemberModule

_STATE = "trademl"
_DRAWS_OF_AN_EPOCH = 2
"""Loaders that Lightning begins for an epoch after the first; each draws one seed from the stream of random numbers."""


class ResumeCallback(Checkpoint):
    """Writes checkpoints, and goes on from one as if there had been no end.

    A checkpoint is written after a step of optimisation; one that would fall on the last step of an epoch is written
    after its validation. Neither is a training that is about to end saved: what remains of it is done again.

    Args:
        checkpoints: Where they are written.
        every_steps: Steps of optimisation between two.
        rate_factor: By which the rate is lowered each time the loss was not a number.
    """

    def __init__(self, checkpoints: CheckpointFolder, every_steps: int, rate_factor: float) -> None:
        self._checkpoints = checkpoints
        self._every = every_steps
        self._factor = rate_factor
        self._saved = 0
        self._place = (0, 0)
        self._restored: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lower the rate by as much as it was not lowered yet when the checkpoint was written."""
        if self._restored is None:
            return
        assert isinstance(pl_module, MemberModule)  # noqa: S101 -- the only module that is trained
        lowered = self._factor ** (pl_module.recoveries - self._restored["recoveries"])
        for group in trainer.optimizers[0].param_groups:
            group["lr"] *= lowered
        schedule = trainer.lr_scheduler_configs[0].scheduler
        if hasattr(schedule, "min_lrs"):
            schedule.min_lrs = [lowest * lowered for lowest in schedule.min_lrs]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Go on in the stream of random numbers where the checkpoint was written, just before the first batch."""
        del trainer, batch, batch_idx
        if self._restored is None:
            return
        own, self._restored = self._restored["own"], None
        torch.set_rng_state(own["rng"])
        if own["device_rng"] is not None:
            torch.cuda.set_rng_state(own["device_rng"], pl_module.device)
        if self._place[1] == 0:
            for _ in range(_DRAWS_OF_AN_EPOCH):
                torch.empty((), dtype=torch.int64).random_()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due and the epoch goes on."""
        del outputs, batch
        if self._is_due(trainer) and not trainer.is_last_batch:
            self._save(trainer, pl_module, (trainer.current_epoch, batch_idx + 1))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint that was due on the epoch's last step."""
        goes_on = not trainer.should_stop and trainer.current_epoch + 1 < int(trainer.max_epochs or 1)
        if goes_on and self._is_due(trainer):
            self._save(trainer, pl_module, (trainer.current_epoch + 1, 0))

    def _is_due(self, trainer: Trainer) -> bool:
        return trainer.global_step // self._every > self._saved // self._every

    def _save(self, trainer: Trainer, pl_module: LightningModule, place: tuple[int, int]) -> None:
        if not all_finite(pl_module.parameters()):
            raise NotFiniteError(
                f"a weight is not a number in epoch {trainer.current_epoch}, before step {trainer.global_step} -> "
                "lower the learning rate or look for impossible values in the dataset"
            )
        self._saved = trainer.global_step
        self._place = place
        trainer.save_checkpoint(self._checkpoints.path(trainer.global_step))
        if trainer.is_global_zero:
            self._checkpoints.prune()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not keep: place in the data, random numbers and sums of every process."""
        assert isinstance(pl_module, MemberModule)  # noqa: S101 -- the only module that is trained
        on_gpu = pl_module.device.type == "cuda"
        own = {
            "rng": torch.get_rng_state(),
            "device_rng": torch.cuda.get_rng_state(pl_module.device) if on_gpu else None,
            "sums": list(pl_module.training_sums),
        }
        everyone: list[Any] = [own]
        if trainer.world_size > 1:
            everyone = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyone, own)
        checkpoint[_STATE] = {
            "processes": everyone,
            "place": list(self._place),
            "saved": self._saved,
            "recoveries": pl_module.recoveries,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take up what `on_save_checkpoint` added."""
        assert isinstance(pl_module, MemberModule)  # noqa: S101 -- the only module that is trained
        state = checkpoint[_STATE]
        own = state["processes"][trainer.global_rank]
        epoch, batch = state["place"]
        self._saved, self._place = state["saved"], (epoch, batch)
        self._restored = {"own": own, "recoveries": state["recoveries"]}
        losses, weights = own["sums"]
        pl_module.training_sums = (losses, weights)
        pl_module.recoveries = max(pl_module.recoveries, state["recoveries"])
        data: FeedModule = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it in `fit`
        data.begin_at(epoch, batch)
