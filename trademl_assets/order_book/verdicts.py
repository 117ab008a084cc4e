"""Verdicts on single snapshots of a day's tall rows, and which of several rows of one level counts.

A verdict depends on the snapshot and on those before it, never on one after it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class ResolvedRows:
    """Rows after the sequence number decided between repeated levels.

    Attributes:
        rows: Rows that count; equal repeats within one batch stay, so that their snapshot is judged a duplicate.
        superseded: Number of rows left out, because a batch of a greater sequence number came at their instant.
        contradictions: Rows of one batch that say different things of one level, sorted by (ts, level).
    """

    rows: pl.DataFrame
    superseded: int
    contradictions: pl.DataFrame


def resolve_duplicates(ordered: pl.DataFrame) -> ResolvedRows:
    """Let the sequence number decide where (ts, level) repeats.

    At instants with a repeated level only the rows of the greatest `batch_id` count, elsewhere all.

    Args:
        ordered: Tall rows sorted by (ts, level).
    """
    instants, level = instants_us(ordered), ordered["level"].to_numpy()
    repeated = (instants[1:] == instants[:-1]) & (level[1:] == level[:-1])
    if not repeated.any():
        return ResolvedRows(ordered, 0, ordered.clear())
    disputed = pl.col("ts").is_in(ordered["ts"].gather(np.flatnonzero(repeated)).unique().implode())
    latest = pl.col("batch_id").eq_missing(pl.col("batch_id").max().over("ts"))
    decided = ordered.filter(~disputed | latest)
    keys = pl.struct("ts", "level")
    contradictions = decided.filter(keys.is_duplicated()).unique().filter(keys.is_duplicated()).sort("ts", "level")
    return ResolvedRows(decided, ordered.height - decided.height, contradictions)


@dataclass(frozen=True)
class Judgement:
    """What was found of every snapshot; arrays of shape (snapshots,).

    Attributes:
        verdicts: `Verdict` of each snapshot.
        stuck: Whether a kept snapshot repeats the whole book of the kept snapshots before it for too long.
        best_bid: Price of level 0, NaN where it is missing or empty.
        best_ask: The same of the other side.
    """

    verdicts: NDArray[np.int8]
    stuck: NDArray[np.bool_]
    best_bid: NDArray[np.float64]
    best_ask: NDArray[np.float64]


def judge_snapshots(offsets: NDArray[np.int64], tall: pl.DataFrame, stuck_us: int, gap_us: int) -> Judgement:
    """Judge every snapshot in one pass over its rows.

    A snapshot is stuck when its levels, prices and quantities equal those of all kept snapshots of the last `stuck_us`
    and longer; a silence of more than `gap_us` begins anew, for where no instants go on there is nothing to be stuck.

    Args:
        offsets: First row of each snapshot, then the number of rows, shape (snapshots + 1,).
        tall: Tall rows sorted by (ts, level).
        stuck_us: Microseconds for which a book may stay as it is.
        gap_us: Microseconds beyond which a silence is a gap.
    """
    return Judgement(*_judge(offsets, instants_us(tall), levels(tall), side_columns(tall), stuck_us, gap_us))


def _judge_rows(  # noqa: C901, PLR0912, PLR0915, PLR0917 - one compiled pass, no row is read twice
    offsets: NDArray[np.int64],
    instants: NDArray[np.int64],
    level: NDArray[np.int32],
    sides: tuple[NDArray[np.float64], ...],
    stuck_us: int,
    gap_us: int,
) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """The fields of `Judgement`."""
    bid_price, bid_quantity, ask_price, ask_quantity = sides
    snapshots = len(offsets) - 1
    verdicts, stuck = np.zeros(snapshots, np.int8), np.zeros(snapshots, np.bool_)
    best_bid, best_ask = np.full(snapshots, np.nan), np.full(snapshots, np.nan)
    before, since = -1, 0
    for n in range(snapshots):
        first, end = offsets[n], offsets[n + 1]
        repeated, invalid, disordered = False, level[first] < 0, False
        bid, ask = np.inf, 0.0
        for row in range(first, end):
            repeated |= row > first and level[row] == level[row - 1]
            bp, bq, ap, aq = bid_price[row], bid_quantity[row], ask_price[row], ask_quantity[row]
            # A NaN fails every comparison; what is left then is a level that is missing as a whole, or a fault.
            if bp > 0 and bp < np.inf and bq >= 0 and bq < np.inf:
                if bq > 0:
                    disordered |= bp >= bid
                    bid = bp
            elif not (np.isnan(bp) and np.isnan(bq)):
                invalid = True
            if ap > 0 and ap < np.inf and aq >= 0 and aq < np.inf:
                if aq > 0:
                    disordered |= ap <= ask
                    ask = ap
            elif not (np.isnan(ap) and np.isnan(aq)):
                invalid = True
        if level[first] == 0:
            if bid_quantity[first] > 0:
                best_bid[n] = bid_price[first]
            if ask_quantity[first] > 0:
                best_ask[n] = ask_price[first]
        if repeated:
            verdicts[n] = _DUPLICATE
        elif invalid:
            verdicts[n] = _INVALID
        elif np.isnan(best_bid[n]) or np.isnan(best_ask[n]):
            verdicts[n] = _ONE_SIDED
        elif best_bid[n] > best_ask[n]:
            verdicts[n] = _CROSSED
        elif disordered:
            verdicts[n] = _NON_MONOTONIC
        if verdicts[n] != _KEPT:
            continue
        same = before >= 0 and end - first == offsets[before + 1] - offsets[before]
        same = same and instants[first] - instants[offsets[before]] <= gap_us
        row, shift = first, first - offsets[before]
        while same and row < end:
            same = level[row] == level[row - shift]
            for side in sides:
                one, other = side[row], side[row - shift]
                same = same and (one == other or (np.isnan(one) and np.isnan(other)))
            row += 1
        if not same:
            since = instants[first]
        stuck[n] = instants[first] - since > stuck_us
        before = n
    return verdicts, stuck, best_bid, best_ask


_judge: Any = njit(cache=True, nogil=True)(_judge_rows)
