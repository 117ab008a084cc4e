"""The typed parameters of labels, shaped as they stand in YAML, and the kinds of labels that the platform brings."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, PlainValidator, SerializeAsAny, model_validator

from trademl_assets.datasets import future_return, given_labels, next_move, price_classes, triple_barrier  # noqa: F401 -- importing registers the kinds
from trademl_assets.datasets.label_kinds import LABELS, LabelKind
from trademl_assets.foundation.choice import chosen, known
from trademl_assets.foundation.parameters import Parameters


class LabelParameters(Parameters):
    """What is foretold, and when it is decided: the kind of label, and what all kinds share.

    `kind` names the kind of label and `parameters` are its own. `horizons_seconds`: every decision has a label for
    each, which lasts no longer; models are trained and judged on the first, the primary one.
    `decision_stride_seconds` places the decisions every part has, counted from `decision_phase_seconds` after each
    midnight; `training_phase_seconds` places the additional training-only ones and divides the stride (equal to it:
    none). A mid at either end of a label must have been observed at most `max_mid_age_seconds` before its grid instant.
    A class with fewer than `minimum_class_support` training samples on the stride is warned of.
    """

    horizons_seconds: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    decision_stride_seconds: int = Field(gt=0)
    decision_phase_seconds: int = Field(ge=0)
    training_phase_seconds: int = Field(gt=0)
    max_mid_age_seconds: float = Field(ge=0)
    minimum_class_support: int = Field(ge=0)
    kind: Annotated[str, AfterValidator(known(LABELS.get))]
    parameters: Annotated[
        SerializeAsAny[Parameters], PlainValidator(chosen("kind", lambda kind: LABELS.get(kind).parameters))
    ]

    @model_validator(mode="after")
    def _decisions_fit(self) -> Self:
        if len(set(self.horizons_seconds)) != len(self.horizons_seconds):
            raise ValueError(f"horizons_seconds repeat: {list(self.horizons_seconds)}")
        if self.decision_stride_seconds % self.training_phase_seconds:
            raise ValueError(
                f"training_phase_seconds ({self.training_phase_seconds}) must divide "
                f"decision_stride_seconds ({self.decision_stride_seconds})"
            )
        if self.decision_phase_seconds >= self.decision_stride_seconds:
            raise ValueError(
                f"decision_phase_seconds ({self.decision_phase_seconds}) must be less than "
                f"decision_stride_seconds ({self.decision_stride_seconds})"
            )
        return self

    @property
    def horizon_seconds(self) -> int:
        """The primary horizon."""
        return self.horizons_seconds[0]

    @property
    def longest_horizon_seconds(self) -> int:
        """The longest that any label lasts."""
        return max(self.horizons_seconds)

    def build(self) -> LabelKind:
        """Build the kind of label with its parameters."""
        kind: LabelKind = LABELS.get(self.kind)(self.parameters)
        return kind

    @property
    def external_series(self) -> tuple[str, ...]:
        """Names of the external series that the kind of label reads."""
        return self.build().external_series
