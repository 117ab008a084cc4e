"""Typed parameters of how weights are moved: optimiser, rate over time, bounds of gradients, what ends a training."""

from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.parameters import Parameters

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamParameters(Parameters):
    """Adam, or AdamW whose weight decay is decoupled from the gradient.

    Attributes:
        kind: Which of the two.
        learning_rate: The highest.
        weight_decay: On matrices only (biases and norms are left free).
        context_weight_decay: Of the matrices that read clock and long term, of which there are few examples.
        betas: Decay of the running mean of gradients and of their squares.
        epsilon: Added to the root of the squares.
        fused: Whether a step is one kernel over all weights; rounds otherwise.
    """

    kind: Literal["adamw", "adam"]
    learning_rate: Positive
    weight_decay: NotNegative
    context_weight_decay: NotNegative
    betas: tuple[Decay, Decay]
    epsilon: Positive
    fused: bool


class SgdParameters(Parameters):
    """Stochastic gradient descent.

    Attributes:
        kind: `sgd`.
        learning_rate: The highest.
        weight_decay: On matrices only.
        context_weight_decay: Of the matrices that read clock and long term.
        momentum: Share of the last step that is kept.
        nesterov: Whether the gradient is looked ahead.
        fused: Whether a step is one kernel over all weights; rounds otherwise.
    """

    kind: Literal["sgd"]
    learning_rate: Positive
    weight_decay: NotNegative
    context_weight_decay: NotNegative
    momentum: Decay
    nesterov: bool
    fused: bool


OptimiserParameters = Annotated[AdamParameters | SgdParameters, Field(discriminator="kind")]


class CosineSchedule(Parameters):
    """A linear warm-up, then a cosine.

    Attributes:
        kind: `cosine`.
        warm_up_share: Share of all steps that the rate rises, linearly from zero.
        final_learning_rate_share: Of the highest rate, at the end.
    """

    kind: Literal["cosine"]
    warm_up_share: Decay
    final_learning_rate_share: Share


class PlateauSchedule(Parameters):
    """The rate falls when the validation log-loss has stopped falling.

    Attributes:
        kind: `reduce_on_plateau`.
        factor: By which the rate falls.
        patience_epochs: Epochs without an improvement after which it does.
        minimum_improvement: Nats that count as one.
        final_learning_rate_share: Of the highest rate, below which it does not fall.
    """

    kind: Literal["reduce_on_plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience_epochs: Annotated[int, Field(ge=0)]
    minimum_improvement: NotNegative
    final_learning_rate_share: Share


class ConstantSchedule(Parameters):
    """One rate throughout.

    Attributes:
        kind: `constant`.
    """

    kind: Literal["constant"]


ScheduleParameters = Annotated[CosineSchedule | PlateauSchedule | ConstantSchedule, Field(discriminator="kind")]


class ClippingParameters(Parameters):
    """Bounds of gradients; the value is bounded first, then the norm.

    Attributes:
        value: Largest size of an entry; null for no bound.
        norm: Largest norm of all together; null for no bound.
    """

    value: Positive | None
    norm: Positive | None


class ThresholdParameters(Parameters):
    """A value that is good enough.

    Attributes:
        metric: `validation_log_loss` ends training when it is at most `value`, `validation_accuracy` when at least.
        value: In nats, or as a share.
    """

    metric: Literal["validation_log_loss", "validation_accuracy"]
    value: NotNegative


class EarlyStoppingParameters(Parameters):
    """When training ends before its last epoch.

    Attributes:
        patience_epochs: Epochs without an improvement of the validation log-loss after which it does.
        minimum_improvement: Nats that count as one.
        threshold: What is good enough; null for nothing.
    """

    patience_epochs: Annotated[int, Field(ge=1)]
    minimum_improvement: NotNegative
    threshold: ThresholdParameters | None


class RecoveryParameters(Parameters):
    """What is done about a loss that is not a number.

    Attributes:
        retries: How often the last good checkpoint is restored; then the training fails.
        learning_rate_factor: By which the rate is lowered each time.
    """

    retries: Annotated[int, Field(ge=0)]
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1)]
