"""What an opened dataset states of itself: its grid, instruments, classes, streams and statistics, from its recipe."""

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.label_kinds import return_edges_bps
from trademl_assets.datasets.parameters import SECONDS_PER_DAY
from trademl_assets.datasets.stream_scaling import Scaling
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import ConfigError

LONG_TERM = "long_term"
STREAMS = ("book", "price", "mask", "clock", LONG_TERM)


class DatasetFacts:
    """Facts of a dataset, without its data.

    Attributes:
        experiment: its name, the partition of the `dataset` asset.
        recipe: everything that was decided or fitted (JSON): boundaries, scaling, streams, upstream hashes, counts.
    """

    def __init__(self, experiment: str, recipe: Mapping[str, Any]) -> None:
        self.experiment = experiment
        self.recipe = recipe

    @property
    def cadence_seconds(self) -> int:
        """Seconds between two grid steps."""
        return int(self.recipe["cadence_seconds"])

    @property
    def cadence_us(self) -> int:
        """Microseconds between two grid steps."""
        return self.cadence_seconds * MICROSECONDS_PER_SECOND

    @property
    def steps_per_day(self) -> int:
        """Grid steps of a day."""
        return SECONDS_PER_DAY // self.cadence_seconds

    @property
    def steps(self) -> int:
        """Grid steps of all days together."""
        return self.steps_per_day * len(self.days)

    @cached_property
    def days(self) -> tuple[date, ...]:
        """The days of the grid, both ends inclusive."""
        return tuple(date.fromisoformat(day) for day in self.recipe["days"])

    @property
    def instruments(self) -> tuple[str, ...]:
        """Instruments in the order of the streams' columns."""
        return tuple(self.recipe["instruments"])

    @property
    def target(self) -> str:
        """The labelled instrument; the primary one where several are."""
        return str(self.recipe["target"])

    @property
    def targets(self) -> tuple[str, ...]:
        """All labelled instruments, the primary one first."""
        return tuple(self.recipe["targets"])

    @property
    def horizon_seconds(self) -> int:
        """The primary horizon: the longest that its labels last."""
        return int(self.recipe["labels"]["horizons_seconds"][0])

    @cached_property
    def boundaries_bps(self) -> NDArray[np.float64]:
        """(C - 1,) class edges of the log mid return in bps; class c is [edges[c-1], edges[c]).

        Raises:
            ConfigError: its classes are cut otherwise, or it has none.
        """
        return return_edges_bps(self.recipe)

    @property
    def classes(self) -> int:
        """Number of classes C; 0 where labels are returns alone."""
        return int(self.recipe["classes"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """(C,) names of the classes."""
        return tuple(self.recipe["class_names"])

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of its streams: of book, price, mask, clock, long_term, in this order, then the additional ones."""
        described = self.recipe["streams"]
        return (*(name for name in STREAMS if name in described), *sorted(set(described) - set(STREAMS)))

    def columns(self, stream: str) -> tuple[str, ...]:
        """Names of a stream's last-axis columns (long_term: its statistics)."""
        return tuple(self._stream(stream)["columns"])

    def step_shape(self, stream: str) -> tuple[int, ...]:
        """Shape of one step.

        book (levels, assets*4), price (assets*5,), mask (assets*4,), clock and additional ones (k,); of one day:
        long_term (stats, assets).
        """
        return tuple(self._stream(stream)["step_shape"])

    def dtype(self, stream: str) -> np.dtype[Any]:
        """Data type of a stream's values."""
        found: np.dtype[Any] = np.dtype(str(self._stream(stream)["dtype"]))
        return found

    def lookback_steps(self, stream: str) -> int:
        """Look-back of a stream in its own steps (long_term: days)."""
        return int(self._stream(stream)["lookback_steps"])

    def scaling(self, stream: str) -> Scaling:
        """Statistics of a stream fitted on training rows; identity (0, 1) for streams that need none (mask, clock)."""
        stated = self.recipe["scaling"].get(stream)
        shape = self.step_shape(stream)
        if stated is None:
            clip = float(self.recipe["parameters"]["scaling"]["clip"])
            return Scaling(np.zeros(shape, np.float32), np.ones(shape, np.float32), clip)
        center = np.asarray(stated["center"], dtype=np.float32).reshape(shape)
        scale = np.asarray(stated["scale"], dtype=np.float32).reshape(shape)
        return Scaling(center, scale, float(stated["clip"]))

    def _stream(self, name: str) -> Mapping[str, Any]:
        try:
            return self.recipe["streams"][name]  # type: ignore[no-any-return]  # JSON, its shape is build.py's
        except KeyError:
            raise ConfigError(
                f"dataset {self.experiment!r} has no stream {name!r}, it has {list(self.streams)}; "
                f"give the dataset's streams.{name} or choose a model that does not read it"
            ) from None
