"""In which order samples, or segments, are visited: a pure function of seed and epoch, shared among processes.

A process stops and resumes within an epoch by a small state that says how far all processes together have come.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import tee
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from trademl_assets.foundation.errors import ConfigError

Ending = Literal["pad", "drop"]
_IDENTITY = ("items", "seed", "is_shuffled")
_CURSOR = ("epoch", "taken")
T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Which of several processes this one is."""

    rank: int
    processes: int


@dataclass(frozen=True)
class Turn:
    """What one process visits next.

    Attributes:
        items: (n,) int64 positions of samples or segments.
        is_repeat: (n,) whether an item only fills up: another process or an earlier turn of this epoch has it.
        epoch: Its epoch.
        taken: Items of the epoch's order that all processes together have visited after this turn.
    """

    items: NDArray[np.int64]
    is_repeat: NDArray[np.bool_]
    epoch: int
    taken: int


class SamplingOrder:
    """Visits `items` things once an epoch, over all processes.

    An epoch's order is cut into steps of `batch_items * processes`, of which the process with rank r takes items
    r, r + processes, …; so the steps of all processes together do not depend on how many there are. Where the last
    step cannot be shared evenly, `pad` fills it up with items of the epoch's beginning, marked as repeats, and `drop`
    leaves the rest out of this epoch. Every process has as many turns, of the same sizes, as the others.

    Iterating yields the turns that are left in the epoch, moves the state with each and, at the end, to the next epoch.

    Args:
        items: How many things there are.
        batch_items: Items of one turn.
        seed: Together with the epoch it gives the order.
        is_shuffled: Whether the order is random; else it is that of the positions, in every epoch.
        ending: What becomes of items that cannot be shared evenly.
        share: Which of the processes this is.

    Raises:
        ConfigError: Nothing could be visited, or the share is none.
    """

    def __init__(
        self, items: int, *, batch_items: int, seed: int, is_shuffled: bool, ending: Ending, share: Share
    ) -> None:
        if items < 1 or batch_items < 1 or not 0 <= share.rank < share.processes:
            raise ConfigError(
                f"cannot order {items} items in turns of {batch_items} for rank {share.rank} of {share.processes} -> "
                "give at least one item and a turn of at least one, and a rank below the number of processes"
            )
        self.items = items
        self.seed = seed
        self.is_shuffled = is_shuffled
        self.epoch = 0
        self.taken = 0
        self.batch_items = batch_items
        self._ending = ending
        self._share = share

    def of_epoch(self, epoch: int) -> NDArray[np.int64]:
        """(items,) int64: the whole order of an epoch, the same in every process."""
        if not self.is_shuffled:
            return np.arange(self.items, dtype=np.int64)
        return np.random.default_rng([self.seed, epoch]).permutation(self.items).astype(np.int64, copy=False)

    def remaining(self) -> Iterator[Turn]:
        """Yield this process's turns that are left in the present epoch; the state does not move."""
        order, epoch, at = self.of_epoch(self.epoch), self.epoch, self.taken
        rank, processes = self._share.rank, self._share.processes
        while at < self.items:
            step = order[at : at + self.batch_items * processes]
            at += len(step)
            lacking = -len(step) % processes
            if lacking and self._ending == "drop":
                step, lacking = step[: len(step) + lacking - processes], 0
            is_repeat = np.arange(len(step) + lacking) >= len(step)
            filled = np.concatenate([step, np.resize(order, lacking)]) if lacking else step
            if len(filled):
                yield Turn(filled[rank::processes], is_repeat[rank::processes], epoch, at)

    def following(self, read: Callable[[Iterator[Turn]], Iterator[T]]) -> Iterator[T]:
        """Yield what `read` makes of the turns that are left in the epoch; the state moves with what is handed over.

        `read` may take turns ahead: those do not count until their result is yielded.
        """
        ahead, handed_over = tee(self.remaining())
        for result in read(ahead):
            turn = next(handed_over)
            self.epoch, self.taken = turn.epoch, turn.taken
            yield result
        self.epoch, self.taken = self.epoch + 1, 0

    def __iter__(self) -> Iterator[Turn]:
        return self.following(iter)

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which `load_state_dict` goes on with exactly what is left."""
        return {key: getattr(self, key) for key in (*_IDENTITY, *_CURSOR)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken; the number of processes and the size of a turn may be others than then.

        Raises:
            ConfigError: The state belongs to another order, or lies outside of it.
        """
        other = {key: state.get(key) for key in _IDENTITY if state.get(key) != getattr(self, key)}
        if other:
            present = {key: getattr(self, key) for key in other}
            raise ConfigError(
                f"the state is of an order with {other}, this one has {present} -> resume with the same samples and "
                "seed, or begin anew"
            )
        epoch, taken = (int(state.get(key, -1)) for key in _CURSOR)
        if epoch < 0 or not 0 <= taken <= self.items:
            raise ConfigError(
                f"the state is at item {taken} of epoch {epoch}, an epoch has {self.items} items -> begin anew"
            )
        self.epoch, self.taken = epoch, taken
