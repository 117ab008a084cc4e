"""What watches a training: the history of its metrics, the best weights so far, lines of progress."""

import contextlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor

from trademl_assets.foundation.progress import readable_seconds
from trademl_assets.models.network import SegmentBatch
from trademl_assets.training.module import TRAINING_LOSS, VALIDATION_ACCURACY, VALIDATION_LOG_LOSS, MemberModule
from trademl_assets.training.parameters import KeptEpoch

_GIGABYTE = 1e9


class AveragedWeights(EMAWeightAveraging):
    """The exponential moving average of weights, which is validated and kept."""

    def weights(self) -> dict[str, Tensor]:
        """Return the network's averaged weights."""
        assert self._average_model is not None  # noqa: S101 -- Lightning makes it when training begins
        module = self._average_model.module
        assert isinstance(module, MemberModule)  # noqa: S101 -- the only module that is trained
        return dict(module.network.state_dict())


class KeptWeights(Callback):
    """Keeps the weights of one epoch, with the least validation log-loss or the last; they travel in the checkpoints.

    Args:
        average: Whose weights are kept where there is one.
        which: Of which epoch.
    """

    def __init__(self, average: AveragedWeights | None, which: KeptEpoch) -> None:
        self._average = average
        self._which = which
        self.epoch = -1
        self.score = float("inf")
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the weights that were just validated, if they are the best so far or the last shall be kept."""
        assert isinstance(pl_module, MemberModule)  # noqa: S101 -- the only module that is trained
        score = float(trainer.callback_metrics[VALIDATION_LOG_LOSS])
        if self._which == "last" or score < self.score:
            weights = pl_module.network.state_dict() if self._average is None else self._average.weights()
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
            self.epoch, self.score = trainer.current_epoch, score

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training goes on from."""
        return {"epoch": self.epoch, "score": self.score, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.epoch, self.score, self.weights = state_dict["epoch"], state_dict["score"], state_dict["weights"]


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
    """Collects one row an epoch: losses in nats, accuracy and the learning rate."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the metrics of the epoch that ends; validation came before."""
        del pl_module
        metrics = trainer.callback_metrics
        self.epochs.append(
            {
                "epoch": trainer.current_epoch,
                **{name: float(metrics[name]) for name in (TRAINING_LOSS, VALIDATION_LOG_LOSS, VALIDATION_ACCURACY)},
                "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"epochs": [dict(row) for row in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.epochs = [dict(row) for row in state_dict["epochs"]]


class ProgressCallback(Callback):
    """Says now and then how far a training is, how fast it goes, and when it ends at the latest.

    Args:
        report: Takes a line and its facts: member, step of optimisation, losses, samples and seconds.
        member: Number of the member, from 1.
        members: Number of members.
        every_seconds: Least time between two lines.
        steps_per_epoch: Steps of optimisation of an epoch.
        parts_per_step: Batches of a step.
    """

    def __init__(
        self,
        report: Callable[[str, dict[str, Any]], None],
        member: int,
        members: int,
        *,
        every_seconds: float,
        steps_per_epoch: int,
        parts_per_step: int,
    ) -> None:
        self._report = report
        self._member = member
        self._members = members
        self._every = every_seconds
        self._steps = steps_per_epoch
        self._parts = parts_per_step
        self._started = self._last = time.monotonic()
        self._first_step: int | None = None
        self._samples = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure time."""
        del pl_module
        self._started = self._last = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: SegmentBatch, batch_idx: int
    ) -> None:
        """Report a step within an epoch, if it is time."""
        del outputs
        self._samples += int((batch.weights > 0).sum()) * trainer.world_size
        if self._is_silent() or (batch_idx + 1) % self._parts or trainer.is_last_batch:
            return
        assert isinstance(pl_module, MemberModule)  # noqa: S101 -- the only module that is trained
        losses, weights = pl_module.training_sums
        where = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, step {(batch_idx + 1) // self._parts}"
        metrics = {TRAINING_LOSS: losses / weights} if weights else {}
        told = f": training loss {metrics[TRAINING_LOSS]:.4f}" if metrics else ""
        self._say(trainer, f"{where}/{self._steps}{told}", metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report an epoch, if it is time."""
        del pl_module
        if self._is_silent():
            return
        names = (TRAINING_LOSS, VALIDATION_LOG_LOSS, VALIDATION_ACCURACY)
        metrics = {name: float(trainer.callback_metrics[name]) for name in names}
        self._say(
            trainer,
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: training loss {metrics[TRAINING_LOSS]:.4f}, "
            f"validation log-loss {metrics[VALIDATION_LOG_LOSS]:.4f} nats",
            metrics,
        )

    def _is_silent(self) -> bool:
        return time.monotonic() - self._last < self._every

    def _say(self, trainer: Trainer, state: str, metrics: dict[str, float]) -> None:
        self._last = time.monotonic()
        elapsed = max(self._last - self._started, 1e-9)
        total, step = self._steps * int(trainer.max_epochs or 1), trainer.global_step
        done = max(step - (self._first_step or 0), 1)
        left = elapsed / done * (total - step + total * (self._members - self._member))
        rate = self._samples / elapsed
        used = memory_used()
        memory = ", ".join(f"{size / _GIGABYTE:.2f} GB of {name}" for name, size in used.items())
        self._report(
            f"member {self._member}/{self._members}, {state}, {rate:,.0f} samples/s, {memory}, at most "
            f"{readable_seconds(left)} left",
            {
                "member": self._member,
                "epoch": trainer.current_epoch + 1,
                "step": step,
                "eta_seconds": left,
                "samples_per_second": rate,
                **{f"{name.replace(' ', '_')}_bytes": float(size) for name, size in used.items()},
                **metrics,
            },
        )


def memory_used() -> dict[str, int]:
    """Return the memory in bytes that this process takes of the machine, and the most so far of its GPU.

    Mapped files are left out where the system tells them apart: it drops their pages when others need the memory.
    """
    used = {"memory": _own_memory()}
    if torch.cuda.is_available():
        used["GPU memory"] = torch.cuda.max_memory_allocated()
    return used


def _own_memory() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
