"""The configured sequence of preprocessing steps: checked to fit together, then run over a day."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Self, TypeVar

import polars as pl
from pydantic import AfterValidator, Field, PlainValidator, SerializeAsAny, model_validator

from trademl_assets.foundation.choice import chosen, known
from trademl_assets.foundation.parameters import Parameters, combine_fingerprints
from trademl_assets.order_book import standard_steps  # noqa: F401 -- importing registers the steps
from trademl_assets.order_book.certificate import CertificateParameters
from trademl_assets.order_book.compression import CompressionParameters
from trademl_assets.order_book.coverage import CoverageParameters
from trademl_assets.order_book.quality import QualityParameters
from trademl_assets.order_book.steps import PREPROCESSING_STEPS, DayMaterial, Form

P = TypeVar("P", bound=Parameters)


class StepChoice(Parameters):
    """A configured step.

    Attributes:
        step: Registered name of the step.
        parameters: Parameters of that step.
    """

    step: Annotated[str, AfterValidator(known(PREPROCESSING_STEPS.get))]
    parameters: Annotated[
        SerializeAsAny[Parameters],
        PlainValidator(chosen("step", lambda name: PREPROCESSING_STEPS.get(name).parameters)),
    ]


class OrderBookParameters(Parameters):
    """How raw rows become snapshots, and what that may cost.

    Attributes:
        steps: The steps in their order; each takes what the one before it gives, from raw rows to snapshots.
        certificate: What is measured of the loss, and how much of it is allowed.
        coverage: What makes a range of days worth training on.
    """

    steps: Annotated[tuple[StepChoice, ...], Field(min_length=1)]
    certificate: CertificateParameters
    coverage: CoverageParameters

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        names = [choice.step for choice in self.steps]
        kinds = [PREPROCESSING_STEPS.get(name) for name in names]
        if kinds[0].takes != "raw rows" or kinds[-1].gives != "snapshots":
            raise ValueError(
                f"steps {names} lead from {kinds[0].takes} to {kinds[-1].gives} -> begin with one that takes raw rows "
                "(clean) and end with one that gives snapshots (compress)"
            )
        for (name, kind), (later_name, later) in pairwise(zip(names, kinds, strict=True)):
            if kind.gives != later.takes:
                raise ValueError(
                    f"step {later_name} takes {later.takes}, but {name} before it gives {kind.gives} "
                    "-> change the order"
                )
        for needed in ("clean", "compress"):
            if names.count(needed) != 1:
                raise ValueError(f"steps {names} have {names.count(needed)} times {needed!r} -> name it once")
        return self

    @property
    def quality(self) -> QualityParameters:
        """Parameters of the step `clean`."""
        return self._parameters_of("clean", QualityParameters)

    @property
    def compression(self) -> CompressionParameters:
        """Parameters of the step `compress`."""
        return self._parameters_of("compress", CompressionParameters)

    def steps_from(self, form: Form) -> tuple[StepChoice, ...]:
        """Return the steps that a day passes which enters in a form: from the first on that takes it."""
        takers = [n for n, choice in enumerate(self.steps) if PREPROCESSING_STEPS.get(choice.step).takes == form]
        return tuple(self.steps[takers[0] :]) if takers else ()

    def fingerprint_from(self, form: Form) -> str:
        """Fingerprint of what snapshots of a day depend on that enters in a form.

        Steps before the first that takes the form do not count, nor does what the certificate allows, which a check
        reads.
        """
        parts = [choice.fingerprint() for choice in self.steps_from(form)]
        measured = self.certificate.measured() if form == "raw rows" else f"{self.compression.slots} slots"
        return combine_fingerprints(*parts, measured)

    def _parameters_of(self, name: str, kind: type[P]) -> P:
        found = next(choice.parameters for choice in self.steps if choice.step == name)
        assert isinstance(found, kind)  # noqa: S101 -- the registry gave the step these parameters
        return found


def preprocess(frame: pl.DataFrame, form: Form, steps: Sequence[StepChoice], material: DayMaterial) -> pl.DataFrame:
    """Run the steps over a day.

    Args:
        frame: What there is of the day.
        form: Its form; steps before the first that takes this form are left out, so that history which is compressed
            already passes only through the steps on snapshots.
        steps: The configured steps.
        material: What the steps know; they write what they found into it.

    Returns:
        The snapshots.

    Raises:
        DataQualityError: The day cannot be used; names instrument and day.
    """
    begun = False
    for choice in steps:
        kind = PREPROCESSING_STEPS.get(choice.step)
        begun = begun or kind.takes == form
        if begun:
            frame = kind(choice.parameters).apply(frame, material)
    return frame
