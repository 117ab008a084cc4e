"""Step features of a dataset by the day: computed once, kept on disk for whoever asks for the same, mapped from there.

A day's features follow from that day's streams and from the network's parameter-free first part alone, so that members,
processes, trials and later trainings share them, and a part of the split touches no other days than its own.
"""

import hashlib
import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError
from trademl_assets.foundation.plugin_code import plugin_code
from trademl_assets.foundation.progress import ProgressReporter
from trademl_assets.models.network import StepFeaturesLike
from trademl_assets.storage.cache import HeldGroup, hold_group, shrink_cache
from trademl_assets.storage.manifest import Provenance
from trademl_assets.training.parameters import KeptPrecision

KEPT_FEATURES = "step_features"
SCHEMA_VERSION = 1

_CHUNK_STEPS = 512
"""Steps whose features are computed together: a working set that stays in the processor's cache."""

_CAST_STEPS = 128
"""Steps that are cast together by way of single precision, within the processor's cache."""

_MOST_HELD_BYTES = 1 << 28
"""Of days that are not on disk, held in memory at a time; changes nothing but the speed."""

_DIGITS = 40
_DECIDING = ("columns", "step_shape", "dtype", "lies_in", "grid_columns")
"""What a recipe says of a stream, as far as its values follow from it."""

_KEPT_AS: dict[KeptPrecision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}


