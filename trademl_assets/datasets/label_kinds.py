"""The contract of a label kind: what every decision comes to, where its classes are cut; and the registry of kinds.

A kind of another package is a class like `PriceClasses` in `price_classes`, offered under the entry point group
`trademl_assets.labels`.
"""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """What n decisions came to; a kind may add fields of its own, each with the decisions along its first axis.

    Attributes:
        return_bps: (n,) float64 log mid return of the target from decision to label end, NaN where not valid.
        t1_us: (n,) int64 end of the label, microseconds UTC: nothing later was looked at. After the decision, and
            within `labels.horizon_seconds` of it.
        valid: (n,) where there is a label: none on a mid that nobody saw.
    """

    return_bps: Floats
    t1_us: NDArray[np.int64]
    valid: NDArray[np.bool_]

    def at(self, rows: NDArray[Any]) -> Self:
        """Return the outcomes of some decisions, chosen by a mask or by positions."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class LabelKind(Protocol):
    """One kind of label; built as `kind(parameters)`."""

    parameters: ClassVar[type[Parameters]]

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64]) -> Outcomes:
        """Look ahead from each decision, up to the label's end and no further.

        Args:
            ingredients: Grid series, trailing sigmas and parameters; steps count in its series, which may be a stretch
                of the dataset's days only, so instants are read from it, never counted.
            steps: (n,) decisions, ascending.
        """
        ...

    def fit_boundaries(self, training: Outcomes) -> Floats:
        """Set the class edges from the training decisions on the stride, which is all it is shown.

        Returns:
            (C - 1,) edges of the return in bps, strictly increasing.

        Raises:
            DataQualityError: These decisions cannot set the classes.
        """
        ...

    def classify(self, outcomes: Outcomes, boundaries_bps: Floats) -> NDArray[np.int8]:
        """Return (n,) int8 classes in [0, C)."""
        ...


LABELS: Registry[type[Any]] = Registry("label kind", "trademl_assets.labels")
"""Label kinds by name: classes that keep to `LabelKind`."""


def find_outcomes(kind: LabelKind, ingredients: "Ingredients", steps: NDArray[np.int64]) -> Outcomes:
    """Ask a kind for the outcomes of decisions and hold it to its contract.

    Raises:
        ConfigError: A label is as long as no purging expects, or says that it is valid and has no return.
    """
    found = kind.outcomes(ingredients, steps)
    labels = ingredients.parameters.labels
    who = f"label kind {labels.kind!r}"
    shapes = {field.name: getattr(found, field.name).shape[:1] for field in fields(found)}
    if set(shapes.values()) != {steps.shape}:
        raise ConfigError(f"{who} gives {shapes} for {len(steps)} decisions -> it must give one value a decision")
    span = (found.t1_us - ingredients.series.instants_us[steps])[found.valid]
    if np.any(span <= 0) or np.any(span > labels.horizon_seconds * MICROSECONDS_PER_SECOND):
        raise ConfigError(
            f"{who} gives labels that last from {span.min() / MICROSECONDS_PER_SECOND} to "
            f"{span.max() / MICROSECONDS_PER_SECOND} s -> they must end after their decision and within "
            f"labels.horizon_seconds ({labels.horizon_seconds})"
        )
    if not np.isfinite(found.return_bps[found.valid]).all():
        raise ConfigError(f"{who} gives valid labels without a return -> valid must be false there")
    return found


def find_boundaries(kind: LabelKind, training: Outcomes) -> Floats:
    """Have a kind set its class edges from training decisions and hold it to its contract.

    Raises:
        ConfigError: The edges are none, not finite or do not increase.
        DataQualityError: The decisions cannot set the classes.
    """
    edges = np.asarray(kind.fit_boundaries(training), dtype=np.float64)
    if edges.ndim != 1 or not len(edges) or not np.isfinite(edges).all() or np.any(np.diff(edges) <= 0):
        raise ConfigError(
            f"label kind {type(kind).__name__} cuts classes at {edges.tolist()} bps -> edges must be finite, increase "
            "strictly and be at least one"
        )
    return edges


def find_classes(kind: LabelKind, outcomes: Outcomes, boundaries_bps: Floats) -> NDArray[np.int8]:
    """Have a kind classify decisions and hold it to its contract.

    Raises:
        ConfigError: A class is none of those that the edges make.
    """
    classes = kind.classify(outcomes, boundaries_bps)
    if classes.dtype != np.int8 or np.any(classes < 0) or np.any(classes > len(boundaries_bps)):
        raise ConfigError(
            f"label kind {type(kind).__name__} gives {classes.dtype} classes from {classes.min()} to {classes.max()} "
            f"-> {len(boundaries_bps)} edges make int8 classes from 0 to {len(boundaries_bps)}"
        )
    return classes
