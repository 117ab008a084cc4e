"""Typed parameters of a training, free of torch; and the specification that its process is given."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.training.loss_parameters import Loss

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Devices = Literal["auto", "cpu", "1", "2"]


class OptimiserParameters(Parameters):
    """AdamW with a warm-up and a cosine.

    Attributes:
        learning_rate: At the end of the warm-up.
        final_learning_rate_share: Of it, at the end of the cosine.
        weight_decay: Decoupled, on matrices only (biases and norms are left free).
        context_weight_decay: Of the matrices that read clock and long term, of which there are few examples.
        warm_up_share: Share of all steps that the rate rises, linearly from zero.
        gradient_clip_norm: Largest norm of a gradient.
    """

    learning_rate: Positive
    final_learning_rate_share: Annotated[float, Field(ge=0, le=1)]
    weight_decay: NotNegative
    context_weight_decay: NotNegative
    warm_up_share: Annotated[float, Field(ge=0, lt=1)]
    gradient_clip_norm: Positive


class EarlyStoppingParameters(Parameters):
    """When the validation log-loss has stopped falling.

    Attributes:
        patience_epochs: Epochs without an improvement after which training ends.
        minimum_improvement: Nats that count as one.
    """

    patience_epochs: Annotated[int, Field(ge=1)]
    minimum_improvement: NotNegative


class TrainingParameters(Parameters):
    """How models are trained.

    Attributes:
        seeds: One member of the ensemble each; the ensemble is the mean of their probabilities.
        devices: `auto` takes the CUDA devices there are (two at most), else the CPU; `cpu`; `1`; `2` processes.
        threads: CPU threads of a process.
        max_epochs: Passes over the training segments, each at one random phase.
        segments_per_step: Segments whose decisions make one step of optimisation.
        weight_average_decay: Of the exponential moving average of weights that is validated and kept; null for none.
        loss: What is minimised; validation is always judged by the log-loss.
        optimiser: Rates and decay.
        early_stopping: When to end.
        progress_seconds: Least time between two lines of progress.
    """

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    devices: Devices
    threads: Annotated[int, Field(ge=1)]
    max_epochs: Annotated[int, Field(ge=1)]
    segments_per_step: Annotated[int, Field(ge=1)]
    weight_average_decay: Annotated[float, Field(gt=0, lt=1)] | None
    loss: Loss
    optimiser: OptimiserParameters
    early_stopping: EarlyStoppingParameters
    progress_seconds: Positive


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
