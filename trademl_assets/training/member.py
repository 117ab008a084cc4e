"""Trains one member: seeds, Lightning's trainer, early stopping, the best weights restored."""

import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint

from trademl_assets.foundation.errors import TrainingError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.network import Network
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets.training.callbacks import EpochCallback, HistoryCallback, ProgressCallback
from trademl_assets.training.checkpoints import DurableCheckpointIO, read_checkpoint
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.loss_parameters import Loss
from trademl_assets.training.losses import fit_class_weights
from trademl_assets.training.module import VALIDATION_LOG_LOSS, FeedModule, MemberModule
from trademl_assets.training.parameters import TrainingParameters

Report = Callable[[str, dict[str, Any]], None]
OnEpoch = Callable[[int, float], None]
_PREFIX = "network."


@dataclass(frozen=True)
class TrainedMember:
    """A member with its best weights.

    Attributes:
        seed: Its seed.
        network: The network, on the CPU, in evaluation mode.
        epochs: One row of metrics an epoch.
        best_epoch: Epoch whose weights these are.
        validation_log_loss: Their validation log-loss in nats.
        class_weights: Of the loss, which shift the probabilities; None where it has none.
    """

    seed: int
    network: Network
    epochs: list[dict[str, float]]
    best_epoch: int
    validation_log_loss: float
    class_weights: tuple[float, ...] | None


def build_network(model: ModelParameters, inputs: ModelInputs) -> Network:
    """Build a network of the model's family with fresh weights."""
    return MODELS.get(model.family).build(model.parameters, inputs)


def train_member(
    model: ModelParameters,
    inputs: ModelInputs,
    feed: SegmentFeed,
    parameters: TrainingParameters,
    *,
    seed: int,
    folder: Path,
    processes: int = 1,
    position: tuple[int, int] = (1, 1),
    report: Report = lambda _line, _facts: None,
    on_epoch: OnEpoch = lambda _epoch, _loss: None,
) -> TrainedMember:
    """Train a member and restore the weights with the least validation log-loss.

    The same inputs, seed and threads give the same bits.

    Args:
        model: Family and parameters.
        inputs: What the network is told of the dataset.
        feed: The feed of the dataset.
        parameters: How to train.
        seed: Of weights, order, phases and dropout.
        folder: For checkpoints; emptied first.
        processes: Processes that train together, started by torchrun.
        position: Number of this member and of all.
        report: Takes lines of progress.
        on_epoch: Takes every epoch and its validation log-loss; what it raises ends the training.

    Raises:
        TrainingError: The loss is not a number, or no epoch was finished.
        ConfigError: Model and dataset do not fit.
    """
    seed_everything(seed, verbose=False)
    network = build_network(model, inputs)
    data = FeedModule(feed, parameters, seed)
    weights = training_class_weights(parameters.loss, feed, inputs.classes)
    module = MemberModule(network, parameters, data.steps_per_epoch * parameters.max_epochs, weights)
    history = HistoryCallback()
    best = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor=VALIDATION_LOG_LOSS,
        mode="min",
        save_weights_only=parameters.weight_average_decay is None,  # Lightning swaps the average in for whole ones only
    )
    callbacks: list[Callback] = [
        *_averaging(parameters),
        EarlyStopping(
            monitor=VALIDATION_LOG_LOSS,
            mode="min",
            patience=parameters.early_stopping.patience_epochs,
            min_delta=parameters.early_stopping.minimum_improvement,
            check_finite=True,
        ),
        history,
        ProgressCallback(report, *position, parameters.progress_seconds),
        best,
        EpochCallback(on_epoch),
    ]
    trainer = _trainer(parameters, folder, callbacks, processes)
    if trainer.is_global_zero:
        shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # batches come ready-made
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning's own business
        trainer.fit(module, datamodule=data)
    if not best.best_model_path or best.best_model_score is None:
        raise TrainingError(f"seed {seed}: no epoch had a finite validation log-loss -> lower the learning rate")
    state = read_checkpoint(Path(best.best_model_path))["state_dict"]
    network.load_state_dict({name.removeprefix(_PREFIX): value for name, value in state.items()})
    losses = [row[VALIDATION_LOG_LOSS] for row in history.epochs]
    return TrainedMember(
        seed, network.cpu().eval(), history.epochs, losses.index(min(losses)), float(best.best_model_score), weights
    )


def training_class_weights(loss: Loss, feed: SegmentFeed, classes: int) -> tuple[float, ...] | None:
    """Return the class weights of a loss, fitted on the training labels of a feed; None where it has none.

    Raises:
        ConfigError: They do not fit the classes.
    """
    training = (feed.dataset.index["part"] == "train").to_numpy() & feed.answered
    return fit_class_weights(loss, feed.label.numpy()[training], feed.weight.double().numpy()[training], classes)


def _averaging(parameters: TrainingParameters) -> Sequence[Callback]:
    decay = parameters.weight_average_decay
    return () if decay is None else (EMAWeightAveraging(decay=decay),)


def _trainer(parameters: TrainingParameters, folder: Path, callbacks: list[Callback], processes: int) -> Trainer:
    on_gpu = parameters.devices != "cpu" and torch.cuda.is_available()
    return Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_epochs=parameters.max_epochs,
        callbacks=callbacks,
        plugins=[DurableCheckpointIO()],
        default_root_dir=folder,
        gradient_clip_val=parameters.optimiser.gradient_clip_norm,
        deterministic=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
    )
