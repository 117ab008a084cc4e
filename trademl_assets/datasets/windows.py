"""The opened dataset: a sample index over memory-mapped streams, gathered by step range."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.inputs import DATASET_ASSET, GRID_ASSET
from trademl_assets.datasets.parameters import SECONDS_PER_DAY, Part
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError
from trademl_assets.storage.commit import ArtifactStore

LONG_TERM = "long_term"
STREAMS = ("book", "price", "mask", "clock", LONG_TERM)


@dataclass(frozen=True)
class Segment:
    """A contiguous stretch of grid steps shared by all samples of its cell.

    Attributes:
        first_step: first step of the stretch (inclusive, global grid step).
        last_step: end of the stretch (exclusive).
        rows: (n,) int64 positions in `Dataset.index` of its samples, in time order; each sample's `step` lies in
            [first_step, last_step), and what is known at the sample are the steps up to and including its own.
    """

    first_step: int
    last_step: int
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Scaling:
    """Statistics of one stream, fitted on training rows: scaled = clip((x - center) / scale, -clip, clip).

    Attributes:
        center, scale: float32, of the stream's shape per step (book: (levels, assets*4)); long_term: (stats, assets).
        clip: bound of the scaled value.
    """

    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float


class Dataset:
    """A sample index over named streams.

    Global steps count the grid from midnight of the first day: step s is the instant first_day + s * cadence and lies
    in day s // steps_per_day. The value of every stream at step s is known at that instant (trailing, as-of backward),
    so the window of a sample at `step` s over L steps is [s - L + 1, s + 1).

    Attributes:
        experiment: its name, the partition of the `dataset` asset.
        recipe: everything that was decided or fitted (JSON): boundaries, scaling, streams, upstream hashes, counts.
        index: one row a sample: sample, t0, t1, step, instrument, label, return_bps, sigma_bps, part, block, on_stride,
            weight, regime.
    """

    def __init__(self, experiment: str, recipe: Mapping[str, Any], index: pl.DataFrame, store: ArtifactStore) -> None:
        self.experiment = experiment
        self.recipe = recipe
        self.index = index
        self._store = store

    @property
    def cadence_seconds(self) -> int:
        """Seconds between two grid steps."""
        return int(self.recipe["cadence_seconds"])

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
        """The labelled instrument."""
        return str(self.recipe["target"])

    @property
    def horizon_seconds(self) -> int:
        """Seconds from decision to label end."""
        return int(self.recipe["labels"]["horizon_seconds"])

    @cached_property
    def boundaries_bps(self) -> NDArray[np.float64]:
        """(C - 1,) class edges of the log mid return in bps; class c is [edges[c-1], edges[c])."""
        return np.asarray(self.recipe["boundaries_bps"], dtype=np.float64)

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.boundaries_bps) + 1

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

    def gather(self, stream: str, first_step: int, last_step: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The values of a stream on steps [first_step, last_step) as one contiguous array, across day files.

        Args:
            stream: book, price, mask, clock or an additional one (unscaled, as stored).
            first_step: first global step, inclusive.
            last_step: end, exclusive.
            out: array of shape (last_step - first_step, *step_shape) to fill instead of a fresh one; values are cast.

        Raises:
            ConfigError: the dataset has no such stream.
            IndexError: the range leaves [0, steps).
            CorruptArtifactError, MissingPartitionError: a day file no longer verifies.
        """
        shape = (last_step - first_step, *self.step_shape(stream))
        if not 0 <= first_step <= last_step <= self.steps:
            raise IndexError(f"steps [{first_step}, {last_step}) leave the dataset's [0, {self.steps})")
        if stream == LONG_TERM:
            raise ConfigError(f"stream {stream!r} is not on the grid's cadence; read it with long_term()")
        if out is None:
            out = np.empty(shape, dtype=self.dtype(stream))
        elif out.shape != shape:
            raise ValueError(f"buffer for {stream} has shape {out.shape}, expected {shape}")
        if self._stream(stream)["lies_in"] == DATASET_ASSET:
            out[...] = self._own[stream][first_step:last_step]
            return out
        columns = self._grid_columns(stream)
        at = first_step
        while at < last_step:
            day, offset = divmod(at, self.steps_per_day)
            count = min(self.steps_per_day - offset, last_step - at)
            values = self._grid_day(day)[stream][offset : offset + count]
            start = at - first_step
            out[start : start + count] = values if columns is None else values[..., columns]
            at += count
        return out

    def long_term(self, day_index: int) -> NDArray[np.float32]:
        """(lookback_days, stats, assets): vectors of the days before day `day_index` of the dataset, oldest first."""
        return np.asarray(self._own[LONG_TERM][day_index : day_index + self.lookback_steps(LONG_TERM)])

    def samples(self, part: Part, *, on_stride_only: bool) -> pl.DataFrame:
        """Index rows of a part in time order; `on_stride_only` leaves out the training phases."""
        chosen = pl.col("part") == part
        return self.index.filter(chosen & pl.col("on_stride") if on_stride_only else chosen)

    def segments(self, part: Part, *, on_stride_only: bool) -> list[Segment]:
        """Contiguous stretches with the samples of a part, one for every cell that has any, in time order.

        Cells of `segments.length` are counted from the dataset's start (a day from midnight). A segment begins
        `segments.anchor_lookback` before its cell, but not before the dataset's start, and ends with its cell, or
        where the block of its last sample ends, so that no segment of one part reaches into the time of a later one.
        With one day each, the segment of day d runs from midnight of d - 1 to the end of d and carries the samples of
        d; with a length that covers everything there is one segment a part, from the start to the end of its block.
        """
        stated = self.recipe["segments"]
        start, length, lookback = (int(stated[key]) for key in ("start_step", "length_steps", "lookback_steps"))
        chosen = (self.index["part"] == part).to_numpy()
        if on_stride_only:
            chosen = chosen & self.index["on_stride"].to_numpy()
        rows = np.flatnonzero(chosen)
        cells = (self.index["step"].to_numpy()[rows] - start) // length
        found = []
        for cell in np.unique(cells):
            mine, first = rows[cells == cell], start + int(cell) * length
            block_end = self._block_ends[int(self.index["block"][int(mine[-1])])]
            found.append(Segment(max(first - lookback, start), min(first + length, block_end), mine))
        return found

    @cached_property
    def _block_ends(self) -> tuple[int, ...]:
        origin = to_microseconds(day_start(self.days[0]))
        cadence_us = self.cadence_seconds * MICROSECONDS_PER_SECOND
        return tuple(-(-(int(block["last_us"]) - origin) // cadence_us) for block in self.recipe["blocks"])

    def _stream(self, name: str) -> Mapping[str, Any]:
        try:
            return self.recipe["streams"][name]  # type: ignore[no-any-return]  # JSON, its shape is build.py's
        except KeyError:
            raise ConfigError(
                f"dataset {self.experiment!r} has no stream {name!r}, it has {list(self.streams)}; "
                f"give the dataset's streams.{name} or choose a model that does not read it"
            ) from None

    def _grid_columns(self, stream: str) -> NDArray[np.int64] | None:
        columns = self._stream(stream)["grid_columns"]
        return None if columns is None else np.asarray(columns, dtype=np.int64)

    @cached_property
    def _own(self) -> dict[str, NDArray[Any]]:
        return self._store.open_arrays(DATASET_ASSET, self.experiment, "streams")

    @cached_property
    def _mapped_days(self) -> dict[int, dict[str, NDArray[Any]]]:
        return {}

    def _grid_day(self, day: int) -> dict[str, NDArray[Any]]:
        if day not in self._mapped_days:
            self._mapped_days[day] = self._store.open_arrays(GRID_ASSET, self.days[day].isoformat(), "arrays")
        return self._mapped_days[day]


def open_dataset(store: ArtifactStore, experiment: str) -> Dataset:
    """Open a dataset and check that every grid day it points into is still the one it was built from.

    Raises:
        MissingPartitionError: the dataset or a referenced grid day does not exist.
        CorruptArtifactError: a referenced grid day was rebuilt with other content.
    """
    store.require(DATASET_ASSET, experiment)
    recipe = store.read_json(DATASET_ASSET, experiment, "recipe")
    for key, pinned in recipe["upstream"].items():
        asset, partition = key.split("/", 1)
        if asset != GRID_ASSET:
            continue
        found = store.require(asset, partition).content_hash
        if found != pinned:
            raise CorruptArtifactError(
                f"{key} has content {found[:12]}, dataset {experiment!r} was built from {pinned[:12]}; "
                f"materialise dataset {experiment!r} again"
            )
    return Dataset(experiment, recipe, store.read_table(DATASET_ASSET, experiment, "index"), store)
