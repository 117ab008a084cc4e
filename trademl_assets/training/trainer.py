"""Lightning's trainer and what it needs of the machine: device, precision, processes, early stopping."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch import nn
from torch.utils.checkpoint import checkpoint

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.network import Network
from trademl_assets.training.checkpoints import DurableCheckpointIO
from trademl_assets.training.module import VALIDATION_ACCURACY, VALIDATION_LOG_LOSS
from trademl_assets.training.parameters import Devices, TrainingParameters

T = TypeVar("T")
_NAMED_FOLDERS = 3
_PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def accelerator(devices: Devices) -> str:
    """Return `cuda` where cards are asked for and there are some, else `cpu`.

    Nothing else is ever taken by itself: on Apple's GPUs LSTMs have crashed, so that a Mac trains on its CPU.
    """
    return "cuda" if devices != "cpu" and torch.cuda.is_available() else "cpu"


def build_trainer(parameters: TrainingParameters, folder: Path, callbacks: list[Callback], processes: int) -> Trainer:
    """Make the trainer of one member.

    Raises:
        ConfigError: Half precision on a CPU, where sums of gradients would overflow; or TensorBoard is not installed.
    """
    where = accelerator(parameters.devices)
    if parameters.precision == "fp16" and where == "cpu":
        raise ConfigError("training.yaml: precision fp16 needs a CUDA device, there is none -> use fp32 or bf16")
    # Nothing reads memory before it is written; to fill it first, as `deterministic` does, costs a tenth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch's own gap
    return Trainer(
        accelerator=where,
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=_PRECISIONS[parameters.precision],
        max_epochs=parameters.max_epochs,
        accumulate_grad_batches=parameters.parts,
        callbacks=callbacks,
        plugins=[DurableCheckpointIO()],
        default_root_dir=folder,
        deterministic=parameters.deterministic,
        logger=_tensorboard(parameters, folder),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=True,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
    )


def _tensorboard(parameters: TrainingParameters, folder: Path) -> Logger | bool:
    """Return what writes curves for TensorBoard, one a member, or False."""
    if parameters.tensorboard_folder is None:
        return False
    if find_spec("tensorboard") is None:
        raise ConfigError(
            f"training.yaml: tensorboard_folder {parameters.tensorboard_folder} needs the package tensorboard, which "
            'is not installed -> pip install -c constraints.txt -e ".[tensorboard]", or write null'
        )
    of = folder.parent.parent.parts[-_NAMED_FOLDERS:]  # experiment, model and fingerprint
    return TensorBoardLogger(parameters.tensorboard_folder, name="/".join(of), version=f"seed_{folder.name}")


def build_stopping(parameters: TrainingParameters) -> list[Callback]:
    """Make what ends a training before its last epoch."""
    stated = parameters.early_stopping
    threshold = stated.threshold
    on_loss = threshold is not None and threshold.metric == VALIDATION_LOG_LOSS
    stopping: list[Callback] = [
        EarlyStopping(
            monitor=VALIDATION_LOG_LOSS,
            mode="min",
            patience=stated.patience_epochs,
            min_delta=stated.minimum_improvement,
            stopping_threshold=threshold.value if threshold is not None and on_loss else None,
        )
    ]
    if threshold is not None and not on_loss:
        never = parameters.max_epochs + 1
        stopping.append(
            EarlyStopping(VALIDATION_ACCURACY, mode="max", patience=never, stopping_threshold=threshold.value)
        )
    return stopping


def root_device(parameters: TrainingParameters) -> torch.device:
    """Return the device that this process trains on."""
    if accelerator(parameters.devices) == "cpu":
        return torch.device("cpu")
    together = torch.distributed.is_initialized()
    return torch.device("cuda", torch.distributed.get_node_local_rank() if together else 0)


def prepare_network(network: Network, parameters: TrainingParameters) -> None:
    """Compile a network, or let it compute activations again for the gradient, where that is asked for.

    Raises:
        ConfigError: The family has no encoder whose activations could be computed again.
    """
    if parameters.recompute_activations:
        encoder = getattr(network, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise ConfigError(
                f"training.yaml: recompute_activations needs a family with an encoder, {type(network).__name__} has "
                "none -> set it to false"
            )
        encoder.forward = functools.partial(checkpoint, encoder.forward, use_reentrant=False)
    if parameters.compile:
        network.compile()


def draw_apart(seed: int, rank: int) -> None:
    """Give each of the processes that train together random numbers of its own, so that their dropout differs.

    The first goes on in the stream that the weights were drawn from, as it would alone. Where each stands travels in
    the checkpoints.
    """
    if rank:
        torch.manual_seed(int(np.random.SeedSequence([seed, rank]).generate_state(1, np.uint32)[0]))


def of_the_first(processes: int, find: Callable[[], T]) -> T:
    """Return what the first of the processes that train together finds."""
    if processes == 1:
        return find()
    join_processes()
    found: list[Any] = [find() if torch.distributed.get_rank() == 0 else None]
    torch.distributed.broadcast_object_list(found)
    answer: T = found[0]
    return answer


def of_all(processes: int, own: T) -> list[T]:
    """Return what each of the processes that train together found."""
    if processes == 1:
        return [own]
    join_processes()
    found: list[Any] = [None] * processes
    torch.distributed.all_gather_object(found, own)
    return found


def join_processes() -> None:
    """Let the processes that torchrun started find each other, where Lightning has not done so yet."""
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():  # each speaks from a card of its own
            torch.cuda.set_device(torch.distributed.get_node_local_rank())
