"""Trains one member: seeds, Lightning's trainer, retries, the kept weights restored."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, seed_everything

from trademl_assets.datasets.class_view import ClassGrid
from trademl_assets.foundation.errors import TrainingError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.network import Network
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets.training.callbacks import (
    AveragedWeights,
    EpochCallback,
    HistoryCallback,
    KeptWeights,
    ProgressCallback,
)
from trademl_assets.training.checkpoints import CheckpointFolder
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.finite import NotFiniteError
from trademl_assets.training.loss_parameters import Loss
from trademl_assets.training.losses import fit_class_weights
from trademl_assets.training.module import FeedModule, MemberModule
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.training.parts import Sizing, settled
from trademl_assets.training.resume import ResumeCallback
from trademl_assets.training.trainer import (
    build_stopping,
    build_trainer,
    draw_apart,
    of_the_first,
    prepare_network,
)

Report = Callable[[str, dict[str, Any]], None]
OnEpoch = Callable[[int, float], None]


@dataclass(frozen=True)
class TrainedMember:
    """A member with the weights that were kept.

    Attributes:
        seed: Its seed.
        network: The network, on the CPU, in evaluation mode.
        epochs: One row of metrics an epoch.
        best_epoch: Epoch whose weights these are: the best by validation, or the last where that is asked for.
        validation_log_loss: Their validation log-loss in nats.
        class_weights: Of the loss, which shift the probabilities; None where it has none.
        steps: Steps of optimisation that were made.
        parts: Parts that each of them was computed in.
    """

    seed: int
    network: Network
    epochs: list[dict[str, float]]
    best_epoch: int
    validation_log_loss: float
    class_weights: tuple[float, ...] | None
    steps: int
    parts: int


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
    grid: ClassGrid | None = None,
    key: str = "",
    processes: int = 1,
    position: tuple[int, int] = (1, 1),
    report: Report = lambda _line, _facts: None,
    on_epoch: OnEpoch = lambda _epoch, _loss: None,
) -> TrainedMember:
    """Train a member and restore the weights of the epoch that is kept.

    The same inputs, seed and threads give the same bits.

    Args:
        model: Family and parameters.
        inputs: What the network is told of the dataset.
        feed: The feed of the dataset.
        parameters: How to train.
        seed: Of weights, order, phases and dropout.
        folder: For checkpoints; those of a training that was ended are gone on from.
        grid: Classes that it learns in place of those it is validated on; None where they are the same.
        key: Names everything that the training follows from, so that no other training's checkpoints are taken.
        processes: Processes that train together, started by torchrun.
        position: Number of this member and of all.
        report: Takes lines of progress.
        on_epoch: Takes every epoch and its validation log-loss; what it raises ends the training.

    Raises:
        TrainingError: The loss is not a number, even at lower rates.
        ConfigError: Model, dataset and parameters do not fit.
    """
    checkpoints = CheckpointFolder(folder, f"{key}, {processes} processes, torch {torch.__version__}")
    of_the_first(processes, checkpoints.prepare)
    weights = training_class_weights(parameters.loss, feed, inputs.classes)
    sizing = Sizing(
        lambda: uncompiled_network(model, inputs, parameters),
        feed,
        parameters,
        weights,
        grid,
        processes,
    )
    parameters = settled(sizing, checkpoints, report)
    while True:
        attempt = _Attempt(model, inputs, feed, parameters, seed=seed, grid=grid, weights=weights)
        try:
            return attempt.run(checkpoints, processes, position, report=report, on_epoch=on_epoch)
        except NotFiniteError as error:
            recoveries, stated = attempt.module.recoveries + 1, parameters.not_a_number
            if recoveries > stated.retries:
                raise TrainingError(f"seed {seed}, after {recoveries - 1} retries: {error}") from error
            if attempt.is_first_process:
                checkpoints.step_back(recoveries)
            lowered = stated.learning_rate_factor**recoveries
            report(f"{error}; retry {recoveries} of {stated.retries} at {lowered:g} of the rate", {})


class _Attempt:
    """One go at a member, from its last checkpoint or from its beginning."""

    def __init__(
        self,
        model: ModelParameters,
        inputs: ModelInputs,
        feed: SegmentFeed,
        parameters: TrainingParameters,
        *,
        seed: int,
        grid: ClassGrid | None,
        weights: tuple[float, ...] | None,
    ) -> None:
        seed_everything(seed, verbose=False)
        self._seed = seed
        self._parameters = parameters
        self._network = build_network(model, inputs)
        prepare_network(self._network, parameters)
        self._data = FeedModule(feed, parameters, seed)
        self._weights = weights
        steps = self._data.steps_per_epoch * parameters.max_epochs
        self.module = MemberModule(self._network, parameters, steps, self._weights, grid)
        self.is_first_process = True

    def run(
        self,
        checkpoints: CheckpointFolder,
        processes: int,
        position: tuple[int, int],
        *,
        report: Report,
        on_epoch: OnEpoch,
    ) -> TrainedMember:
        parameters = self._parameters
        average = None
        if parameters.weight_average_decay is not None:
            average = AveragedWeights(decay=parameters.weight_average_decay)
        history, kept = HistoryCallback(), KeptWeights(average, parameters.kept_epoch)
        resume = ResumeCallback(
            checkpoints, parameters.checkpoint_every_steps, parameters.not_a_number.learning_rate_factor
        )
        progress = ProgressCallback(
            report,
            *position,
            every_seconds=parameters.progress_seconds,
            steps_per_epoch=self._data.steps_per_epoch,
            parts_per_step=parameters.parts,
        )
        watching: list[Callback] = [] if average is None else [average]
        watching += [*build_stopping(parameters), kept, history, progress, resume, EpochCallback(on_epoch)]
        trainer = build_trainer(parameters, checkpoints.folder, watching, processes)
        self.is_first_process = trainer.is_global_zero
        begun, self.module.recoveries = of_the_first(
            processes, lambda: (checkpoints.latest(lambda line: report(line, {})), checkpoints.recoveries)
        )
        if begun is not None:
            report(f"member {position[0]}/{position[1]} (seed {self._seed}): goes on from {begun.stem}", {})
        draw_apart(self._seed, trainer.global_rank)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # batches come ready-made
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning's own business
            trainer.fit(self.module, datamodule=self._data, ckpt_path=begun, weights_only=True)
        self._network.load_state_dict(kept.weights)
        return TrainedMember(
            seed=self._seed,
            network=self._network.cpu().eval(),
            epochs=history.epochs,
            best_epoch=kept.epoch,
            validation_log_loss=kept.score,
            class_weights=self._weights,
            steps=trainer.global_step,
            parts=parameters.parts,
        )


def uncompiled_network(model: ModelParameters, inputs: ModelInputs, parameters: TrainingParameters) -> Network:
    """Build a network as it is trained, but not compiled: that would take longer than what it is asked for."""
    network = build_network(model, inputs)
    prepare_network(network, parameters.model_copy(update={"compile": False}))
    return network


def training_class_weights(loss: Loss, feed: SegmentFeed, classes: int) -> tuple[float, ...] | None:
    """Return the class weights of a loss, fitted on the training labels of a feed; None where it has none.

    Raises:
        ConfigError: They do not fit the classes.
    """
    training = (feed.dataset.index["part"] == "train").to_numpy() & feed.answered
    return fit_class_weights(loss, feed.label.numpy()[training], feed.weight.double().numpy()[training], classes)
