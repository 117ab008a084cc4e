"""The stored arrays behind a dataset's streams: mapped when they are first asked for, a bounded number at a time."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.inputs import DATASET_ASSET, GRID_ASSET
from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.storage.commit import ArtifactStore

MOST_OPEN_DAYS = 4096
"""Grid days mapped at a time, eleven years; the kernel grants a process 65,530 maps. Changes nothing but the speed."""


class StoredStreams:
    """The files of a dataset's streams, row by row; may be used from several threads.

    A stream that lies in the grid has a file a day, one that the dataset owns a single one. Rows are counted over all
    files of a stream: global grid steps, of long_term days.

    Args:
        store: Where the partitions lie.
        experiment: Name of the dataset.
        described: The recipe's `streams`: where each lies, which columns of a grid file are the dataset's.
        days: Grid days of the dataset.
        steps_per_day: Steps of a grid day.
        upstream: "asset/partition" -> content hash that the dataset was built from.
        content_hash: Of the dataset's own partition; None does not look at it.
        most_open_days: Grid days mapped at a time; the one not used for the longest time is unmapped first.
    """

    def __init__(
        self,
        store: ArtifactStore,
        experiment: str,
        described: Mapping[str, Mapping[str, Any]],
        *,
        days: Sequence[date],
        steps_per_day: int,
        upstream: Mapping[str, str],
        content_hash: str | None,
        most_open_days: int = MOST_OPEN_DAYS,
    ) -> None:
        self._store = store
        self._experiment = experiment
        self._described = described
        self._days = days
        self._steps_per_day = steps_per_day
        self._upstream = upstream
        self._content_hash = content_hash
        self._most = most_open_days
        self._mapped: OrderedDict[int, dict[str, NDArray[Any]]] = OrderedDict()
        self._own: dict[str, NDArray[Any]] | None = None
        self._lock = threading.Lock()

    @property
    def open_days(self) -> int:
        """Grid days mapped now."""
        return len(self._mapped)

    def file(self, stream: str, number: int) -> NDArray[Any]:
        """File `number` of a stream as it is stored, read-only: (rows, *…), of whose last axis `columns` count.

        Raises:
            MissingPartitionError: A grid day is gone.
            CorruptArtifactError: It is damaged, or not the version that the dataset was built from or opened with.
        """
        return self._own_arrays()[stream] if self._is_own(stream) else self._day(number)[stream]

    def file_rows(self, stream: str) -> int:
        """Rows of every file of a stream."""
        return len(self._own_arrays()[stream]) if self._is_own(stream) else self._steps_per_day

    def rows(self, stream: str) -> int:
        """Rows of all files of a stream."""
        return self.file_rows(stream) if self._is_own(stream) else self._steps_per_day * len(self._days)

    def columns(self, stream: str) -> slice | NDArray[np.int64] | None:
        """Which of the last-axis columns of a stream's files are the dataset's; None: all."""
        columns = None if self._is_own(stream) else self._described[stream]["grid_columns"]
        return None if columns is None else contiguous(columns)

    def copy(self, stream: str, first: int, last: int, out: NDArray[Any]) -> None:
        """Copy the rows [first, last) of a stream into `out` (last - first, *shape of a step); values are cast."""
        columns, file_rows = self.columns(stream), self.file_rows(stream)
        at = first
        while at < last:
            number, offset = divmod(at, file_rows)
            count = min(file_rows - offset, last - at)
            values = self.file(stream, number)[offset : offset + count]
            start = at - first
            np.copyto(out[start : start + count], values if columns is None else values[..., columns])
            at += count

    def contents(self, stream: str, number: int) -> tuple[str, str]:
        """Name and hash of the bytes that a stream's values of grid day `number` follow from.

        Two datasets that read the same bytes name the same: of a stream that a dataset owns the hash is that of its
        file, whatever else the dataset holds.

        Raises:
            MissingPartitionError: The partition is gone.
            CorruptArtifactError: The dataset was built again since it was opened.
        """
        if self._is_own(stream):
            return "streams", self._own_content
        key = f"{GRID_ASSET}/{self._days[number].isoformat()}"
        pinned = self._upstream.get(key)
        return key, self._store.require(*key.split("/")).content_hash if pinned is None else pinned

    def require_unchanged(self, asset: str, partition: str, pinned: str | None) -> None:
        """Look whether a partition still has the content it had; None asks for nothing.

        Raises:
            MissingPartitionError: It is gone.
            CorruptArtifactError: It has other content.
        """
        if pinned is not None:
            refuse_changed(self._experiment, {f"{asset}/{partition}": pinned}, self._store.upstream(asset, [partition]))

    @cached_property
    def _own_content(self) -> str:
        found = self._store.require(DATASET_ASSET, self._experiment).files["streams"].sha256
        self.require_unchanged(DATASET_ASSET, self._experiment, self._content_hash)
        return found

    def _is_own(self, stream: str) -> bool:
        return bool(self._described[stream]["lies_in"] == DATASET_ASSET)

    def _own_arrays(self) -> dict[str, NDArray[Any]]:
        if self._own is None:
            found = self._store.open_arrays(DATASET_ASSET, self._experiment, "streams")
            self.require_unchanged(DATASET_ASSET, self._experiment, self._content_hash)
            self._own = found
        return self._own

    def _day(self, number: int) -> dict[str, NDArray[Any]]:
        with self._lock:
            if number in self._mapped:
                self._mapped.move_to_end(number)
                return self._mapped[number]
        partition = self._days[number].isoformat()
        found = self._store.open_arrays(GRID_ASSET, partition, "arrays")
        self.require_unchanged(GRID_ASSET, partition, self._upstream.get(f"{GRID_ASSET}/{partition}"))
        with self._lock:
            self._mapped[number] = found
            while len(self._mapped) > self._most:
                self._mapped.popitem(last=False)
        return found


def refuse_changed(experiment: str, pinned: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Compare content hashes by "asset/partition".

    Raises:
        CorruptArtifactError: Naming the first that differs, and how many do.
    """
    changed = [key for key, content in found.items() if content != pinned[key]]
    if changed:
        key = changed[0]
        others = f" (and {len(changed) - 1} more partitions)" if len(changed) > 1 else ""
        remedy = (
            f"open dataset {experiment!r} again"
            if key == f"{DATASET_ASSET}/{experiment}"
            else f"materialise dataset {experiment!r} again"
        )
        raise CorruptArtifactError(
            f"{key} has content {found[key][:12]}, dataset {experiment!r} was opened or built with "
            f"{pinned[key][:12]}{others}; {remedy}"
        )


def contiguous(columns: Sequence[int]) -> slice | NDArray[np.int64]:
    """The columns as a slice where they follow one another, which needs no copy, else as positions."""
    positions = np.asarray(columns, dtype=np.int64)
    if len(positions) and np.array_equal(positions, np.arange(positions[0], positions[0] + len(positions))):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions
