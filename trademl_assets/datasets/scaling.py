"""Centres and scales of stream columns, fitted on training rows only; a model's input layer applies them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.splits import Block
from trademl_assets.foundation.parameters import Parameters

MATRIX = 2


Method = Literal["robust", "standard", "min_max"]


class ScalingParameters(Parameters):
    """Statistics a model's input layer applies, fitted on training rows.

    `robust`: median and the spread between two quantiles, in units that make a normal column's scale its standard
    deviation. `standard`: mean and standard deviation. `min_max`: the middle of the least and the greatest value
    and half their distance, so that training values lie in [-1, 1]. `method_by_stream` names streams that have
    another method than `method`. Scales below `constant_below` become 1 and the column is listed as constant;
    `floors` (column name without its instrument -> least scale) come first. At most `rows_at_most` evenly spaced
    rows enter a fit. Scaled values are clipped to [-clip, clip].
    """

    method: Method
    method_by_stream: dict[str, Method]
    lower_quantile: float = Field(gt=0, lt=0.5)
    upper_quantile: float = Field(gt=0.5, lt=1)
    constant_below: float = Field(gt=0)
    floors: dict[str, float]
    clip: float = Field(gt=0)
    rows_at_most: int = Field(gt=0)

    def of(self, stream: str) -> Self:
        """Return what holds for a stream."""
        return self.model_copy(update={"method": self.method_by_stream.get(stream, self.method)})


@dataclass(frozen=True)
class FittedScaling:
    """scaled = clip((x - center) / scale, -clip, clip); `constant` names the columns that did not vary."""

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    clip: float
    constant: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the recipe."""
        return {
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "clip": self.clip,
            "constant": list(self.constant),
        }


def training_steps(instants_us: NDArray[np.int64], blocks: Sequence[Block]) -> NDArray[np.bool_]:
    """(T,) which grid steps lie in a training block."""
    inside = np.zeros(len(instants_us), dtype=np.bool_)
    for block in blocks:
        if block.part == "train":
            inside |= (instants_us >= block.first_us) & (instants_us < block.last_us)
    return inside


def evenly_spaced(rows: NDArray[np.int64], at_most: int) -> NDArray[np.int64]:
    """`rows`, thinned evenly to at most `at_most` (both ends kept)."""
    if len(rows) <= at_most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, at_most).round().astype(np.int64)]


def fit_scaling(rows: NDArray[Any], columns: Sequence[str], parameters: ScalingParameters) -> FittedScaling:
    """Fit every column of `rows` over its first axis, by the method of `ScalingParameters`.

    `robust` divides (upper - lower quantile) by the same distance of a standard normal.

    Args:
        rows: (n, ..., columns) training rows; NaN are left out; n = 0 gives centre 0, scale 1.
        columns: names of the last axis, each "instrument:name" or "name"; floors go by the name.
        parameters: method, quantiles, floors, clip.
    """
    shape = rows.shape[1:]
    if not len(rows):
        return FittedScaling(np.zeros(shape), np.ones(shape), parameters.clip, tuple(columns))
    if rows.ndim > MATRIX:
        fitted = [fit_scaling(rows[:, level], columns, parameters) for level in range(shape[0])]
        constant = set.intersection(*(set(part.constant) for part in fitted))
        return FittedScaling(
            np.stack([part.center for part in fitted]),
            np.stack([part.scale for part in fitted]),
            parameters.clip,
            tuple(name for name in columns if name in constant),
        )
    values = rows.astype(np.float64)
    values = np.where(np.isnan(values).all(axis=0), 0.0, values)
    center, scale = _fit_columns(values, parameters)
    floors = np.asarray([parameters.floors.get(name.rsplit(":", 1)[-1], 0.0) for name in columns])
    scale = np.maximum(scale, floors)
    constant = ~(scale >= parameters.constant_below)
    names = tuple(name for name, flat in zip(columns, constant, strict=True) if flat)
    return FittedScaling(np.asarray(center), np.where(constant, 1.0, scale), parameters.clip, names)


def _fit_columns(values: NDArray[np.float64], parameters: ScalingParameters) -> tuple[NDArray[Any], NDArray[Any]]:
    match parameters.method:
        case "robust":
            levels = [parameters.lower_quantile, 0.5, parameters.upper_quantile]
            quantile = np.nanquantile if np.isnan(values).any() else np.quantile
            low, center, high = quantile(values, levels, axis=0)
            return center, (high - low) / (
                scipy.special.ndtri(parameters.upper_quantile) - scipy.special.ndtri(parameters.lower_quantile)
            )
        case "standard":
            return np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        case "min_max":
            low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
            return (low + high) / 2, (high - low) / 2
