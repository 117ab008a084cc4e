"""Cleaning of tall rows: which snapshots are dropped and why, and what is found of the day.

The rows come from a source; what passes here is compressed next. Policy: a snapshot with an impossible number, a
repeated level, a side without its best level, a crossed book or levels out of price order is dropped and counted by
cause; a locked book, an outlying price and a feed that is stuck are kept and flagged, and stuck time is no coverage.
Whether a snapshot is dropped or stuck depends on it and those before it alone. What looks at the whole day, and so
beyond the snapshot, is the report with its flags of prices, and the verdicts on whole days: see `refusals.REFUSALS`.
"""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, from_microseconds, to_microseconds
from trademl_assets.order_book.ordering import instants_us, snapshot_offsets, sort_rows
from trademl_assets.order_book.price_sanity import flag_prices
from trademl_assets.order_book.quality_parameters import QualityParameters
from trademl_assets.order_book.quality_report import GAPS_TOLD, HOURS, QualityReport, quality_index
from trademl_assets.order_book.refusals import (
    RejectedDayError,
    require_agreement,
    require_limits,
    require_schema,
    require_span,
)
from trademl_assets.order_book.verdicts import Judgement, Verdict, judge_snapshots, resolve_duplicates

__all__ = ["QualityParameters", "QualityReport", "RejectedDayError", "clean_or_mask", "clean_tall_rows"]


def clean_or_mask(
    tall: pl.DataFrame, instrument_name: str, day: date, parameters: QualityParameters
) -> tuple[pl.DataFrame, QualityReport]:
    """Clean a day, or make zero rows of it where it is refused and `rejected_day` says to mask it.

    Rows of a wrong schema are never masked: that is a fault of the source and not of the day, and would quietly make
    every day empty.

    Args:
        tall: As `clean_tall_rows`.
        instrument_name: Name for messages.
        day: The UTC day.
        parameters: Limits.

    Returns:
        As `clean_tall_rows`; of a masked day zero rows of `TALL_SCHEMA`, lead-in included, and what was found, with
        `rejected` the cause and `reason` the message.

    Raises:
        RejectedDayError: A refused day that is not masked.
    """
    try:
        return clean_tall_rows(tall, instrument_name, day, parameters)
    except RejectedDayError as error:
        if parameters.rejected_day == "refuse" or error.cause == "schema":
            raise
        return tall.clear(), error.report


def clean_tall_rows(
    tall: pl.DataFrame, instrument_name: str, day: date, parameters: QualityParameters
) -> tuple[pl.DataFrame, QualityReport]:
    """Drop the snapshots that cannot be trusted and say how many and why.

    A day without a row is no error: what there is of the lead-in comes back and the report's `reason` says so.

    Args:
        tall: Rows of `TALL_SCHEMA` of one instrument, within [midnight - lead-in, next midnight).
        instrument_name: Name for messages.
        day: The UTC day.
        parameters: Limits.

    Returns:
        Rows of the snapshots kept, sorted by (ts, level), and the report.

    Raises:
        RejectedDayError: One of `refusals.REFUSALS`; carries what was found.
    """
    where = f"{instrument_name} {day.isoformat()}"
    require_schema(tall, where)
    require_span(tall, day, parameters, where)
    ordered, disorder = sort_rows(tall)
    report = QualityReport(
        rows=tall.height,
        out_of_order_rows=disorder.rows,
        most_late_seconds=disorder.most_late_us / MICROSECONDS_PER_SECOND,
    )
    if disorder.repeated or disorder.rows:
        resolved = resolve_duplicates(ordered)
        require_agreement(resolved.contradictions, report, where)
        ordered, report = resolved.rows, replace(report, superseded_rows=resolved.superseded)

    instants = instants_us(ordered)
    offsets = snapshot_offsets(instants)
    judgement = judge_snapshots(
        offsets, ordered, _microseconds(parameters.stuck_feed_seconds), _microseconds(parameters.gap_seconds)
    )
    report = _describe(report, judgement, instants[offsets[:-1]], day, parameters)
    require_limits(report, parameters, where)
    kept = judgement.verdicts == Verdict.KEPT
    if kept.all():
        return ordered, report
    return ordered.filter(pl.Series(np.repeat(kept, np.diff(offsets)))), report


