"""What a training process does with a specification: dataset in, members, predictions and summary out."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trademl_assets.datasets.class_view import ClassGrid
from trademl_assets.datasets.fold_view import view_of_fold, weighed_anew
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.parameters import Part
from trademl_assets.datasets.trainable import refuse_untrainable
from trademl_assets.datasets.weights import WeightParameters
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.models.answers import refuse_unanswered
from trademl_assets.models.inputs import ModelInputs, inputs_of
from trademl_assets.models.registry import ModelParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.artifact import load_network, read_sidecar, write_member
from trademl_assets.training.class_grids import refuse_unsummable, with_chosen_classes
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.kept_features import DailyFeatures
from trademl_assets.training.loss_parameters import keeps_probabilities
from trademl_assets.training.member import OnEpoch, Report, TrainedMember, build_network, train_member
from trademl_assets.training.module import VALIDATION_LOG_LOSS
from trademl_assets.training.outcome import PREDICTED, write_results
from trademl_assets.training.parameters import TrainingSpec
from trademl_assets.training.results import (
    CHECKPOINTS_FOLDER,
    FAILURE_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    SCHEMA_VERSION,
    SUMMARY_FILE,
    member_name,
    remove_files,
)

_GIGABYTE = 1e9


def fit_members(
    spec: TrainingSpec,
    *,
    processes: int,
    writes: bool,
    report: Report,
    on_epoch: OnEpoch = lambda _epoch, _loss: None,
    opened: Dataset | None = None,
) -> None:
    """Train all members of a specification and write the results.

    Args:
        spec: What to do.
        processes: Processes that train together.
        writes: Whether this process is the one that writes.
        report: Takes lines of progress.
        on_epoch: Takes every epoch of every member and its validation log-loss; what it raises ends the training.
        opened: The dataset as `open_training_data` gives it, where a process trains on it more than once.

    Raises:
        TrainingError: A loss is not a number.
        ConfigError: Model and dataset do not fit.
        StorageError: The dataset cannot be read, or results cannot be written.
    """
    folder = Path(spec.output_folder)
    store = ArtifactStore.at(Path(spec.store_root))
    dataset = open_training_data(spec) if opened is None else opened
    learnt, grid = with_chosen_classes(dataset, spec.training)
    model = ModelParameters.model_validate_json(json.dumps({"family": spec.family, "parameters": spec.model}))
    inputs = inputs_of(learnt)
    dataset_hash = store.require(DATASET_ASSET, spec.experiment).content_hash
    key = _key(spec, dataset_hash)
    if writes:
        _clear(folder, spec, key)
    network = build_network(model, inputs)
    refuse_unanswered(inputs, network.targets)
    refuse_unsummable(grid, network, f"{spec.model_name} on {spec.experiment}")
    features = DailyFeatures(learnt, network.step_features, spec.training.step_features_precision, kept=True)
    feed = SegmentFeed(learnt, network, features)
    most_bytes = round(spec.training.step_features_gigabytes * _GIGABYTE)
    days = _days(feed, PREDICTED[spec.mode])
    report(f"{spec.model_name} on {spec.experiment}: reads step features of {len(days)} days", {})
    features.prepare(days, lambda line: report(f"{spec.model_name} on {spec.experiment}: {line}", {}))
    features.shrink(most_bytes)
    members: list[TrainedMember] = []
    training = spec.training
    for number, seed in enumerate(spec.seeds, start=1):
        found = read_sidecar(folder, seed)
        if found is not None and found["key"] == key:
            members.append(_restored(folder, found))
            training = spec.training.in_parts(members[-1].parts)
            report(f"member {number}/{len(spec.seeds)} (seed {seed}) is already trained", {})
            continue
        member = train_member(
            model,
            inputs,
            feed,
            training,
            seed=seed,
            folder=folder / CHECKPOINTS_FOLDER / str(seed),
            grid=grid,
            key=key,
            processes=processes,
            position=(number, len(spec.seeds)),
            report=report,
            on_epoch=on_epoch,
        )
        members.append(member)
        training = spec.training.in_parts(member.parts)
        report(
            f"member {number}/{len(spec.seeds)} (seed {seed}): weights of epoch {member.best_epoch + 1} of "
            f"{len(member.epochs)}, validation log-loss {member.validation_log_loss:.4f} nats",
            {"member": number, VALIDATION_LOG_LOSS: member.validation_log_loss},
        )
        if writes:
            stated = _sidecar(spec, member, inputs, key, grid=grid, dataset_hash=dataset_hash)
            write_member(folder, member.network, seed, stated)
    if writes:
        write_results(folder, spec, dataset, feed, members, grid=grid)
        shutil.rmtree(folder / CHECKPOINTS_FOLDER, ignore_errors=True)
    features.release(most_bytes)


def _days(feed: SegmentFeed, predicted: Sequence[Part]) -> NDArray[np.int64]:
    """Positions of the dataset's days that training, validation and the predicted parts read."""
    read = feed.stretches("train", on_stride_only=False, every_label=True)
    read += feed.stretches("validation", on_stride_only=True, every_label=True)
    for part in predicted:
        read += feed.stretches(part, on_stride_only=True)
    return feed.days(read)


