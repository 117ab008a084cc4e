"""Cleaning of tall rows: which snapshots are dropped and why, and when a whole day is refused.

The rows come from a source; what passes here is compressed next. Policy: a snapshot with an impossible number, a
repeated level, a side without its best level, a crossed book or levels out of price order is dropped and counted by
cause; shares beyond the configured limits, conflicting duplicates, instants outside the day or too little coverage
refuse the day; a locked book and an outlying price are kept and flagged.
"""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.ordering import instants_us, snapshot_offsets, sort_rows
from trademl_assets.order_book.verdicts import Verdict, judge_snapshots, resolve_duplicates
from trademl_assets.sources.contract import TALL_SCHEMA

Share = Annotated[float, Field(ge=0, le=1)]

_MAD_TO_SIGMA = 1.4826
"""Median absolute deviation times this estimates the standard deviation of a normal variable."""


class QualityParameters(Parameters):
    """Limits beyond which a day of one instrument is refused, and thresholds of what is only flagged.

    Attributes:
        max_invalid_share: Greatest share of snapshots dropped for impossible numbers or exactly repeated levels.
        max_crossed_share: Greatest share of snapshots dropped for crossed books or levels out of price order.
        max_one_sided_share: Greatest share of snapshots dropped because a side lacks its best level.
        max_out_of_order_share: Greatest share of rows that came after a later one.
        max_lead_in_seconds: How far before midnight rows may begin.
        gap_seconds: A silence longer than this is a gap and not covered time.
        min_coverage_seconds: Least covered time of a day that has rows at all.
        outlier_robust_z: Mids whose return lies further out than this many robust standard deviations are flagged.
    """

    max_invalid_share: Share
    max_crossed_share: Share
    max_one_sided_share: Share
    max_out_of_order_share: Share
    max_lead_in_seconds: Annotated[int, Field(ge=0)]
    gap_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    min_coverage_seconds: Annotated[float, Field(ge=0, le=86_400)]
    outlier_robust_z: Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class QualityReport:
    """What was found in a day's rows, lead-in included; every dropped snapshot counts under exactly one cause.

    Attributes:
        rows: Tall rows that came in.
        snapshots: Distinct instants that came in.
        kept_snapshots: Snapshots that passed.
        duplicate_snapshots: Dropped, a level repeated with equal values.
        invalid_snapshots: Dropped, NaN, infinite or not positive price, negative quantity, price without quantity or
            the reverse.
        one_sided_snapshots: Dropped, level 0 of a side missing or empty.
        crossed_snapshots: Dropped, best bid above best ask.
        non_monotonic_snapshots: Dropped, prices of a side not strictly ordered by level.
        locked_snapshots: Kept, best bid equal to best ask.
        outlier_mids: Kept, mid moved further than the robust limit.
        out_of_order_rows: Rows that had to be sorted.
        superseded_rows: Rows replaced by a batch of a greater sequence number at the same instant.
        gaps: Silences on the day longer than `gap_seconds`, those at its two ends included.
        longest_gap_seconds: Longest silence on the day.
        coverage_seconds: Seconds of the day outside gaps.
        reason: Why there are no snapshots on the day, None where there are.
    """

    rows: int
    snapshots: int
    kept_snapshots: int
    duplicate_snapshots: int
    invalid_snapshots: int
    one_sided_snapshots: int
    crossed_snapshots: int
    non_monotonic_snapshots: int
    locked_snapshots: int
    outlier_mids: int
    out_of_order_rows: int
    superseded_rows: int
    gaps: int
    longest_gap_seconds: float
    coverage_seconds: float
    reason: str | None

    @property
    def dropped_snapshots(self) -> int:
        """Snapshots that did not pass, all causes together."""
        return self.snapshots - self.kept_snapshots

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain numbers and text."""
        return asdict(self)


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
        DataQualityError: Wrong columns, instants outside the day, conflicting duplicates, a limit exceeded, too
        little coverage.
    """
    where = f"{instrument_name} {day.isoformat()}"
    _require_schema(tall, where)
    _require_span(tall, day, parameters, where)
    rows = tall.height
    ordered, out_of_order = sort_rows(tall)
    _require_share(out_of_order, rows, parameters.max_out_of_order_share, "rows out of order", where)
    decided, superseded = resolve_duplicates(ordered, where)

    instants = instants_us(decided)
    offsets = snapshot_offsets(instants)
    causes, best_bid, best_ask = judge_snapshots(offsets, decided)
    counts = np.bincount(causes, minlength=len(Verdict)).tolist()
    snapshots, kept = len(causes), causes == Verdict.KEPT
    repeated = counts[Verdict.DUPLICATE] + counts[Verdict.INVALID]
    _require_share(
        repeated, snapshots, parameters.max_invalid_share, "snapshots with impossible numbers or repeated levels", where
    )
    disordered = counts[Verdict.CROSSED] + counts[Verdict.NON_MONOTONIC]
    _require_share(
        disordered,
        snapshots,
        parameters.max_crossed_share,
        "snapshots crossed or with levels out of price order",
        where,
    )
    _require_share(
        counts[Verdict.ONE_SIDED],
        snapshots,
        parameters.max_one_sided_share,
        "snapshots without a best bid or ask",
        where,
    )

    kept_instants = instants[offsets[:-1]][kept]
    silences = _silences(kept_instants, day)
    gaps = silences[silences > parameters.gap_seconds]
    coverage = float(silences.sum() - gaps.sum())
    reason = _reason_of_emptiness(instants, kept_instants, day)
    if reason is None and coverage < parameters.min_coverage_seconds:
        raise DataQualityError(
            f"{where}: covers {coverage:.0f} s, at least {parameters.min_coverage_seconds:.0f} s are asked for "
            f"({len(gaps)} gaps, the longest {gaps.max(initial=0.0):.0f} s) -> leave the day out or lower "
            "min_coverage_seconds"
        )
    report = QualityReport(
        rows=rows,
        snapshots=snapshots,
        kept_snapshots=counts[Verdict.KEPT],
        duplicate_snapshots=counts[Verdict.DUPLICATE],
        invalid_snapshots=counts[Verdict.INVALID],
        one_sided_snapshots=counts[Verdict.ONE_SIDED],
        crossed_snapshots=counts[Verdict.CROSSED],
        non_monotonic_snapshots=counts[Verdict.NON_MONOTONIC],
        locked_snapshots=int((best_bid[kept] == best_ask[kept]).sum()),
        outlier_mids=_count_outliers((best_bid[kept] + best_ask[kept]) / 2, parameters.outlier_robust_z),
        out_of_order_rows=out_of_order,
        superseded_rows=superseded,
        gaps=len(gaps),
        longest_gap_seconds=float(silences.max(initial=0.0)),
        coverage_seconds=coverage,
        reason=reason,
    )
    if kept.all():
        return decided, report
    return decided.filter(pl.Series(np.repeat(kept, np.diff(offsets)))), report


