"""What a network is told of a dataset: its streams, their statistics, its classes; travels with weights as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.sample_index import stated_edges
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError


@dataclass(frozen=True)
class StreamInput:
    """One stream.

    Attributes:
        shape: Of one step (long_term: of one day).
        columns: Names of the last axis (long_term: of the statistics).
        lookback_steps: Look-back in the stream's own steps.
        center: Subtracted from a value, float32 of `shape`.
        scale: Divides it, float32 of `shape`.
        clip: Bound of a scaled value.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...]
    lookback_steps: int
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float

    def of_columns(self, chosen: Sequence[int]) -> "StreamInput":
        """Return the stream with some positions of its last axis only."""
        named = len(self.columns) == self.shape[-1]
        return StreamInput(
            (*self.shape[:-1], len(chosen)),
            tuple(self.columns[column] for column in chosen) if named else self.columns,
            self.lookback_steps,
            self.center[..., chosen],
            self.scale[..., chosen],
            self.clip,
        )

    def of_slots(self, count: int | None) -> "StreamInput":
        """Return the stream with its first positions of the first axis only; None keeps all."""
        if count is None:
            return self
        shape = (min(count, self.shape[0]), *self.shape[1:])
        return StreamInput(shape, self.columns, self.lookback_steps, self.center[:count], self.scale[:count], self.clip)


@dataclass(frozen=True)
class ModelInputs:
    """All that a network must know to be built.

    Attributes:
        streams: The streams it reads, by name.
        instruments: In the order of the columns.
        target: The primary labelled instrument.
        targets: All labelled instruments, the primary one first.
        horizons_seconds: Horizons of the labels, the primary one first.
        cadence_seconds: Seconds between steps.
        boundaries_bps: (C - 1,) class edges of the log return in bps, of the primary target over the primary horizon;
            None where the classes are cut otherwise.
        edges_bps: The edges of all: by target and horizon, in their order.
        classes: Number of classes C.
    """

    streams: Mapping[str, StreamInput]
    instruments: tuple[str, ...]
    target: str
    targets: tuple[str, ...]
    horizons_seconds: tuple[int, ...]
    cadence_seconds: int
    boundaries_bps: tuple[float, ...] | None
    edges_bps: tuple[tuple[tuple[float, ...], ...], ...] | None
    classes: int

    def stream(self, name: str) -> StreamInput:
        """Return a stream.

        Raises:
            ConfigError: There is no such stream.
        """
        try:
            return self.streams[name]
        except KeyError:
            raise ConfigError(
                f"the model reads the stream {name!r}, the dataset has {sorted(self.streams)} -> switch the stream off "
                f"in the model or give the dataset's streams.{name}"
            ) from None

    def as_json(self) -> dict[str, Any]:
        """Return plain values; `from_json` reads them back exactly."""
        return {
            "streams": {
                name: {
                    "shape": list(stream.shape),
                    "columns": list(stream.columns),
                    "lookback_steps": stream.lookback_steps,
                    "center": stream.center.astype(np.float64).tolist(),
                    "scale": stream.scale.astype(np.float64).tolist(),
                    "clip": None if np.isinf(stream.clip) else stream.clip,
                }
                for name, stream in self.streams.items()
            },
            "instruments": list(self.instruments),
            "target": self.target,
            "targets": list(self.targets),
            "horizons_seconds": list(self.horizons_seconds),
            "cadence_seconds": self.cadence_seconds,
            "boundaries_bps": None if self.boundaries_bps is None else list(self.boundaries_bps),
            "edges_bps": self.edges_bps,
            "classes": self.classes,
        }

    @classmethod
    def from_json(cls, stated: Mapping[str, Any]) -> "ModelInputs":
        """Read what `as_json` returned."""
        streams = {
            name: StreamInput(
                shape=tuple(stream["shape"]),
                columns=tuple(stream["columns"]),
                lookback_steps=int(stream["lookback_steps"]),
                center=np.asarray(stream["center"], np.float32).reshape(stream["shape"]),
                scale=np.asarray(stream["scale"], np.float32).reshape(stream["shape"]),
                clip=float("inf") if stream["clip"] is None else float(stream["clip"]),
            )
            for name, stream in stated["streams"].items()
        }
        return cls(
            streams,
            tuple(stated["instruments"]),
            str(stated["target"]),
            tuple(stated["targets"]),
            tuple(int(horizon) for horizon in stated["horizons_seconds"]),
            int(stated["cadence_seconds"]),
            _floats(stated["boundaries_bps"]),
            _nested(stated["edges_bps"]),
            int(stated["classes"]),
        )


def inputs_of(dataset: Dataset) -> ModelInputs:
    """Return what a network is told of a dataset: all streams it has.

    Raises:
        ConfigError: Its labels have no classes.
    """
    if not dataset.classes:
        raise ConfigError(
            f"dataset {dataset.experiment!r}: labels of kind {dataset.recipe['labels']['kind']!r} have no classes, and "
            "models forecast classes -> give labels.parameters.edges_bps or choose another labels.kind"
        )
    boundaries = _floats(dataset.recipe["boundaries_bps"])
    streams = {}
    for name in dataset.streams:
        scaling = dataset.scaling(name)
        streams[name] = StreamInput(
            dataset.step_shape(name),
            dataset.columns(name),
            dataset.lookback_steps(name),
            scaling.center,
            scaling.scale,
            scaling.clip,
        )
    return ModelInputs(
        streams,
        dataset.instruments,
        dataset.target,
        dataset.targets,
        tuple(int(horizon) for horizon in dataset.recipe["labels"]["horizons_seconds"]),
        dataset.cadence_seconds,
        boundaries,
        None if boundaries is None else _stated_edges(dataset.recipe),
        dataset.classes,
    )


def _floats(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)


def _nested(edges: Sequence[Sequence[Sequence[float]]] | None) -> tuple[tuple[tuple[float, ...], ...], ...] | None:
    if edges is None:
        return None
    return tuple(tuple(tuple(float(edge) for edge in each) for each in of_target) for of_target in edges)


def _stated_edges(recipe: Mapping[str, Any]) -> tuple[tuple[tuple[float, ...], ...], ...] | None:
    edges, horizons = stated_edges(recipe), recipe["labels"]["horizons_seconds"]  # a recipe's keys lie sorted as texts
    return _nested([[edges[target][int(horizon)].tolist() for horizon in horizons] for target in recipe["targets"]])
