"""Typed parameters of a training, free of torch; and the specification that its process is given."""

import hashlib
import json
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trademl_assets.datasets.class_boundaries import Boundaries
from trademl_assets.foundation.errors import TrainingError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.training.loss_parameters import Loss, stated_class_weights
from trademl_assets.training.optimiser_parameters import (
    ClippingParameters,
    EarlyStoppingParameters,
    OptimiserParameters,
    Positive,
    RecoveryParameters,
    ScheduleParameters,
)

Devices = Literal["auto", "cpu", "1", "2"]
Precision = Literal["fp32", "bf16", "fp16"]
KeptPrecision = Literal["fp32", "fp16"]
FeaturesPlace = Literal["auto", "host", "device"]
KeptEpoch = Literal["best", "last"]
WITHOUT_EFFECT = frozenset(
    {
        "workers",
        "step_features_gigabytes",
        "step_features_on",
        "device_memory_share",
        "checkpoint_every_steps",
        "progress_seconds",
        "tensorboard_folder",
        "timeout",
    }
)
"""Parameters that the weights do not follow from: changing them makes no model stale."""


class TrainingParameters(Parameters):
    """How models are trained.

    Attributes:
        seeds: One member of the ensemble each; the ensemble is the mean of their probabilities.
        devices: `auto` takes the CUDA devices there are (two at most), else the CPU; `cpu`; `1`; `2` processes.
        threads: CPU threads of a process.
        workers: Processes that lay batches beside each training process; 0 lays them in it.
        deterministic: Whether only kernels run that give the same bits each time.
        precision: `fp32`; `bf16` or `fp16` for products of matrices only, the latter on GPUs only.
        step_features_precision: At which step features are kept on disk; `fp16` needs half the disk.
        step_features_gigabytes: Most that kept step features of all trainings may take of the disk, 10^9 bytes each;
            those unused for the longest time go first, those in use stay. 0 removes them when a training ends.
        step_features_on: Where a training reads step features: `host` maps them from disk, `device` holds them whole on
            the card, `auto` does so where they fit; the values are the same.
        device_memory_share: Most of a card's free memory that held step features may take, within 0..1.
        compile: Whether the network is compiled by torch.
        max_epochs: Passes over the training segments, each at one random phase.
        steps_per_epoch_at_most: Steps of optimisation after which a pass ends; null for none.
        segments_per_step: Segments whose decisions make one step of optimisation.
        parts_per_step: Parts that a step is computed in, one after the other, so that less memory is needed; `auto`
            measures the memory of a step and takes the fewest parts that fit.
        step_memory_share: Most of the free memory that a part may take where `auto` chooses, within 0..1.
        recompute_activations: Whether activations are computed again for the gradient rather than kept.
        weight_average_decay: Of the exponential moving average of weights that is validated and kept; null for none.
        kept_epoch: Whose weights are the model's: of the `best` epoch by validation log-loss, or of the `last`.
        class_grid: Name of the classes that a network learns in place of its dataset's; null for those of the dataset.
            What it forecasts is summed to the dataset's classes, on which it is validated, calibrated and judged.
        class_grids: Such classes by name, cut as `labels.parameters.boundaries` of a dataset are.
        loss: What is minimised; validation is always judged by the log-loss.
        optimiser: What moves the weights.
        schedule: The rate over time.
        gradient_clipping: Bounds of gradients.
        early_stopping: When to end.
        not_a_number: What is done about a loss that is not a number.
        checkpoint_every_steps: Steps of optimisation between two checkpoints.
        progress_seconds: Least time between two lines of progress.
        tensorboard_folder: Where curves of every training are written for TensorBoard as well; null for nowhere.
        timeout: After which a training is ended as stuck; a resumed one counts anew.
    """

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    devices: Devices
    threads: Annotated[int, Field(ge=1)]
    workers: Annotated[int, Field(ge=0)]
    deterministic: bool
    precision: Precision
    step_features_precision: KeptPrecision
    step_features_gigabytes: Annotated[float, Field(ge=0)]
    step_features_on: FeaturesPlace
    device_memory_share: Annotated[float, Field(gt=0, le=1)]
    compile: bool
    max_epochs: Annotated[int, Field(ge=1)]
    steps_per_epoch_at_most: Annotated[int, Field(ge=1)] | None
    segments_per_step: Annotated[int, Field(ge=1)]
    parts_per_step: Annotated[int, Field(ge=1)] | Literal["auto"]
    step_memory_share: Annotated[float, Field(gt=0, le=1)]
    recompute_activations: bool
    weight_average_decay: Annotated[float, Field(gt=0, lt=1)] | None
    kept_epoch: KeptEpoch
    class_grid: str | None
    class_grids: dict[Annotated[str, Field(min_length=1)], Boundaries]
    loss: Loss
    optimiser: OptimiserParameters
    schedule: ScheduleParameters
    gradient_clipping: ClippingParameters
    early_stopping: EarlyStoppingParameters
    not_a_number: RecoveryParameters
    checkpoint_every_steps: Annotated[int, Field(ge=1)]
    progress_seconds: Positive
    tensorboard_folder: Annotated[str, Field(min_length=1)] | None
    timeout: Annotated[timedelta, Field(gt=timedelta())]

    @model_validator(mode="after")
    def _grid_is_known(self) -> Self:
        if self.class_grid is None:
            return self
        if self.class_grid not in self.class_grids:
            known = ", ".join(self.class_grids) or "none"
            raise ValueError(f"class_grid is {self.class_grid!r}, class_grids has {known}: name one of them, or null")
        if stated_class_weights(self.loss) is not None:
            raise ValueError(
                f"class_grid {self.class_grid!r} and class_weights of the loss: those of one grid's classes cannot be "
                "taken out of another's, give one of them only"
            )
        return self

    @property
    def parts(self) -> int:
        """Parts that a step is computed in.

        Raises:
            TrainingError: They were not settled yet.
        """
        if self.parts_per_step == "auto":
            raise TrainingError("parts_per_step is auto and was not measured yet -> choose the parts before training")
        return self.parts_per_step

    @property
    def segments_together(self) -> int:
        """Segments that are computed together where nothing is learnt: those of a part, over all processes."""
        return -(-self.segments_per_step // self.parts)

    def in_parts(self, parts: int) -> Self:
        """Return the same with the parts of a step settled."""
        return self.model_copy(update={"parts_per_step": parts})

    def what_decides(self) -> dict[str, Any]:
        """Return what the weights follow from, as plain values; of class grids the chosen one alone."""
        stated = self.model_dump(mode="json", exclude=set(WITHOUT_EFFECT) | {"class_grid", "class_grids"})
        if self.class_grid is None:
            return stated
        return {**stated, "class_grid": {self.class_grid: self.class_grids[self.class_grid].model_dump(mode="json")}}

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of what the weights follow from."""
        text = json.dumps(self.what_decides(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class TrainingSpec(Parameters):
    """What one training process does; travels as JSON.

    Attributes:
        store_root: Root of the artifact store.
        experiment: Dataset to train on.
        model_name: Name of the configured model.
        family: Its family.
        model: Parameters of that family, as plain values.
        training: How to train.
        seeds: Members to train, in this order; a trial of a study may train fewer than the final model.
        output_folder: Scratch folder of the results.
        mode: `fit` predicts validation, calibration and test; `search` predicts validation only, so that a study
            cannot see the held-out blocks.
        fold: Fold of the dataset, counted from 0, that stands in for its train and validation blocks; None for those.
        weights: Weights of the dataset's training rows in place of its own, as plain values; None leaves them.
        code_version: Recorded in the sidecars.
    """

    store_root: str
    experiment: str
    model_name: str
    family: str
    model: dict[str, Any]
    training: TrainingParameters
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    output_folder: str
    mode: Literal["fit", "search"]
    fold: Annotated[int, Field(ge=0)] | None
    weights: dict[str, Any] | None
    code_version: str

    @model_validator(mode="after")
    def _fold_is_searched(self) -> Self:
        if self.fold is not None and self.mode != "search":
            raise ValueError("a fold has no calibration and test rows to predict: train it with mode search")
        return self
