"""Windows of single samples, gathered into buffers that are made once, and ahead of their consumer.

For models that read each sample's window by itself; models that share stretches between samples take
`Dataset.segments`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.buffer_ring import Allocate, Buffer, BufferRing
from trademl_assets.datasets.sampling_order import SamplingOrder
from trademl_assets.datasets.window_copies import ColumnScaling, Runs, copy_rows, pick_rows, runs_by_file, scale_rows
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class WindowBatch:
    """Windows of n samples. They lie in a buffer: valid until the next batch is asked for.

    Attributes:
        rows: (n,) positions in the dataset's index, for labels, weights and instruments.
        windows: By stream (n, look-back, *shape of a step), the last step known at the sample; long_term: days.
        is_repeat: (n,) whether a sample only fills up a process's share and counts for nothing.
    """

    rows: Rows
    windows: Mapping[str, NDArray[Any]]
    is_repeat: NDArray[np.bool_]


class WindowReader:
    """Gathers windows of a dataset's samples.

    Args:
        dataset: The opened dataset.
        streams: Names of the streams to read.
        scaling: Whether windows are scaled by the dataset's statistics (float32), or as stored.
        buffers: Batches held in memory: one lent to the consumer, the others made ready ahead.
        batch_samples: Most samples of a batch.
        threads: Threads that make batches ready, each a batch; with 0 a batch is gathered when it is asked for, which
            is best for windows of some kilobytes.
        allocate: Makes a buffer of a shape and type; `pinned_array` of device_windows makes pinned ones.

    Raises:
        ConfigError: The dataset has no such stream, or there would be no buffer.
    """

    def __init__(
        self,
        dataset: Dataset,
        streams: Sequence[str],
        *,
        scaling: bool,
        buffers: int,
        batch_samples: int,
        threads: int,
        allocate: Allocate = np.empty,
    ) -> None:
        self.dataset = dataset
        self.streams = tuple(streams)
        self.batch_samples = batch_samples
        self._steps = dataset.index["step"].to_numpy()
        self._sources = {name: _Source(dataset, name, scaling=scaling) for name in self.streams}
        shapes = {name: ((batch_samples, *source.window_shape), source.dtype) for name, source in self._sources.items()}
        self._ring = BufferRing(shapes, buffers=buffers, threads=threads, allocate=allocate)

    def complete(self, rows: Rows) -> Rows:
        """Those of `rows` whose windows do not begin before the dataset."""
        steps = self._steps[rows]
        whole = np.ones(len(rows), dtype=np.bool_)
        for source in self._sources.values():
            whole &= source.first_rows(steps) >= 0
        return rows[whole]

    def read(self, rows: Rows) -> WindowBatch:
        """Gather one batch now; it is valid until the next use of the reader. Errors as `batches`."""
        return self._ring.lend_one(self._filling(rows, np.zeros(len(rows), dtype=np.bool_)))

    def batches(self, chosen: Iterable[Rows]) -> Iterator[WindowBatch]:
        """Yield the windows of each set of rows, in their order, made ready ahead of the consumer.

        An error of a batch is raised where that batch would have come. Closing the iterator, or an error in the loop
        over it, ends the threads.

        Args:
            chosen: Positions in the dataset's index, at most `batch_samples` a set.

        Raises:
            ConfigError: A window begins before the dataset, or a set is too large.
            CorruptArtifactError, MissingPartitionError: A day is not what the dataset was built from.
            RuntimeError: The reader is iterated already.
        """
        return self._ring.lend(self._filling(rows, np.zeros(len(rows), dtype=np.bool_)) for rows in chosen)

    def epoch(self, rows: Rows, order: SamplingOrder) -> Iterator[WindowBatch]:
        """Yield this process's batches that are left of the order's epoch.

        The state of the order moves with each batch that is handed over, not with those made ready ahead.

        Args:
            rows: The samples that the order's items stand for, (order.items,).
            order: Which come when.

        Raises:
            ConfigError: The order is one of another number of items; otherwise as `batches`.
        """
        if len(rows) != order.items:
            raise ConfigError(f"the order visits {order.items} items, there are {len(rows)} samples -> order these")
        return order.following(
            lambda turns: self._ring.lend(self._filling(rows[turn.items], turn.is_repeat) for turn in turns)
        )

    def _filling(self, rows: Rows, is_repeat: NDArray[np.bool_]) -> Callable[[Buffer], WindowBatch]:
        return partial(self._fill, rows=rows, is_repeat=is_repeat)

    def _fill(self, buffer: Buffer, *, rows: Rows, is_repeat: NDArray[np.bool_]) -> WindowBatch:
        if len(rows) > self.batch_samples:
            raise ConfigError(f"a set has {len(rows)} samples, buffers hold {self.batch_samples} -> give fewer at once")
        steps = self._steps[rows]
        windows = {name: buffer[name][: len(rows)] for name in self.streams}
        for name, source in self._sources.items():
            source.read(steps, windows[name])
        return WindowBatch(rows, windows, is_repeat)


class _Source:
    """One stream as the reader sees it: where windows lie, and how they get into a buffer."""

    def __init__(self, dataset: Dataset, stream: str, *, scaling: bool) -> None:
        shape = dataset.step_shape(stream)
        self._dataset = dataset
        self._stream = stream
        self._length = dataset.lookback_steps(stream)
        self._scaling = dataset.scaling(stream) if scaling else None
        self.window_shape = (self._length, *shape)
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if scaling else dataset.dtype(stream)
        self._columns: NDArray[np.int64] | None = None  # of a stored row, flat

    def first_rows(self, steps: Rows) -> Rows:
        """(n,) stored rows where the windows begin; negative before the dataset."""
        return np.asarray(self._dataset.window_ends(self._stream, steps) - self._length)

    def read(self, steps: Rows, out: NDArray[Any]) -> None:
        """Fill `out` (n, look-back, *shape) with the windows of samples at `steps` (n,)."""
        if not len(steps):
            return
        first = self.first_rows(steps)
        stored = self._dataset.stored
        if first.min() < 0 or first.max() + self._length > stored.rows(self._stream):
            raise ConfigError(
                f"dataset {self._dataset.experiment!r}: a sample at step {steps[first.argmin()]} has no whole window "
                f"of {self._length} rows of {self._stream!r} -> raise minimum_history, shorten the look-back, or leave "
                "such samples out (`complete`)"
            )
        target = out.reshape(len(steps) * self._length, -1)
        for number, runs in runs_by_file(first, self._length, stored.file_rows(self._stream)):
            self._copy(stored.file(self._stream, number), target, runs)

    def _copy(self, file: NDArray[Any], target: NDArray[Any], runs: Runs) -> None:
        source = file.reshape(len(file), -1)
        if self._scaling is not None:
            center, scale = self._scaling.center.reshape(-1), self._scaling.scale.reshape(-1)
            scale_rows(source, target, runs, ColumnScaling(self._columns_of(file), center, scale, self._scaling.clip))
        elif self._dataset.stored.columns(self._stream) is None:
            copy_rows(source, target, runs)
        else:
            pick_rows(source, target, runs, self._columns_of(file))

    def _columns_of(self, file: NDArray[Any]) -> NDArray[np.int64]:
        """Columns of a flat stored row that are the dataset's, in their order."""
        if self._columns is None:
            places = np.arange(file[0].size, dtype=np.int64).reshape(file.shape[1:])
            columns = self._dataset.stored.columns(self._stream)
            self._columns = np.ascontiguousarray((places if columns is None else places[..., columns]).reshape(-1))
        return self._columns
