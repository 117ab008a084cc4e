"""The contract of a label kind: what every decision comes to, which classes there are; and the registry of kinds.

A kind of another package derives from `LabelKind` like `PriceClasses` in `price_classes` and is offered under the entry
point group `trademl_assets.labels`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
EdgeUnit = Literal["return_bps", "sigma", "none"]


@dataclass(frozen=True)
class Outcomes:
    """What n decisions came to; a kind may add fields of its own, each with the decisions along its first axis.

    Attributes:
        return_bps: (n,) float64 log mid return of the target from decision to label end, NaN where not valid.
        t1_us: (n,) int64 end of the label, microseconds UTC: nothing later was looked at. After the decision, and
            within the horizon.
        valid: (n,) where there is a label: none on a mid that nobody saw.
    """

    return_bps: Floats
    t1_us: NDArray[np.int64]
    valid: NDArray[np.bool_]

    def at(self, rows: NDArray[Any]) -> Self:
        """Return the outcomes of some decisions, chosen by a mask or by positions."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class LabelKind(Protocol):
    """One kind of label; built as `kind(parameters)`. Kinds that derive from it take what they do not state."""

    parameters: ClassVar[type[Parameters]]

    @property
    def external_series(self) -> tuple[str, ...]:
        """Names of the external series it reads; none unless stated."""
        return ()

    @property
    def edge_unit(self) -> EdgeUnit:
        """What its edges cut: the return in bps (unless stated), the return over trailing sigma, or nothing."""
        return "return_bps"

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Look ahead from each decision, up to the label's end and no further.

        Args:
            ingredients: Grid series, trailing sigmas and parameters; `target_position` is the labelled instrument's.
                Steps count in its series, which may be a stretch of the dataset's days only, so instants are read from
                it, never counted.
            steps: (n,) decisions, ascending.
            horizon_seconds: The longest that a label may last, one of `labels.horizons_seconds`.
        """
        ...

    def fit_boundaries(self, training: Outcomes, instrument: str) -> Floats:
        """Set the class edges from the training decisions on the stride, which is all it is shown.

        Args:
            training: Outcomes over one horizon.
            instrument: The labelled instrument.

        Returns:
            (C - 1,) edges in the kind's unit, strictly increasing; of unit `none` (unless stated) an empty array.

        Raises:
            DataQualityError: These decisions cannot set the classes.
        """
        del training, instrument
        return np.empty(0)

    def class_names(self, boundaries: Floats) -> tuple[str, ...]:
        """Return the names of the C classes in their order, those between the edges unless stated; none: no classes."""
        return interval_names(boundaries)

    def classify(self, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
        """Return (n,) int8 classes in [0, C); zeros where there are no classes."""
        ...


LABELS: Registry[type[Any]] = Registry("label kind", "trademl_assets.labels")
"""Label kinds by name: classes that keep to `LabelKind`."""


def interval_names(edges: Floats) -> tuple[str, ...]:
    """Names of the half-open classes that at least one edge makes."""
    shown = [f"{edge:.4g}" for edge in edges]
    return (f"< {shown[0]}", *(f"[{low}, {high})" for low, high in pairwise(shown)), f">= {shown[-1]}")


def find_outcomes(
    kind: LabelKind, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int
) -> Outcomes:
    """Ask a kind for the outcomes of decisions over a horizon and hold it to its contract.

    Raises:
        ConfigError: A label is as long as no purging expects, or says that it is valid and has no return.
    """
    found = kind.outcomes(ingredients, steps, horizon_seconds)
    who = f"label kind {ingredients.parameters.labels.kind!r}"
    shapes = {field.name: getattr(found, field.name).shape[:1] for field in fields(found)}
    if set(shapes.values()) != {steps.shape}:
        raise ConfigError(f"{who} gives {shapes} for {len(steps)} decisions -> it must give one value a decision")
    span = (found.t1_us - ingredients.series.instants_us[steps])[found.valid]
    if np.any(span <= 0) or np.any(span > horizon_seconds * MICROSECONDS_PER_SECOND):
        raise ConfigError(
            f"{who} gives labels that last from {span.min() / MICROSECONDS_PER_SECOND} to "
            f"{span.max() / MICROSECONDS_PER_SECOND} s -> they must end after their decision and within "
            f"their horizon of labels.horizons_seconds ({horizon_seconds})"
        )
    if not np.isfinite(found.return_bps[found.valid]).all():
        raise ConfigError(f"{who} gives valid labels without a return -> valid must be false there")
    return found


def find_boundaries(kind: LabelKind, training: Outcomes, instrument: str) -> Floats:
    """Have a kind set its class edges from training decisions and hold it to its contract.

    Raises:
        ConfigError: The edges are none, not finite or do not increase; or there are edges that cut nothing.
        DataQualityError: The decisions cannot set the classes.
    """
    edges = np.asarray(kind.fit_boundaries(training, instrument), dtype=np.float64)
    cuts = kind.edge_unit != "none"
    if edges.ndim != 1 or cuts != bool(len(edges)) or not np.isfinite(edges).all() or np.any(np.diff(edges) <= 0):
        raise ConfigError(
            f"label kind {type(kind).__name__} cuts classes at {edges.tolist()}, edge unit {kind.edge_unit} -> edges "
            "must be finite, increase strictly and be at least one, or none of unit none"
        )
    return edges


def find_classes(kind: LabelKind, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
    """Have a kind classify decisions and hold it to its contract.

    Raises:
        ConfigError: A class has no name.
    """
    classes, names = kind.classify(outcomes, boundaries), kind.class_names(boundaries)
    last = max(len(names) - 1, 0)
    if classes.dtype != np.int8 or np.any(classes < 0) or np.any(classes > last):
        raise ConfigError(
            f"label kind {type(kind).__name__} gives {classes.dtype} classes from {classes.min()} to {classes.max()} "
            f"-> its {len(names)} class names are those of int8 classes from 0 to {last}"
        )
    return classes


def return_edges_bps(recipe: Mapping[str, Any]) -> Floats:
    """(C - 1,) edges of a dataset's classes, in bps of the log mid return over the primary horizon.

    Args:
        recipe: Of the dataset.

    Raises:
        ConfigError: Its classes are not intervals of the return in bps.
    """
    if recipe["boundaries_bps"] is None:
        kind, classes = recipe["labels"]["kind"], ", ".join(recipe["class_names"]) or "none"
        raise ConfigError(
            f"labels of kind {kind!r} are not cut by the return in bps (classes: {classes}), and what is asked for "
            "needs such edges -> choose labels.kind price_classes with edges in bps, or a softmax head"
        )
    return np.asarray(recipe["boundaries_bps"], dtype=np.float64)
