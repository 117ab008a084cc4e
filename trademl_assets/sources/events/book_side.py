"""One side of a moving book, kept in order cheaply."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def _nothing() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class BookSide:
    """Quantities by price key.

    Who changes `levels` adds every key that came or went to `moved`; the order is brought up to date from these
    alone when it is asked for, so a look costs what has moved since the last one and not the depth of the book.

    Attributes:
        highest_first: Whether the highest price is the best (bids).
        levels: Quantity by key, no zero quantities.
        moved: Keys that may have come or gone since the last look.
    """

    highest_first: bool
    levels: dict[int, float] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)
    _ascending: NDArray[np.int64] = field(default_factory=_nothing)

    def best(self, most: int) -> NDArray[np.int64]:
        """Keys of the best levels, best first, shape (min(most, levels),)."""
        if self.moved:
            self._bring_up_to_date()
        return self._ascending[: -most - 1 : -1] if self.highest_first else self._ascending[:most]

    def quantities(self, keys: NDArray[np.int64]) -> NDArray[np.float64]:
        """Quantities of levels, the same shape as their keys."""
        return np.fromiter(map(self.levels.__getitem__, keys.tolist()), np.float64, len(keys))

    def keep_best(self, most: int) -> None:
        """Forget levels beyond the best `most`."""
        if len(self.levels) > most:
            for key in set(self.levels).difference(self.best(most).tolist()):
                del self.levels[key]
                self.moved.add(key)

    def _bring_up_to_date(self) -> None:
        moved = np.fromiter(self.moved, np.int64, len(self.moved))
        moved.sort()
        places = np.searchsorted(self._ascending, moved)
        here = places < len(self._ascending)
        here[here] = self._ascending[places[here]] == moved[here]
        staying = np.delete(self._ascending, places[here])
        levels = self.levels
        coming = np.array([key for key in moved.tolist() if key in levels], dtype=np.int64)
        self._ascending = np.insert(staying, np.searchsorted(staying, coming), coming)
        self.moved.clear()
