"""The opened dataset: a sample index over memory-mapped streams, gathered by step range."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.dataset_facts import LONG_TERM, DatasetFacts
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.parameters import Part
from trademl_assets.datasets.samples import Sample, find_sample, sample_of_row
from trademl_assets.datasets.segments import Segment, cut_segments
from trademl_assets.datasets.stored_streams import StoredStreams, refuse_changed
from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore


class Dataset(DatasetFacts):
    """A sample index over named streams.

    Global steps count the grid from midnight of the first day: step s is the instant first_day + s * cadence and lies
    in day s // steps_per_day. The value of every stream at step s is known at that instant (trailing, as-of backward),
    so the window of a sample at `step` s over L steps is [s - L + 1, s + 1).

    Attributes:
        experiment: its name, the partition of the `dataset` asset.
        recipe: everything that was decided or fitted (JSON): boundaries, scaling, streams, upstream hashes, counts.

    Args:
        experiment: its name.
        recipe: what was decided or fitted.
        index: the sample index; None reads the committed one when it is first asked for.
        store: where it lies.
        content_hash: of the opened version, so that no other version is read into it; None does not look.
    """

    def __init__(
        self,
        experiment: str,
        recipe: Mapping[str, Any],
        index: pl.DataFrame | None,
        store: ArtifactStore,
        content_hash: str | None = None,
    ) -> None:
        super().__init__(experiment, recipe)
        self._store = store
        self._content_hash = content_hash
        if index is not None:
            self.index = index

    @cached_property
    def index(self) -> pl.DataFrame:
        """One row a sample, in time order.

        Columns: sample, t0, t1, step, instrument, label, return_bps, sigma_bps, part, block, on_stride, weight, regime
        horizon_seconds and uniqueness; a row for each horizon of a decision.

        Raises:
            CorruptArtifactError: It is damaged, or was built again since the dataset was opened.
        """
        found = self._store.read_table(DATASET_ASSET, self.experiment, "index")
        self.stored.require_unchanged(DATASET_ASSET, self.experiment, self._content_hash)
        return found

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
        self.stored.copy(stream, first_step, last_step, out)
        return out

    def long_term(self, day_index: int) -> NDArray[np.float32]:
        """(lookback_days, stats, assets): vectors of the days before day `day_index` of the dataset, oldest first."""
        return np.asarray(self.stored.file(LONG_TERM, 0)[day_index : day_index + self.lookback_steps(LONG_TERM)])

    @cached_property
    def stored(self) -> StoredStreams:
        """The files of its streams."""
        return StoredStreams(
            self._store,
            self.experiment,
            self.recipe["streams"],
            days=self.days,
            steps_per_day=self.steps_per_day,
            upstream=self.recipe.get("upstream", {}),
            content_hash=self._content_hash,
        )

    @property
    def store(self) -> ArtifactStore:
        """Where it lies."""
        return self._store

    @property
    def content_hash(self) -> str | None:
        """Of the opened version; None of one that was not opened from a store."""
        return self._content_hash

    def window_ends(self, stream: str, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) ends (exclusive), in stored rows of a stream, of what is known of it by samples at `steps` (n,).

        A sample knows its own step; of long_term it knows the days before its own, and row d + look-back is day d.
        """
        if stream == LONG_TERM:
            return np.asarray(steps // self.steps_per_day + self.lookback_steps(stream))
        return np.asarray(steps + 1)

    def sample(
        self,
        t: datetime | str,
        *,
        scaled: bool = False,
        instrument: str | None = None,
        horizon_seconds: int | None = None,
    ) -> Sample:
        """The sample decided at an instant (ISO text, without an offset UTC): windows of all streams, label, t0, t1.

        `instrument` is one of `targets`, by default the primary one.

        Raises:
            ConfigError: no sample was decided then (says which are the nearest), or several were.
        """
        row = find_sample(self.experiment, self.index, t, self._labelled(instrument), horizon_seconds)
        return sample_of_row(self, row, scaled=scaled)

    def each_sample(self, part: Part | None = None, *, scaled: bool = False) -> Iterator[Sample]:
        """All samples of a part, or of the dataset, in the order of the index; windows are gathered one by one."""
        chosen = np.arange(self.index.height) if part is None else np.flatnonzero(self.index["part"] == part)
        for row in chosen:
            yield sample_of_row(self, int(row), scaled=scaled)

    def __iter__(self) -> Iterator[Sample]:
        return self.each_sample()

    def __len__(self) -> int:
        return self.index.height

    def samples(
        self, part: Part, *, on_stride_only: bool, horizon_seconds: int | None = None, instrument: str | None = None
    ) -> pl.DataFrame:
        """Index rows of a part in time order, over one horizon and of one target, by default the primary ones.

        `on_stride_only` leaves out the training phases. ConfigError for an instrument that is not labelled.
        """
        horizon = self.horizon_seconds if horizon_seconds is None else horizon_seconds
        chosen = (pl.col("part") == part) & (pl.col("horizon_seconds") == horizon)
        chosen &= pl.col("instrument") == self._labelled(instrument)
        return self.index.filter(chosen & pl.col("on_stride") if on_stride_only else chosen)

    def segments(
        self, part: Part, *, on_stride_only: bool, instrument: str | None = None, every_label: bool = False
    ) -> list[Segment]:
        """Contiguous stretches with the primary samples of a part, one for every cell that has any, in time order.

        Primary: over the primary horizon, of one target (`instrument`, by default the primary one). With `every_label`
        they carry the samples over all horizons and of all targets.

        Cells of `segments.length` are counted from the dataset's start (a day from midnight). A segment begins
        `segments.anchor_lookback` before its cell, but not before the dataset's start, and ends with its cell, or
        where the block of its last sample ends, so that no segment of one part reaches into the time of a later one.
        With one day each, the segment of day d runs from midnight of d - 1 to the end of d and carries the samples of
        d; with a length that covers everything there is one segment a part, from the start to the end of its block.
        """
        origin = to_microseconds(day_start(self.days[0]))
        return cut_segments(
            self.index,
            self.recipe,
            part,
            instrument=None if every_label else self._labelled(instrument),
            horizon_seconds=None if every_label else self.horizon_seconds,
            on_stride_only=on_stride_only,
            origin_us=origin,
            cadence_us=self.cadence_us,
        )

    def _labelled(self, instrument: str | None) -> str:
        if instrument is not None and instrument not in self.targets:
            known = ", ".join(self.targets)
            raise ConfigError(f"dataset {self.experiment!r} has no labels of {instrument!r} -> one of {known}")
        return self.target if instrument is None else instrument


def open_dataset(store: ArtifactStore, experiment: str) -> Dataset:
    """Open a dataset and check that every partition it was built from is still there, with the same content.

    A look at one manifest a partition; streams are mapped and the index is read when they are first asked for.

    Raises:
        MissingPartitionError: the dataset or a partition it was built from does not exist; names all that are missing.
        CorruptArtifactError: a partition was rebuilt with other content.
    """
    content_hash = store.require(DATASET_ASSET, experiment).content_hash
    recipe = store.read_json(DATASET_ASSET, experiment, "recipe")
    partitions: dict[str, list[str]] = defaultdict(list)
    for key in recipe["upstream"]:
        asset, partition = key.split("/", 1)
        partitions[asset].append(partition)
    for asset, keys in partitions.items():
        refuse_changed(experiment, recipe["upstream"], store.stated_contents(asset, keys))
    return Dataset(experiment, recipe, None, store, content_hash)
