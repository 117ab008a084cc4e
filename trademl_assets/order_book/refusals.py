"""When a whole day is refused, why, and with which words.

These verdicts may look at every row of the day, unlike those on single snapshots.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import NoReturn

import polars as pl

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book.ordering import instants_us
from trademl_assets.order_book.quality_parameters import QualityParameters
from trademl_assets.order_book.quality_report import Cause, QualityReport
from trademl_assets.sources.contract import TALL_SCHEMA

REFUSALS: Mapping[Cause, str] = {
    "schema": "the columns are not those of tall rows",
    "outside_day": "instants lie outside the day and its lead-in",
    "conflicting_duplicates": "rows contradict each other and no sequence number decides",
    "out_of_order": "too many rows came late, or one came too late",
    "invalid": "too many snapshots with impossible numbers or repeated levels",
    "crossed": "too many snapshots crossed or with levels out of price order",
    "one_sided": "too many snapshots without a best bid or ask",
    "coverage": "too little of the day is covered",
}
"""Verdicts on whole days, each of which may look at every row of the day."""

_UNITS = (
    ("milliseconds taken for microseconds", 1_000, 1),
    ("seconds taken for microseconds", 1_000_000, 1),
    ("nanoseconds taken for microseconds", 1, 1_000),
)


class RejectedDayError(DataQualityError):
    """A day of one instrument lies beyond the limits.

    Attributes:
        cause: Short code of the limit.
        report: What was found, as far as it could be computed, with `rejected` and `reason`.
    """

    def __init__(self, message: str, cause: Cause, report: QualityReport) -> None:
        super().__init__(message)
        self.cause: Cause = cause
        self.report = report


def require_schema(tall: pl.DataFrame, where: str) -> None:
    """Refuse a frame whose columns are not those of `TALL_SCHEMA`, or with a null in its keys."""
    report = QualityReport(rows=tall.height)
    if list(tall.schema.items()) != list(TALL_SCHEMA.items()):
        differing = [
            f"{name}: {tall.schema.get(name, 'missing')} instead of {TALL_SCHEMA.get(name, 'nothing')}"
            for name in dict.fromkeys([*TALL_SCHEMA, *tall.columns])
            if tall.schema.get(name) != TALL_SCHEMA.get(name)
        ] or [f"columns in the order {tall.columns}"]
        _refuse(
            "schema", f"{where}: tall rows have the wrong schema ({'; '.join(differing)}) -> mend the source", report
        )
    for name in ("ts", "level"):
        if tall[name].null_count():
            _refuse("schema", f"{where}: {tall[name].null_count()} tall rows have no {name} -> mend the source", report)


def require_span(tall: pl.DataFrame, day: date, parameters: QualityParameters, where: str) -> None:
    """Refuse instants outside [midnight - lead-in, next midnight), with a guess where the time unit explains them."""
    if tall.is_empty():
        return
    start, end = (to_microseconds(bound) for bound in day_bounds(day))
    start -= parameters.max_lead_in_seconds * MICROSECONDS_PER_SECOND
    instants = instants_us(tall)
    first, last = int(instants.min()), int(instants.max())
    if start <= first and last < end:
        return
    guess = next(
        (
            f"; they are {what}"
            for what, factor, divisor in _UNITS
            if start <= first * factor // divisor and last * factor // divisor < end
        ),
        "",
    )
    _refuse(
        "outside_day",
        f"{where}: instants from {_shown(first)} to {_shown(last)} lie outside the day and its lead-in of "
        f"{parameters.max_lead_in_seconds} s{guess} -> check the time unit and zone of the source",
        QualityReport(rows=tall.height),
    )


def require_agreement(contradictions: pl.DataFrame, report: QualityReport, where: str) -> None:
    """Refuse rows of one batch that contradict each other."""
    if contradictions.is_empty():
        return
    first = contradictions.row(0, named=True)
    _refuse(
        "conflicting_duplicates",
        f"{where}: rows of {first['ts'].isoformat()} level {first['level']} batch {first['batch_id']} contradict each "
        f"other and no sequence number decides ({contradictions.height} such rows) -> mend the source",
        report,
    )


def require_limits(report: QualityReport, parameters: QualityParameters, where: str) -> None:
    """Refuse a day that is beyond a configured limit; of several the first in the order of the day's processing."""
    rows, snapshots = report.rows, report.snapshots
    spoilt = report.duplicate_snapshots + report.invalid_snapshots
    disordered = report.crossed_snapshots + report.non_monotonic_snapshots
    shares: tuple[tuple[Cause, int, int, float, str], ...] = (
        ("out_of_order", report.out_of_order_rows, rows, parameters.max_out_of_order_share, "rows out of order"),
        (
            "invalid",
            spoilt,
            snapshots,
            parameters.max_invalid_share,
            "snapshots with impossible numbers or repeated levels",
        ),
        (
            "crossed",
            disordered,
            snapshots,
            parameters.max_crossed_share,
            "snapshots crossed or with levels out of price order",
        ),
        (
            "one_sided",
            report.one_sided_snapshots,
            snapshots,
            parameters.max_one_sided_share,
            "snapshots without a best bid or ask",
        ),
    )
    for cause, count, total, limit, what in shares:
        if total and count / total > limit:
            _refuse(
                cause,
                f"{where}: {count} of {total} {what} ({count / total:.3%}), at most {limit:.3%} allowed -> inspect the "
                "source or leave the day out",
                report,
            )
    if report.most_late_seconds > parameters.max_out_of_order_seconds:
        _refuse(
            "out_of_order",
            f"{where}: a row lies {report.most_late_seconds:.3f} s behind one before it, at most "
            f"{parameters.max_out_of_order_seconds:.3f} s allowed -> inspect the source or leave the day out",
            report,
        )
    if report.reason is None and report.coverage_seconds < parameters.min_coverage_seconds:
        _refuse(
            "coverage",
            f"{where}: covers {report.coverage_seconds:.0f} s, at least {parameters.min_coverage_seconds:.0f} s are "
            f"asked for ({report.gaps} gaps, the longest silence {report.longest_gap_seconds:.0f} s, "
            f"{report.stuck_seconds:.0f} s stuck) -> leave the day out or lower min_coverage_seconds",
            report,
        )


def _refuse(cause: Cause, message: str, report: QualityReport) -> NoReturn:
    raise RejectedDayError(message, cause, replace(report, rejected=cause, reason=message))


def _shown(instant_us: int) -> str:
    try:
        return from_microseconds(instant_us).isoformat()
    except OverflowError:
        return f"{instant_us} us since 1970"