class DailyFeatures:
    """Step features of a dataset, day by day.

    Args:
        dataset: The opened dataset.
        part: The network's parameter-free first part.
        precision: Of the values.
        kept: Whether days are taken from the disk where they lie there; else each is computed when it is asked for.
    """

    def __init__(
        self, dataset: Dataset, part: StepFeaturesLike, precision: KeptPrecision = "fp32", *, kept: bool = False
    ) -> None:
        self._dataset = dataset
        self._part = part
        self.dtype = _KEPT_AS[precision]
        self._cache = dataset.store.cache if kept else None
        self._held: HeldGroup | None = None
        self._mapped: dict[int, Tensor] = {}
        self._computed: OrderedDict[int, Tensor] = OrderedDict()
        self.width = part.width
        self.device = torch.device("cpu")
        self.group = self._name() if kept else ""

    def prepare(self, days: Iterable[int], say: Callable[[str], None]) -> None:
        """Have days on disk: those that are not there, or damaged, are computed and written.

        Processes that prepare the same days at once take them in different orders, and so share the work.

        Args:
            days: Positions in the dataset's days.
            say: Takes lines of progress.

        Raises:
            StorageError: They cannot be written.
        """
        assert self._cache is not None  # noqa: S101 -- only kept features are prepared
        if self._held is None:
            self._held = hold_group(self._cache, KEPT_FEATURES, self.group)
        wanted = np.unique(np.fromiter(days, np.int64))
        missing = [int(day) for day in wanted if not self._map(int(day))]
        if not missing:
            return
        order = np.random.default_rng(os.getpid()).permutation(missing)
        buffer = self._empty_day()  # one for all days: a fresh one each would leave a heap of holes
        with ProgressReporter(len(missing), "step features, days", say) as progress:
            for day in order:
                if not self._map(int(day)):
                    self._write(int(day), buffer)
                progress.advance()

    def release(self, most_bytes: int) -> None:
        """Use the disk no longer, and leave no more there than asked for; what is in use elsewhere stays.

        Raises:
            StorageError: What is too much cannot be removed.
        """
        if self._held is not None:
            self._held.release()
            self._held = None
            self._mapped.clear()
        self.shrink(most_bytes)

    def shrink(self, most_bytes: int) -> None:
        """Leave no more features on disk than asked for; those in use stay.

        Raises:
            StorageError: What is too much cannot be removed.
        """
        if self._cache is not None:
            shrink_cache(self._cache, KEPT_FEATURES, most_bytes)

    def copy(self, first_step: int, last_step: int, out: Tensor) -> None:
        """Copy the features of steps [first, last) into `out` (last - first, width); values are cast."""
        at = first_step
        while at < last_step:
            day, offset = divmod(at, self._dataset.steps_per_day)
            count = min(self._dataset.steps_per_day - offset, last_step - at)
            start = at - first_step
            _cast(self.day(day)[offset : offset + count], out[start : start + count])
            at += count

    def read(self, first_step: int, last_step: int) -> Tensor:
        """Return (last - first, width) float32 features of steps [first, last)."""
        out = torch.empty(last_step - first_step, self.width)
        self.copy(first_step, last_step, out)
        return out

    def day(self, number: int) -> Tensor:
        """Return (steps of a day, width) of one day: from disk where it lies there, else computed."""
        if number in self._mapped or self._map(number):
            return self._mapped[number]
        if number not in self._computed:
            self._computed[number] = self._compute(number, self._empty_day())
            day_bytes = self._computed[number].nbytes
            while len(self._computed) > max(1, _MOST_HELD_BYTES // day_bytes):
                self._computed.popitem(last=False)
        self._computed.move_to_end(number)
        return self._computed[number]

    def _map(self, number: int) -> bool:
        """Map a day if it is on disk, undamaged, of the streams that the dataset reads; tell whether it is."""
        if number in self._mapped:
            return True
        if self._cache is None:
            return False
        partition = self._partition(number)
        try:
            manifest = self._cache.manifest(KEPT_FEATURES, partition)
            if manifest is None or dict(manifest.upstream) != self._upstream(number):
                return False
            values = self._cache.open_arrays(KEPT_FEATURES, partition)["features"]
        except (CorruptArtifactError, MissingPartitionError):  # damaged, or removed meanwhile
            return False
        if values.shape != (self._dataset.steps_per_day, self.width):
            return False
        self._mapped[number] = _as_tensor(values)
        return True

    def _write(self, number: int, buffer: Tensor) -> None:
        assert self._cache is not None  # noqa: S101 -- only kept features are written
        values = self._compute(number, buffer)
        provenance = Provenance(str(SCHEMA_VERSION), self.group, self._upstream(number))
        with self._cache.write(
            KEPT_FEATURES, self._partition(number), schema_version=SCHEMA_VERSION, provenance=provenance
        ) as writer:
            writer.arrays("arrays", {"features": values.numpy()})
            writer.rows(len(values))
        self._map(number)

    def _empty_day(self) -> Tensor:
        return torch.empty(self._dataset.steps_per_day, self.width, dtype=self.dtype)

    def _compute(self, number: int, features: Tensor) -> Tensor:
        first_step = number * self._dataset.steps_per_day
        with torch.no_grad():
            for first in range(0, len(features), _CHUNK_STEPS):
                last = min(first + _CHUNK_STEPS, len(features))
                raw = {
                    name: torch.from_numpy(self._dataset.gather(name, first_step + first, first_step + last))
                    for name in self._part.streams
                }
                features[first:last] = self._part(raw)
        return features

    def _name(self) -> str:
        """Name all that features follow from but the grid's days, which are looked at day by day."""
        streams = {name: self._dataset.recipe["streams"][name] for name in self._part.streams}
        own = {
            name: [self._dataset.stored.contents(name, 0), self._dataset.days[0].isoformat()]
            for name, described in streams.items()
            if described["lies_in"] == DATASET_ASSET
        }
        described = {name: {key: stream.get(key) for key in _DECIDING} for name, stream in streams.items()}
        stated = [
            SCHEMA_VERSION,
            self._part.identity(),
            str(self.dtype),
            self._dataset.cadence_seconds,
            described,
            own,
            *filter(None, [plugin_code(type(self._part))]),
        ]
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:_DIGITS]

    def _partition(self, number: int) -> str:
        return f"{self.group}|{self._dataset.days[number].isoformat()}"

    def _upstream(self, number: int) -> dict[str, str]:
        return dict(self._dataset.stored.contents(name, number) for name in self._part.streams)


def days_of(spans: Iterable[tuple[int, int]], steps_per_day: int) -> NDArray[np.int64]:
    """Return the days that spans of steps [first, last) touch, in order."""
    touched = [np.arange(first // steps_per_day, -(-last // steps_per_day)) for first, last in spans]
    return np.unique(np.concatenate(touched)) if touched else np.empty(0, np.int64)


def _cast(values: Tensor, out: Tensor) -> None:
    """Copy values; from one half precision to another by way of single, for which there are vector instructions."""
    if {values.dtype, out.dtype} != {torch.float16, torch.bfloat16}:
        out.copy_(values)
        return
    for first in range(0, len(values), _CAST_STEPS):
        piece = slice(first, first + _CAST_STEPS)
        out[piece] = values[piece].float()


def _as_tensor(values: NDArray[np.generic]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # it is only ever read
        return torch.from_numpy(values)
