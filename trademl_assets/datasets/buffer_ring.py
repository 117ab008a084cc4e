"""A few buffers lent out one after the other: the consumer has one, threads fill the others ahead of it."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trademl_assets.foundation.errors import ConfigError

Buffer = Mapping[str, NDArray[Any]]
Allocate = Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]
T = TypeVar("T")


class BufferRing:
    """Buffers made once.

    Args:
        shapes: By stream, shape and type of its array in each buffer.
        buffers: How many there are, the one lent included.
        threads: Threads that fill them ahead, a buffer each; with 0 a buffer is filled when it is asked for.
        allocate: Makes an array of a shape and type.

    Raises:
        ConfigError: There would be no buffer.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
        *,
        buffers: int,
        threads: int,
        allocate: Allocate,
    ) -> None:
        if buffers < 1 or threads < 0:
            raise ConfigError(f"cannot read with {buffers} buffers and {threads} threads -> give at least one buffer")
        self._threads = min(threads, buffers)
        self._buffers: Sequence[Buffer] = [
            {name: allocate(shape, dtype) for name, (shape, dtype) in shapes.items()} for _ in range(buffers)
        ]
        self._in_use = threading.Lock()

    def lend_one(self, fill: Callable[[Buffer], T]) -> T:
        """Fill a buffer now; what comes of it is valid until the ring is used again."""
        with self._alone():
            return fill(self._buffers[0])

    def lend(self, fills: Iterable[Callable[[Buffer], T]]) -> Iterator[T]:
        """Yield what each of `fills` makes of a buffer, in their order; each is valid until the next is asked for.

        An error of a fill is raised where its result would have come. When the iterator is closed, or dropped, no
        thread is left.

        Raises:
            RuntimeError: The ring is lent already.
        """
        with self._alone():
            if not self._threads:
                for fill in fills:
                    yield fill(self._buffers[0])
                return
            free, ready = deque(self._buffers), deque[tuple[Buffer, Future[T]]]()
            waiting = iter(fills)
            pool = ThreadPoolExecutor(self._threads, thread_name_prefix="buffers")
            try:
                while True:
                    for fill in islice(waiting, len(free)):
                        buffer = free.popleft()
                        ready.append((buffer, pool.submit(fill, buffer)))
                    if not ready:
                        return
                    buffer, future = ready.popleft()
                    yield future.result()
                    free.append(buffer)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError("the buffers are lent already -> end the first iteration, or make a second reader")
        try:
            yield
        finally:
            self._in_use.release()
