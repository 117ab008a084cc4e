"""Predicts a part of a dataset with a trained model, in the training process: torch starts nowhere else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.datasets.windows import open_dataset
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_trained_model
from trademl_assets.training.prediction_spec import PredictionSpec
from trademl_assets.training.results import SUMMARY_FILE, prediction_schema, write_json, write_predictions


def predict_part(spec: PredictionSpec, report: Callable[[str, dict[str, Any]], None]) -> None:
    """Write the logits of every member for the decisions of a part into the output folder.

    Args:
        spec: What is predicted.
        report: Takes a line and its facts.

    Raises:
        MissingPartitionError: There is no such model or dataset.
        CorruptArtifactError: Something is not what was committed.
    """
    store, folder = ArtifactStore.at(Path(spec.store_root)), Path(spec.output_folder)
    model, dataset = load_trained_model(store, spec.model_name), open_dataset(store, spec.experiment)
    report(f"predicting {spec.part} of {spec.experiment} with {len(model.members)} member(s) of {spec.model_name}", {})
    samples, schema = dataset.index["sample"].to_numpy(), prediction_schema(model.classes)
    frames = []
    for (_, sidecar), rows in zip(model.members, model.member_logits(dataset, spec.part), strict=True):
        member = np.full(len(rows.positions), sidecar["seed"], np.int32)
        logits = {f"logit_{number}": column for number, column in enumerate(rows.logits.T)}
        frames.append(pl.DataFrame({"sample": samples[rows.positions], "member": member, **logits}, schema=schema))
    predictions = pl.concat(frames)
    write_predictions(folder, predictions)
    write_json(folder, SUMMARY_FILE, {"mode": spec.mode, "predictions": predictions.height})