def open_training_data(spec: TrainingSpec) -> Dataset:
    """Open the dataset of a specification as it is trained on: one of its folds, weighed as stated.

    Raises:
        ConfigError: No model is trained on such a dataset, or it has no such fold.
        StorageError: It cannot be read.
    """
    dataset = open_dataset(ArtifactStore.at(Path(spec.store_root)), spec.experiment)
    refuse_untrainable(dataset)
    return view_of_data(dataset, spec)


def view_of_data(dataset: Dataset, spec: TrainingSpec) -> Dataset:
    """Look at an opened dataset as a specification states it.

    Raises:
        ConfigError: It has no such fold.
    """
    view = dataset if spec.fold is None else view_of_fold(dataset, spec.fold)
    if spec.weights is None:
        return view
    return weighed_anew(view, WeightParameters.model_validate_json(json.dumps(spec.weights)))


def _key(spec: TrainingSpec, dataset_hash: str) -> str:
    """Names everything that a member follows from, its seed left out."""
    stated = spec.model_dump(mode="json", exclude={"store_root", "output_folder", "seeds", "mode", "training"})
    stated["training"] = {name: value for name, value in spec.training.what_decides().items() if name != "seeds"}
    text = json.dumps([stated, dataset_hash, SCHEMA_VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _clear(folder: Path, spec: TrainingSpec, key: str) -> None:
    """Remove what an earlier run left, all but members that this run would train to the same bits."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_files(folder, (SUMMARY_FILE, HISTORY_FILE, PREDICTIONS_FILE, FAILURE_FILE))
    for sidecar in folder.glob("member_*.json"):
        seed = int(sidecar.stem.rpartition("_")[2])
        found = read_sidecar(folder, seed)
        if found is None or found["key"] != key or seed not in spec.seeds:
            remove_files(folder, (sidecar.name, f"{member_name(seed)}.safetensors"))


def _restored(folder: Path, sidecar: dict[str, Any]) -> TrainedMember:
    network = load_network(folder / f"{member_name(sidecar['seed'])}.safetensors", sidecar)
    weights = sidecar["class_weights"]
    return TrainedMember(
        sidecar["seed"],
        network,
        sidecar["epochs"],
        sidecar["best_epoch"],
        sidecar[VALIDATION_LOG_LOSS],
        None if weights is None else tuple(weights),
        sidecar["steps"],
        sidecar["parts_per_step"],
    )


def _sidecar(
    spec: TrainingSpec,
    member: TrainedMember,
    inputs: ModelInputs,
    key: str,
    *,
    grid: ClassGrid | None,
    dataset_hash: str,
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "key": key,
        "family": spec.family,
        "model_name": spec.model_name,
        "model": spec.model,
        "training": spec.training.model_dump(mode="json"),
        "weights": spec.weights,
        "fold": spec.fold,
        "experiment": spec.experiment,
        "dataset_content_hash": dataset_hash,
        "code_version": spec.code_version,
        "inputs": inputs.as_json(),
        "class_grid": None if grid is None else grid.as_json(),
        "class_weights": None if member.class_weights is None else list(member.class_weights),
        "keeps_probabilities": keeps_probabilities(spec.training.loss),
        "epochs": member.epochs,
        "best_epoch": member.best_epoch,
        "steps": member.steps,
        "parts_per_step": member.parts,
        VALIDATION_LOG_LOSS: member.validation_log_loss,
        "torch": torch.__version__,
    }
