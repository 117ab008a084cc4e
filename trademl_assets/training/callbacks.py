"""What watches a training: the history of its metrics, and lines of progress."""

import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from trademl_assets.training.module import TRAINING_LOSS, VALIDATION_LOG_LOSS


class EpochCallback(Callback):
    """Tells of every epoch, so that who listens may end the training by an exception of its own.

    Args:
        tell: Takes the epoch, counted from 0, and its validation log-loss in nats.
    """

    def __init__(self, tell: Callable[[int, float], None]) -> None:
        self._tell = tell

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell of the epoch that ends; validation came before."""
        del pl_module
        self._tell(trainer.current_epoch, float(trainer.callback_metrics[VALIDATION_LOG_LOSS]))


class HistoryCallback(Callback):
    """Collects one row an epoch: losses in nats and the learning rate."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the metrics of the epoch that ends; validation came before."""
        del pl_module
        metrics = trainer.callback_metrics
        self.epochs.append(
            {
                "epoch": trainer.current_epoch,
                TRAINING_LOSS: float(metrics[TRAINING_LOSS]),
                VALIDATION_LOG_LOSS: float(metrics[VALIDATION_LOG_LOSS]),
                "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            }
        )


class ProgressCallback(Callback):
    """Says now and then how far a training is, and when it ends at the latest.

    Args:
        report: Takes a line and its facts.
        member: Number of the member, from 1.
        members: Number of members.
        every_seconds: Least time between two lines.
    """

    def __init__(
        self, report: Callable[[str, dict[str, Any]], None], member: int, members: int, every_seconds: float
    ) -> None:
        self._report = report
        self._member = member
        self._members = members
        self._every = every_seconds
        self._started = self._last = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, if it is time."""
        del pl_module
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        done, total = trainer.current_epoch + 1, int(trainer.max_epochs or 1)
        remaining = (now - self._started) / done * (total - done + total * (self._members - self._member))
        metrics = {name: float(trainer.callback_metrics[name]) for name in (TRAINING_LOSS, VALIDATION_LOG_LOSS)}
        line = (
            f"member {self._member}/{self._members}, epoch {done}/{total}: training loss {metrics[TRAINING_LOSS]:.4f}, "
            f"validation log-loss {metrics[VALIDATION_LOG_LOSS]:.4f} nats, at most {remaining:.0f} s left"
        )
        self._report(line, {"member": self._member, "epoch": done, "eta_seconds": remaining, **metrics})
