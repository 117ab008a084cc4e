"""Looks at a moving book at every instant of a fixed cadence and lays the states out as tall rows."""

from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.events.book_builder import BookBuilder
from trademl_assets.sources.events.book_side import BookSide
from trademl_assets.sources.events.price_keys import PriceKeys
from trademl_assets.sources.tall_layout import FlatSide, lay_out

Side = tuple[NDArray[np.int64], NDArray[np.float64]]


class BookSampler:
    """Collects the states of a book at the instants k * cadence since the epoch within [first, end).

    The state at an instant g holds every message with a clock <= g and no other. Nothing is handed out for an
    instant while the book is unknown or wholly empty, after the last message, or when the latest message is older
    than the allowed silence.

    Args:
        cadence_us: Distance of instants, microseconds.
        max_levels: Most levels a side.
        first_us: First instant wanted, microseconds.
        end_us: First instant no longer wanted.
        max_silence_us: Oldest that the latest message may be, microseconds.
        keys: Keys of price texts.

    Attributes:
        left_out: Wanted instants that were left out after the first message, by cause.
    """

    def __init__(
        self, *, cadence_us: int, max_levels: int, first_us: int, end_us: int, max_silence_us: int, keys: PriceKeys
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self._cadence_us = cadence_us
        self._max_levels = max_levels
        self._first_us = first_us
        self._end_us = end_us
        self._max_silence_us = max_silence_us
        self._keys = keys
        self._latest_us = 0
        self._known_us: int | None = None
        self._unknown: tuple[int, str] | None = None
        self._instants: list[int] = []
        self._batches: list[int] = []
        self._bids: list[Side] = []
        self._asks: list[Side] = []

    @property
    def knows(self) -> bool:
        """Whether the book is known."""
        return self._known_us is not None

    def begin(self, known_us: int, latest_us: int) -> None:
        """The book is known from `known_us` on, its latest message came at `latest_us`."""
        if self._unknown is not None:
            self._count_out(self._unknown[0], known_us, self._unknown[1])
        self._unknown = None
        self._known_us = known_us
        self._latest_us = latest_us

    def lose(self, clock_us: int, cause: str) -> None:
        """The book is unknown from `clock_us` on."""
        if self._unknown is None:
            self._unknown = (clock_us, cause)
        self._known_us = None

    def pass_to(self, clock_us: int, book: BookBuilder) -> None:
        """Look at the book at every instant before `clock_us`, the clock of the message about to be applied."""
        self._look(book, clock_us)
        if self._known_us is not None:
            if clock_us > (silent_us := self._latest_us + self._max_silence_us + 1):
                self._count_out(max(self._known_us, silent_us), clock_us, "silence")
            self._known_us = max(self._known_us, clock_us)
        self._latest_us = clock_us

    def finish(self, clock_us: int, book: BookBuilder | None) -> None:
        """Look at the book at `clock_us`, the clock of the last message, should that be an instant."""
        if self._unknown is not None:
            self._count_out(self._unknown[0], clock_us + 1, self._unknown[1])
        elif book is not None:
            self.pass_to(clock_us + 1, book)

    def _look(self, book: BookBuilder, end_us: int) -> None:
        if self._known_us is None:
            return
        instants = self._wanted(self._known_us, min(end_us, self._latest_us + self._max_silence_us + 1))
        if not instants:
            return
        bids, asks = self._best(book.bids), self._best(book.asks)
        if not len(bids[0]) + len(asks[0]):
            self.left_out["empty_book"] += len(instants)
            return
        for instant in instants:
            self._instants.append(instant)
            self._batches.append(book.last_update_id)
            self._bids.append(bids)
            self._asks.append(asks)

    def _wanted(self, start_us: int, end_us: int) -> range:
        start_us = -(-max(start_us, self._first_us) // self._cadence_us) * self._cadence_us
        return range(start_us, min(end_us, self._end_us), self._cadence_us)

    def _count_out(self, start_us: int, end_us: int, cause: str) -> None:
        if missed := len(self._wanted(start_us, end_us)):
            self.left_out[cause] += missed

    def _best(self, side: BookSide) -> Side:
        keys = side.best(self._max_levels)
        return keys, side.quantities(keys)

    def tall_rows(self) -> pl.DataFrame:
        """Everything seen so far.

        Returns:
            Rows of `TALL_SCHEMA`; `batch_id` is the sequence number of the last change contained.
        """
        instants = pl.Series(self._instants, dtype=pl.Int64).cast(TALL_SCHEMA["ts"])
        batches = np.array(self._batches, dtype=np.int64)
        return lay_out(instants, batches, self._flat(self._bids), self._flat(self._asks))

    def _flat(self, sides: list[Side]) -> FlatSide:
        keys = np.concatenate([np.empty(0, dtype=np.int64), *(keys for keys, _ in sides)])
        return FlatSide(
            depths=np.array([len(keys) for keys, _ in sides], dtype=np.int64),
            prices=self._keys.prices(keys),
            quantities=np.concatenate([np.empty(0, dtype=np.float64), *(quantities for _, quantities in sides)]),
        )
