"""Segments gathered into buffers that are made once, ahead of their consumer: one copy for all labels of a stretch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.buffer_ring import Allocate, Buffer, BufferRing
from trademl_assets.datasets.dataset_facts import LONG_TERM
from trademl_assets.datasets.sampling_order import SamplingOrder
from trademl_assets.datasets.segments import Segment
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError


@dataclass(frozen=True)
class SegmentSteps:
    """The steps of one segment. They lie in a buffer: valid until the next segment is asked for.

    Attributes:
        segment: Its bounds and its samples.
        values: By stream (steps, *shape of a step), as stored.
        is_repeat: Whether it only fills up a process's share and counts for nothing.
    """

    segment: Segment
    values: Mapping[str, NDArray[Any]]
    is_repeat: bool


class SegmentReader:
    """Gathers segments of a dataset.

    Args:
        dataset: The opened dataset.
        streams: Names of the streams to read, all on the grid's cadence.
        longest_steps: Steps of the longest segment.
        buffers: Segments held in memory: one lent to the consumer, the others made ready ahead.
        threads: Threads that make segments ready; with 0 each is gathered when it is asked for.
        allocate: Makes a buffer of a shape and type.

    Raises:
        ConfigError: The dataset has no such stream, or it is long_term.
    """

    def __init__(
        self,
        dataset: Dataset,
        streams: Sequence[str],
        *,
        longest_steps: int,
        buffers: int,
        threads: int,
        allocate: Allocate = np.empty,
    ) -> None:
        if LONG_TERM in streams:
            raise ConfigError(f"stream {LONG_TERM!r} has a row a day -> read it with Dataset.long_term")
        self.dataset = dataset
        self.streams = tuple(streams)
        self._longest = longest_steps
        shapes = {name: ((longest_steps, *dataset.step_shape(name)), dataset.dtype(name)) for name in self.streams}
        self._ring = BufferRing(shapes, buffers=buffers, threads=threads, allocate=allocate)

    def gather(self, segments: Iterable[Segment]) -> Iterator[SegmentSteps]:
        """Yield the steps of each segment, in their order.

        Raises:
            ConfigError: A segment is longer than the buffers.
            CorruptArtifactError, MissingPartitionError: A day is not what the dataset was built from.
        """
        return self._ring.lend(self._filling(segment, is_repeat=False) for segment in segments)

    def epoch(self, segments: Sequence[Segment], order: SamplingOrder) -> Iterator[SegmentSteps]:
        """Yield this process's segments that are left of an order's epoch; its turns are of one segment each.

        The state of the order moves with each segment that is handed over, not with those made ready ahead.

        Raises:
            ConfigError: The order is one of another number of items, or takes several at a turn.
        """
        if len(segments) != order.items or order.batch_items != 1:
            raise ConfigError(
                f"the order visits {order.items} items in turns of {order.batch_items}, there are {len(segments)} "
                "segments -> order these, one at a turn"
            )

        def filling(turn_items: NDArray[np.int64], is_repeat: NDArray[np.bool_]) -> Callable[[Buffer], SegmentSteps]:
            return self._filling(segments[int(turn_items[0])], is_repeat=bool(is_repeat[0]))

        return order.following(lambda turns: self._ring.lend(filling(turn.items, turn.is_repeat) for turn in turns))

    def _filling(self, segment: Segment, *, is_repeat: bool) -> Callable[[Buffer], SegmentSteps]:
        return partial(self._fill, segment=segment, is_repeat=is_repeat)

    def _fill(self, buffer: Buffer, *, segment: Segment, is_repeat: bool) -> SegmentSteps:
        steps = segment.last_step - segment.first_step
        if steps > self._longest:
            raise ConfigError(f"a segment has {steps} steps, the buffers hold {self._longest} -> raise longest_steps")
        values = {
            name: self.dataset.gather(name, segment.first_step, segment.last_step, out=buffer[name][:steps])
            for name in self.streams
        }
        return SegmentSteps(segment, values, is_repeat)