def _describe(
    report: QualityReport, judgement: Judgement, instants: NDArray[np.int64], day: date, parameters: QualityParameters
) -> QualityReport:
    """Complete a report by what was judged of the snapshots, whose instants have the shape (snapshots,)."""
    start, end = (to_microseconds(bound) for bound in day_bounds(day))
    kept = judgement.verdicts == Verdict.KEPT
    dropped = {f"{verdict.name.lower()}_snapshots": judgement.verdicts == verdict for verdict in list(Verdict)[1:]}
    kept_instants, bid, ask = instants[kept], judgement.best_bid[kept], judgement.best_ask[kept]
    gap_us = _microseconds(parameters.gap_seconds)
    prices = flag_prices(
        (bid, ask), kept_instants, parameters.outlier_robust_z, _microseconds(parameters.fat_finger_seconds), gap_us
    )
    flagged = {
        "locked_snapshots": bid == ask,
        "outlier_mids": prices.outlying,
        "fat_finger_mids": prices.fat_finger,
        "stuck_snapshots": judgement.stuck[kept],
    }
    today = kept_instants >= start
    marks = np.concatenate(([start], kept_instants[today], [end]))
    silences = np.diff(marks)
    stuck = np.append(judgement.stuck[kept][today], np.False_)
    gap = silences > gap_us
    by_hour = {name: _count_by_hour(instants[found], start) for name, found in dropped.items()}
    by_hour |= {name: _count_by_hour(kept_instants[found], start) for name, found in flagged.items()}
    counts: dict[str, Any] = {name: int(found.sum()) for name, found in (dropped | flagged).items()}
    complete = replace(
        report,
        snapshots=len(instants),
        kept_snapshots=len(kept_instants),
        **counts,
        flagged_snapshots=int(np.logical_or.reduce(list(flagged.values())).sum()),
        gaps=int(gap.sum()),
        longest_gap_seconds=_seconds(silences.max()),
        longest_gaps=_longest_gaps(marks[:-1][gap], silences[gap]),
        stuck_seconds=_seconds(silences[stuck & ~gap].sum()),
        coverage_seconds=_seconds(silences[~stuck & ~gap].sum()),
        by_hour={name: hours for name, hours in by_hour.items() if any(hours)},
        reason=_reason_of_emptiness(instants, kept_instants, start),
    )
    return replace(complete, quality_index=quality_index(complete))


def _reason_of_emptiness(instants: NDArray[np.int64], kept_instants: NDArray[np.int64], start: int) -> str | None:
    if len(kept_instants) and kept_instants[-1] >= start:
        return None
    if len(instants) and instants[-1] >= start:
        return "every snapshot of the day was dropped"
    return "the source has no rows on the day"


def _longest_gaps(begins: NDArray[np.int64], silences: NDArray[np.int64]) -> tuple[tuple[str, float], ...]:
    longest = np.sort(np.argsort(-silences, kind="stable")[:GAPS_TOLD])
    return tuple((from_microseconds(int(begins[gap])).isoformat(), _seconds(silences[gap])) for gap in longest)


def _count_by_hour(instants: NDArray[np.int64], start: int) -> tuple[int, ...]:
    hours = (instants[instants >= start] - start) // (3_600 * MICROSECONDS_PER_SECOND)
    return tuple(np.bincount(hours, minlength=HOURS).tolist())


def _microseconds(seconds: float) -> int:
    return round(seconds * MICROSECONDS_PER_SECOND)


def _seconds(microseconds: np.int64) -> float:
    return float(microseconds / MICROSECONDS_PER_SECOND)
