"""Verdicts on single snapshots of a day's tall rows, and which of several rows of one level counts."""

from enum import IntEnum
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book.ordering import instants_us, levels, side_columns


class Verdict(IntEnum):
    """Why a snapshot is dropped; of several causes the first in this order after KEPT."""

    KEPT = 0
    DUPLICATE = 1
    INVALID = 2
    ONE_SIDED = 3
    CROSSED = 4
    NON_MONOTONIC = 5


_KEPT, _DUPLICATE, _INVALID, _ONE_SIDED, _CROSSED, _NON_MONOTONIC = (int(verdict) for verdict in Verdict)


def resolve_duplicates(ordered: pl.DataFrame, where: str) -> tuple[pl.DataFrame, int]:
    """Let the sequence number decide where (ts, level) repeats.

    Args:
        ordered: Tall rows sorted by (ts, level).
        where: Instrument and day for messages.

    Returns:
        At instants with a repeated level only the rows of the greatest `batch_id`, all rows elsewhere, and the number
        of rows left out. Equal repeats within one batch stay, so that their snapshot is judged a duplicate.

    Raises:
        DataQualityError: Rows of one batch contradict each other.
    """
    instants, level = instants_us(ordered), ordered["level"].to_numpy()
    repeated = (instants[1:] == instants[:-1]) & (level[1:] == level[:-1])
    if not repeated.any():
        return ordered, 0
    disputed = pl.col("ts").is_in(ordered["ts"].gather(np.flatnonzero(repeated)).unique().implode())
    latest = pl.col("batch_id").eq_missing(pl.col("batch_id").max().over("ts"))
    decided = ordered.filter(~disputed | latest)
    keys = pl.struct("ts", "level")
    conflicts = decided.filter(keys.is_duplicated()).unique().filter(keys.is_duplicated())
    if not conflicts.is_empty():
        first = conflicts.sort("ts", "level").row(0, named=True)
        raise DataQualityError(
            f"{where}: rows of {first['ts'].isoformat()} level {first['level']} batch {first['batch_id']} "
            f"contradict each other and no sequence number decides ({conflicts.height} such rows) -> mend the source"
        )
    return decided, ordered.height - decided.height


def judge_snapshots(
    offsets: NDArray[np.int64], tall: pl.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Judge every snapshot in one pass over its rows.

    Args:
        offsets: First row of each snapshot, then the number of rows, shape (snapshots + 1,).
        tall: Tall rows sorted by (ts, level).

    Returns:
        `Verdict` of each snapshot, best bid and best ask (NaN where level 0 is missing or empty), each (snapshots,).
    """
    verdicts, best_bid, best_ask = _judge(offsets, levels(tall), side_columns(tall))
    return verdicts, best_bid, best_ask


def _judge_rows(  # noqa: C901, PLR0912 - one pass over all rows; splitting it would read them several times
    offsets: NDArray[np.int64], level: NDArray[np.int32], sides: tuple[NDArray[np.float64], ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Cause of every snapshot and its best prices (NaN where there are none), each of shape (snapshots,)."""
    bid_price, bid_quantity, ask_price, ask_quantity = sides
    snapshots = len(offsets) - 1
    causes = np.zeros(snapshots, np.int64)
    best_bid, best_ask = np.full(snapshots, np.nan), np.full(snapshots, np.nan)
    for n in range(snapshots):
        repeated, invalid, disordered = False, False, False
        bid, ask = np.inf, 0.0
        for row in range(offsets[n], offsets[n + 1]):
            if row > offsets[n] and level[row] == level[row - 1]:
                repeated = True
            bp, bq, ap, aq = bid_price[row], bid_quantity[row], ask_price[row], ask_quantity[row]
            if level[row] < 0 or np.isnan(bp) != np.isnan(bq) or np.isnan(ap) != np.isnan(aq):
                invalid = True
            if bp <= 0 or bp == np.inf or bq < 0 or bq == np.inf or ap <= 0 or ap == np.inf or aq < 0 or aq == np.inf:
                invalid = True
            if bq > 0:
                if level[row] == 0:
                    best_bid[n] = bp
                if bp >= bid:
                    disordered = True
                bid = bp
            if aq > 0:
                if level[row] == 0:
                    best_ask[n] = ap
                if ap <= ask:
                    disordered = True
                ask = ap
        if repeated:
            causes[n] = _DUPLICATE
        elif invalid:
            causes[n] = _INVALID
        elif np.isnan(best_bid[n]) or np.isnan(best_ask[n]):
            causes[n] = _ONE_SIDED
        elif best_bid[n] > best_ask[n]:
            causes[n] = _CROSSED
        elif disordered:
            causes[n] = _NON_MONOTONIC
    return causes, best_bid, best_ask


_judge: Any = njit(cache=True, nogil=True)(_judge_rows)
