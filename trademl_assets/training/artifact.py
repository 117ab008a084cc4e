"""Trained members as safetensors with a JSON sidecar, and the model that is loaded from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trademl_assets.datasets.class_view import ClassGrid
from trademl_assets.datasets.parameters import Part
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.network import Network
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.durable import hash_file, write_durably
from trademl_assets.training.class_grids import summed
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.epochs import HeldOut
from trademl_assets.training.kept_features import DailyFeatures
from trademl_assets.training.losses import without_class_weights
from trademl_assets.training.results import SCHEMA_VERSION, member_name, read_json, sidecar_name, write_json

TRAINED_MODEL_ASSET = "trained_model"


@dataclass(frozen=True)
class Rows:
    """Predictions: (N,) positions in the dataset's index and (N, C) float64 logits."""

    positions: NDArray[np.int64]
    logits: NDArray[np.float64]


def write_member(folder: Path, network: Network, seed: int, sidecar: dict[str, Any]) -> None:
    """Write a member: its weights, then its sidecar, which carries the weights' hash."""
    name = member_name(seed)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    _, digest, _ = write_durably(folder, lambda path: save_file(state, path), lambda _digest: f"{name}.safetensors")
    write_json(folder, f"{name}.json", {**sidecar, "seed": seed, "weights_sha256": digest})


def read_sidecar(folder: Path, seed: int) -> dict[str, Any] | None:
    """Return the sidecar of a member whose weights are those it was written with, else None."""
    weights, sidecar = (folder / f"{member_name(seed)}{suffix}" for suffix in (".safetensors", ".json"))
    if not (weights.is_file() and sidecar.is_file()):
        return None
    stated: dict[str, Any] = read_json(sidecar)
    return stated if stated.get("weights_sha256") == hash_file(weights)[0] else None


def load_network(weights: Path, sidecar: dict[str, Any]) -> Network:
    """Build the network that a sidecar describes and give it its weights.

    Raises:
        CorruptArtifactError: Weights and sidecar do not belong together, the weights are damaged, or the sidecar is of
            another version.
    """
    if sidecar["schema_version"] != SCHEMA_VERSION:
        raise CorruptArtifactError(
            f"the sidecar of {weights} is of version {sidecar['schema_version']}, this code reads {SCHEMA_VERSION} -> "
            "train again"
        )
    model = ModelParameters.model_validate({"family": sidecar["family"], "parameters": sidecar["model"]})
    network = MODELS.get(model.family).build(model.parameters, ModelInputs.from_json(sidecar["inputs"]))
    try:
        if hash_file(weights)[0] != sidecar["weights_sha256"]:
            raise CorruptArtifactError(f"{weights} is not what its sidecar was written with -> train again")
        network.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CorruptArtifactError(f"{weights} cannot be loaded: {error} -> train again") from error
    return network.eval()


def predict_logits(
    feed: SegmentFeed,
    networks: Sequence[Network],
    part: Part,
    segments: int,
    *,
    on_stride_only: bool,
    every_label: bool = False,
    grid: ClassGrid | None = None,
) -> list[Rows]:
    """Predict the decisions of a part; each batch is laid once for all networks.

    Args:
        feed: The feed of the dataset.
        networks: Of one family and shape, in evaluation mode.
        part: Part of the split.
        segments: Segments computed together.
        on_stride_only: Whether the training phases are left out.
        every_label: Whether labels of all targets over all horizons that the networks forecast are predicted, not the
            primary ones alone.
        grid: Classes that they learnt in place of the dataset's; None where they are the same.

    Returns:
        Of each network, positions in the dataset's index, in order, and their logits of the dataset's classes.
    """
    rows: list[NDArray[np.int64]] = []
    logits: list[list[NDArray[np.float64]]] = [[] for _ in networks]
    stretches = feed.stretches(part, on_stride_only=on_stride_only, every_label=every_label)
    with torch.no_grad():
        for batch in HeldOut(feed, stretches, segments):
            rows.append(batch.rows.numpy())
            for found, network in zip(logits, networks, strict=True):
                found.append(summed(network(batch).double(), None if grid is None else grid.judged).numpy())
    positions = np.concatenate(rows)
    order = np.argsort(positions)
    return [Rows(positions[order], np.concatenate(found)[order]) for found in logits]