def _require_schema(tall: pl.DataFrame, where: str) -> None:
    if list(tall.schema.items()) != list(TALL_SCHEMA.items()):
        differing = [
            f"{name}: {tall.schema.get(name, 'missing')} instead of {TALL_SCHEMA.get(name, 'nothing')}"
            for name in dict.fromkeys([*TALL_SCHEMA, *tall.columns])
            if tall.schema.get(name) != TALL_SCHEMA.get(name)
        ] or [f"columns in the order {tall.columns}"]
        raise DataQualityError(f"{where}: tall rows have the wrong schema ({'; '.join(differing)}) -> mend the source")
    for name in ("ts", "level"):
        if tall[name].null_count():
            raise DataQualityError(f"{where}: {tall[name].null_count()} tall rows have no {name} -> mend the source")


def _require_span(tall: pl.DataFrame, day: date, parameters: QualityParameters, where: str) -> None:
    if tall.is_empty():
        return
    start, end = (to_microseconds(bound) for bound in day_bounds(day))
    instants = instants_us(tall)
    first, last = int(instants.min()), int(instants.max())
    if first < start - parameters.max_lead_in_seconds * MICROSECONDS_PER_SECOND or last >= end:
        raise DataQualityError(
            f"{where}: instants from {from_microseconds(first).isoformat()} to {from_microseconds(last).isoformat()} "
            f"lie outside the day and its lead-in of {parameters.max_lead_in_seconds} s -> check the time unit and "
            "zone of the source"
        )


def _require_share(count: int, total: int, limit: float, what: str, where: str) -> None:
    if count > limit * total:
        raise DataQualityError(
            f"{where}: {count} of {total} {what} ({count / total:.3%}), at most {limit:.3%} allowed -> inspect the "
            "source or leave the day out"
        )


def _silences(kept_instants: NDArray[np.int64], day: date) -> NDArray[np.float64]:
    """Seconds between successive snapshots, from midnight to midnight, both ends included."""
    start, end = (to_microseconds(bound) for bound in day_bounds(day))
    marks = np.concatenate(([start], kept_instants[kept_instants >= start], [end]))
    return np.diff(marks) / MICROSECONDS_PER_SECOND


def _reason_of_emptiness(instants: NDArray[np.int64], kept_instants: NDArray[np.int64], day: date) -> str | None:
    start = to_microseconds(day_bounds(day)[0])
    if len(kept_instants) and kept_instants[-1] >= start:
        return None
    if len(instants) and instants[-1] >= start:
        return "every snapshot of the day was dropped"
    return "the source has no rows on the day"


def _count_outliers(mids: NDArray[np.float64], limit: float) -> int:
    """Mids whose log return lies beyond `limit` robust standard deviations.

    The scale is the median absolute deviation, and the mean absolute deviation where that is zero.
    """
    if len(mids) < 2:  # noqa: PLR2004 - a return needs two mids
        return 0
    returns = np.diff(np.log(mids))
    deviations = np.abs(returns - np.median(returns))
    scale = _MAD_TO_SIGMA * np.median(deviations) or np.sqrt(np.pi / 2) * deviations.mean()
    return int((deviations > limit * scale).sum())
