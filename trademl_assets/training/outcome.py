"""What a finished training leaves in its scratch folder: predictions of the held-out parts, history and summary."""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from trademl_assets.datasets.class_view import ClassGrid
from trademl_assets.datasets.parameters import Part
from trademl_assets.datasets.windows import Dataset
from trademl_assets.models.network import Network
from trademl_assets.scoring.temperature import ensemble_logits, temperature_log_loss
from trademl_assets.training.artifact import predict_logits
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.loss_parameters import keeps_probabilities
from trademl_assets.training.losses import without_class_weights
from trademl_assets.training.member import TrainedMember
from trademl_assets.training.module import VALIDATION_LOG_LOSS
from trademl_assets.training.parameters import TrainingSpec
from trademl_assets.training.results import (
    HISTORY_FILE,
    SUMMARY_FILE,
    prediction_schema,
    write_json,
    write_predictions,
)

PREDICTED: dict[str, tuple[Part, ...]] = {
    "fit": ("validation", "calibration", "test", "degradation"),
    "search": ("validation",),
}
"""By mode; a part that the dataset does not have is passed over."""


def write_results(
    folder: Path,
    spec: TrainingSpec,
    dataset: Dataset,
    feed: SegmentFeed,
    members: list[TrainedMember],
    *,
    grid: ClassGrid | None,
) -> None:
    """Predict the held-out parts with all members and write what a training is known by, the summary last.

    Args:
        folder: Where to.
        spec: What was trained.
        dataset: On what, with the classes that it is judged on.
        feed: Where batches come from.
        members: The ensemble.
        grid: Classes that it learnt in place of the dataset's; None where they are the same.
    """
    parts, networks = max(member.parts for member in members), [member.network for member in members]
    segments = spec.training.in_parts(parts).segments_together
    samples, there = dataset.index["sample"].to_numpy(), set(dataset.index["part"].unique())
    frames, log_loss = [], {}
    for part in (each for each in PREDICTED[spec.mode] if each in there):
        rows = predict_logits(feed, networks, part, segments, on_stride_only=True, grid=grid)
        labels = dataset.index["label"].to_numpy()[rows[0].positions]
        ensemble = ensemble_logits(_without_class_weights(np.stack([each.logits for each in rows]), members))
        log_loss[part] = temperature_log_loss(ensemble, labels, 1.0)
        frames += [
            _frame(samples[each.positions], member.seed, each.logits)
            for member, each in zip(members, rows, strict=True)
        ]
    write_predictions(folder, predictions := pl.concat(frames))
    write_json(folder, HISTORY_FILE, {str(member.seed): member.epochs for member in members})
    write_json(
        folder,
        SUMMARY_FILE,
        {
            "mode": spec.mode,
            "model_name": spec.model_name,
            "experiment": spec.experiment,
            "members": [
                {
                    "seed": member.seed,
                    "epochs": len(member.epochs),
                    "best_epoch": member.best_epoch,
                    VALIDATION_LOG_LOSS: member.validation_log_loss,
                }
                for member in members
            ],
            "ensemble_validation_log_loss": log_loss["validation"],
            "trainable_parameters": _trainable(members[0].network),
            "streams": list(members[0].network.streams),
            "classes": dataset.classes,
            "parts_per_step": parts,
            "predictions": predictions.height,
            "class_weights": members[0].class_weights,
            "keeps_probabilities": keeps_probabilities(spec.training.loss),
        },
    )


def _without_class_weights(logits: NDArray[np.float64], members: list[TrainedMember]) -> NDArray[np.float64]:
    """(members, N, C) logits as predicted, the shift by the loss's class weights taken out."""
    undone: NDArray[np.float64] = without_class_weights(torch.from_numpy(logits), members[0].class_weights).numpy()
    return undone


def _frame(samples: NDArray[np.int64], seed: int, logits: NDArray[np.float64]) -> pl.DataFrame:
    columns = {f"logit_{number}": logits[:, number] for number in range(logits.shape[1])}
    values = {"sample": samples, "member": np.full(len(samples), seed, np.int32), **columns}
    return pl.DataFrame(values, schema=prediction_schema(logits.shape[1]))


def _trainable(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
