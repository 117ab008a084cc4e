"""Label kind `given`: classes that an external series states about each decision, for example buy signals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.datasets.label_kinds import LABELS, EdgeUnit, LabelKind, Outcomes
from trademl_assets.datasets.labels import forward_outcomes
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
NO_CLASS = -1
SHOWN = 5


class GivenClass(Parameters):
    """A class by its name and the value that stands for it."""

    name: str = Field(min_length=1)
    value: float = Field(allow_inf_nan=False)


class GivenParameters(Parameters):
    """Parameters of `given`.

    `series` names the external series. A label is its value about the decision (`ts` at it, or at most
    `max_age_seconds` earlier) and ends `span_seconds` later: whatever it was made from must lie before, so a value that
    was published after that is none. `classes` are in the order of their numbers.
    """

    series: str
    span_seconds: int = Field(gt=0)
    max_age_seconds: int = Field(ge=0)
    classes: tuple[GivenClass, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        for what in ("name", "value"):
            found = [getattr(one, what) for one in self.classes]
            if len(set(found)) != len(found):
                raise ValueError(f"classes repeat a {what}: {found}")
        return self


@dataclass(frozen=True)
class GivenOutcomes(Outcomes):
    """Outcomes beside the value that was given.

    Attributes:
        value: (n,) float64, NaN where there is none.
    """

    value: Floats


@LABELS.register("given")
class GivenLabels(LabelKind):
    """Classes as published; the mids at both ends of the span must have been observed."""

    parameters: ClassVar[type[Parameters]] = GivenParameters

    def __init__(self, parameters: GivenParameters) -> None:
        self._stated = parameters

    @property
    def external_series(self) -> tuple[str, ...]:
        """The one series."""
        return (self._stated.series,)

    @property
    def edge_unit(self) -> EdgeUnit:
        """The classes are not cut at edges."""
        return "none"

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Look up what was said about each decision by the end of its span."""
        del horizon_seconds  # the span is the kind's own, and held against the horizon by the contract
        found = forward_outcomes(ingredients, steps, self._stated.span_seconds)
        t0 = ingredients.series.instants_us[steps]
        value = _values_about(ingredients.external[self._stated.series], t0, found.t1_us, self._stated.max_age_seconds)
        valid = found.valid & ~np.isnan(value)
        return GivenOutcomes(np.where(valid, found.return_bps, np.nan), found.t1_us, valid, value)

    def fit_boundaries(self, training: Outcomes, instrument: str) -> Floats:
        """No edges.

        Raises:
            DataQualityError: A training decision was given a value that stands for no class.
        """
        strange = np.unique(_values_of(training)[self.classify(training, np.empty(0)) == NO_CLASS])
        if len(strange):
            raise DataQualityError(
                f"external series {self._stated.series!r} gives {instrument} the values {strange[:SHOWN].tolist()}, "
                "which stand for no class -> name them in labels.parameters.classes"
            )
        return np.empty(0)

    def class_names(self, boundaries: Floats) -> tuple[str, ...]:
        """As configured."""
        del boundaries
        return tuple(one.name for one in self._stated.classes)

    def classify(self, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
        """The class that each value stands for, NO_CLASS, which is refused, where it stands for none."""
        del boundaries
        values = _values_of(outcomes)
        classes = np.full(len(values), NO_CLASS, np.int8)
        for number, one in enumerate(self._stated.classes):
            classes[values == one.value] = number
        return classes


def _values_of(outcomes: Outcomes) -> Floats:
    assert isinstance(outcomes, GivenOutcomes)  # noqa: S101 -- outcomes of this kind
    return outcomes.value


def _values_about(series: pl.DataFrame, t0_us: NDArray[np.int64], t1_us: NDArray[np.int64], max_age: int) -> Floats:
    """(n,) values about the latest `ts` at or before each t0, as published last by t1; NaN where there is none."""
    rows = series.select(pl.col("ts", "published").to_physical(), "value").sort("ts", "published")
    about = rows["ts"].unique(maintain_order=True).to_numpy()
    if not len(about):
        return np.full(len(t0_us), np.nan)
    at = np.searchsorted(about, t0_us, side="right") - 1
    told = (at >= 0) & (t0_us - about[np.maximum(at, 0)] <= max_age * MICROSECONDS_PER_SECOND)
    asked = pl.DataFrame({"row": np.arange(len(t0_us)), "ts": about[np.maximum(at, 0)], "published": t1_us})
    found = (
        asked.sort("published", maintain_order=True)
        .join_asof(rows.sort("published", maintain_order=True), on="published", by="ts", check_sortedness=False)
        .sort("row")
    )
    return np.where(told, found["value"].fill_null(np.nan).to_numpy(), np.nan)
