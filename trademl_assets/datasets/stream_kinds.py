"""The contract of an additional stream: columns a dataset computes beside its own; and the registry of kinds.

A kind of another package is a class like `ExternalSeries` in `external_stream`, offered under the entry point group
`trademl_assets.streams`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients
    from trademl_assets.datasets.parameters import AdditionalStream


class StreamKind(Protocol):
    """One kind of stream; built as `kind(parameters)`.

    A kind whose values carry targets of earlier decisions also states `lagged_target_seconds`, a tuple of its lags.
    None may be shorter than the horizon: such a target has not ended at the step that shows it.
    """

    parameters: ClassVar[type[Parameters]]

    @property
    def external_series(self) -> tuple[str, ...]:
        """Names of the external series that it reads; they are pinned with the dataset. None: ()."""
        ...

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        """Names of its columns, "instrument:name" or "name", for the instruments in the dataset's order."""
        ...

    def compute(self, ingredients: "Ingredients") -> NDArray[np.float32]:
        """Compute the columns at every step of the ingredients' series.

        The value at a step is what is known at its instant: from steps up to it, from days that ended before it, from
        external values published by then. The series may be a stretch of the dataset's days only, so instants are read
        from it, never counted. Nothing is fitted here: the platform scales by statistics of training rows.

        Returns:
            (T, columns) float32, finite.
        """
        ...


STREAMS: Registry[type[Any]] = Registry("stream kind", "trademl_assets.streams")
"""Kinds of additional streams by name: classes that keep to `StreamKind`."""


def additional_columns(ingredients: "Ingredients", name: str) -> tuple[str, ...]:
    """Names of the columns of an additional stream."""
    return _build(ingredients, name).columns(ingredients.parameters.instruments)


def make_additional(ingredients: "Ingredients", name: str) -> NDArray[np.float32]:
    """Compute an additional stream over the ingredients' series and hold its kind to the contract.

    Returns:
        (T, columns) float32.

    Raises:
        ConfigError: The kind gives something else than float32 of one row a step and one value a column.
        DataQualityError: A value is not finite.
    """
    values = _build(ingredients, name).compute(ingredients)
    who = f"stream {name!r} of kind {ingredients.parameters.streams.additional[name].kind!r}"
    expected = (ingredients.series.steps, len(additional_columns(ingredients, name)))
    if values.shape != expected or values.dtype != np.float32:
        raise ConfigError(f"{who} gives {values.dtype} {values.shape} -> it must give float32 {expected}")
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        raise DataQualityError(f"{who} is not finite at {len(wrong)} steps, the first is step {wrong[0]}")
    return values


def declared_lags(additional: Mapping[str, "AdditionalStream"]) -> dict[str, tuple[int, ...]]:
    """Lags in seconds of the targets that additional streams carry, by name; streams that carry none are left out."""
    lags = {name: tuple(getattr(stream.build(), "lagged_target_seconds", ())) for name, stream in additional.items()}
    return {name: stated for name, stated in lags.items() if stated}


def refuse_short_lags(lags: Mapping[str, tuple[int, ...]], horizon_seconds: int) -> None:
    """Refuse lagged targets that have not ended when they are shown.

    Raises:
        ValueError: Naming the stream and its lags that are shorter than the horizon.
    """
    for name, stated in lags.items():
        if short := sorted(lag for lag in stated if lag < horizon_seconds):
            raise ValueError(
                f"stream {name!r} carries targets lagged by {short} s, which last {horizon_seconds} s: they have not "
                "ended when they are shown -> give it lags of at least the longest horizon"
            )


def _build(ingredients: "Ingredients", name: str) -> StreamKind:
    return ingredients.parameters.streams.additional[name].build()
