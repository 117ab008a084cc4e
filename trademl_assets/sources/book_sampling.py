"""Looks at a moving book at every instant of a fixed cadence and lays the states out as tall rows."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.sources.book_builder import BookBuilder, prices_of
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.tall_layout import FlatSide, lay_out

Side = tuple[NDArray[np.float64], NDArray[np.float64]]


class BookSampler:
    """Collects the states of a book at the instants k * cadence since the epoch within [first, end).

    The state at an instant g holds every message with a clock <= g and no other. Nothing is handed out for an
    instant before the book is known, after the last message, or when the latest message is older than the allowed
    silence.

    Args:
        cadence_us: Distance of instants, microseconds.
        max_levels: Most levels a side.
        first_us: First instant wanted, microseconds.
        end_us: First instant no longer wanted.
        max_silence_us: Oldest that the latest message may be, microseconds.
    """

    def __init__(self, cadence_us: int, max_levels: int, first_us: int, end_us: int, max_silence_us: int) -> None:
        self._cadence_us = cadence_us
        self._max_levels = max_levels
        self._first_us = first_us
        self._end_us = end_us
        self._max_silence_us = max_silence_us
        self._latest_us: int | None = None
        self._instants: list[int] = []
        self._batches: list[int] = []
        self._bids: list[Side] = []
        self._asks: list[Side] = []

    def begin(self, clock_us: int) -> None:
        """The book is known from `clock_us` on; to be called again when a new book replaces the old one."""
        self._latest_us = clock_us

    def pass_to(self, clock_us: int, book: BookBuilder) -> None:
        """Look at the book at every instant before `clock_us`, the clock of the message about to be applied."""
        if self._latest_us is None:
            self._latest_us = clock_us
        self._look(book, clock_us)
        self._latest_us = clock_us

    def finish(self, book: BookBuilder) -> None:
        """Look at the book at the clock of the last message, should that be an instant."""
        if self._latest_us is not None:
            self._look(book, self._latest_us + 1)

    def _look(self, book: BookBuilder, end_us: int) -> None:
        latest_us = self._latest_us or 0
        end_us = min(end_us, latest_us + self._max_silence_us + 1, self._end_us)
        start_us = max(latest_us, self._first_us)
        instants = range(-(-start_us // self._cadence_us) * self._cadence_us, end_us, self._cadence_us)
        if not instants:
            return
        bids = _best(book.bids, self._max_levels, highest_first=True)
        asks = _best(book.asks, self._max_levels, highest_first=False)
        for instant in instants:
            self._instants.append(instant)
            self._batches.append(book.last_update_id)
            self._bids.append(bids)
            self._asks.append(asks)

    def tall_rows(self) -> pl.DataFrame:
        """Everything seen so far.

        Returns:
            Rows of `TALL_SCHEMA`; `batch_id` is the sequence number of the last change contained.
        """
        instants = pl.Series(self._instants, dtype=pl.Int64).cast(TALL_SCHEMA["ts"])
        return lay_out(instants, np.array(self._batches, dtype=np.int64), _flat(self._bids), _flat(self._asks))


def _best(side: dict[int, float], max_levels: int, *, highest_first: bool) -> Side:
    keys = np.fromiter(side.keys(), np.int64, len(side))
    quantities = np.fromiter(side.values(), np.float64, len(side))
    order = np.argsort(-keys if highest_first else keys)[:max_levels]
    return prices_of(keys[order]), quantities[order]


def _flat(sides: list[Side]) -> FlatSide:
    empty = np.empty(0, dtype=np.float64)
    return FlatSide(
        depths=np.array([len(prices) for prices, _ in sides], dtype=np.int64),
        prices=np.concatenate([empty, *(prices for prices, _ in sides)]),
        quantities=np.concatenate([empty, *(quantities for _, quantities in sides)]),
    )