class TrainedModel:
    """An ensemble of members, loaded.

    Args:
        members: Networks and their sidecars.

    Attributes:
        inputs: What its networks were told of the dataset.
        grid: Classes that they learnt in place of the dataset's; None where they are the same.
    """

    def __init__(self, members: Sequence[tuple[Network, dict[str, Any]]]) -> None:
        self.members = tuple(members)
        self.inputs = ModelInputs.from_json(self.members[0][1]["inputs"])
        stated = self.members[0][1].get("class_grid")  # sidecars of before do not say
        self.grid = None if stated is None else ClassGrid.from_json(stated)

    @property
    def classes(self) -> int:
        """Number of classes C of the dataset that it was trained on."""
        return self.inputs.classes if self.grid is None else self.grid.classes

    def member_logits(
        self, dataset: Dataset, part: Part, *, on_stride_only: bool = True, every_label: bool = False
    ) -> list[Rows]:
        """Return each member's logits of the decisions of a part."""
        networks, training = [network for network, _ in self.members], self.members[0][1]["training"]
        precision = training.get("step_features_precision", "fp32")  # sidecars of before do not say
        features = DailyFeatures(dataset, networks[0].step_features, precision, kept=True)
        return predict_logits(
            SegmentFeed(dataset, networks[0], features),
            networks,
            part,
            self._segments_together,
            on_stride_only=on_stride_only,
            every_label=every_label,
            grid=self.grid,
        )

    @property
    def _segments_together(self) -> int:
        """Segments that are predicted together: as many as when the members were trained."""
        parts = max(int(sidecar.get("parts_per_step", 1)) for _, sidecar in self.members)  # those of before do not say
        return -(-int(self.members[0][1]["training"]["segments_per_step"]) // parts)

    def predict(
        self, dataset: Dataset, part: Part, *, on_stride_only: bool = True, every_label: bool = False
    ) -> pl.DataFrame:
        """Return the mean probability of the members, the shift by class weights of the loss taken out.

        Args:
            dataset: A dataset with the streams and classes that the model was trained on.
            part: Part of the split.
            on_stride_only: Whether the training phases are left out.
            every_label: Whether labels of all targets over all horizons that it forecasts are predicted.

        Returns:
            Columns sample, probability_0 to probability_{C-1}; a row a decision, in time order.

        Raises:
            ConfigError: The dataset differs from what the model was trained on.
        """
        self._require_same_inputs(dataset)
        members = self.member_logits(dataset, part, on_stride_only=on_stride_only, every_label=every_label)
        stacked = torch.from_numpy(np.stack([member.logits for member in members]))
        stacked = without_class_weights(stacked, self.members[0][1]["class_weights"])
        mean = torch.softmax(stacked, dim=2).mean(dim=0).numpy()
        samples = dataset.index["sample"].gather(members[0].positions)
        columns = {f"probability_{number}": mean[:, number] for number in range(mean.shape[1])}
        return pl.DataFrame({"sample": samples, **columns})

    def _require_same_inputs(self, dataset: Dataset) -> None:
        read = self.members[0][0].streams
        for name in read:
            expected = self.inputs.streams[name]
            if name not in dataset.streams or dataset.columns(name) != expected.columns:
                found = dataset.columns(name) if name in dataset.streams else "no such stream"
                raise ConfigError(
                    f"dataset {dataset.experiment!r}: the model reads {name} with columns {list(expected.columns)}, "
                    f"found {found} -> give it a dataset with the streams it was trained on"
                )


def load_model(folder: Path) -> TrainedModel:
    """Load the model that a training process left in a folder.

    Raises:
        CorruptArtifactError: There is no member, or one is damaged.
    """
    sidecars = [read_json(path) for path in sorted(folder.glob("member_*.json"))]
    if not sidecars:
        raise CorruptArtifactError(f"{folder} holds no trained member -> train first")
    return TrainedModel(
        [(load_network(folder / f"{member_name(stated['seed'])}.safetensors", stated), stated) for stated in sidecars]
    )


def load_trained_model(store: ArtifactStore, partition: str) -> TrainedModel:
    """Load a committed model, for example `load_trained_model(store, "demo|dual_channel")`.

    Raises:
        MissingPartitionError: The model was never trained.
        CorruptArtifactError: Its bytes are not those committed.
    """
    members = []
    for member in store.require(TRAINED_MODEL_ASSET, partition).notes["members"]:
        stated = store.read_json(TRAINED_MODEL_ASSET, partition, sidecar_name(member["seed"]))
        weights = store.file_path(TRAINED_MODEL_ASSET, partition, member_name(member["seed"]))
        members.append((load_network(weights, stated), stated))
    return TrainedModel(members)
