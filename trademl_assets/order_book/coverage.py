"""The coverage calendar: what there is of every instrument and day, and the longest ranges to train on.

It is made from what the manifests of book_snapshots say; no day is read for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, Any

import polars as pl
from pydantic import Field

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.quality_report import SECONDS_PER_DAY

STATES = ("covered", "empty", "rejected", "missing")

COVERAGE_SCHEMA: Mapping[str, pl.DataType] = {
    "instrument": pl.String(),
    "day": pl.Date(),
    "state": pl.String(),
    "rows": pl.Int64(),
    "snapshots": pl.Int64(),
    "dropped_snapshots": pl.Int64(),
    "coverage_share": pl.Float64(),
    "quality_index": pl.Float64(),
    "cause": pl.String(),
}
"""One row per instrument and day.

`state` is `covered` (snapshots on the day), `empty` (the source has none), `rejected` (refused or masked) or `missing`
(never materialised). `rows` lie in the partition, `snapshots` came in, `dropped_snapshots` of them were dropped;
`coverage_share` and `quality_index` are 0 to 1. The last four are null where nobody measured them: of imported history.
`cause` says why a day is not covered, and is empty where it is.
"""

RANGE_SCHEMA: Mapping[str, pl.DataType] = {
    "first": pl.Date(),
    "last": pl.Date(),
    "days": pl.Int64(),
    "missing_days": pl.Int64(),
    "mean_coverage": pl.Float64(),
    "mean_quality": pl.Float64(),
}
"""One row per range of days, both ends included; means over what was measured of the required instruments' days,
what is missing counts 0."""


class CoverageParameters(Parameters):
    """What a range of days needs to be worth training on.

    Attributes:
        minimum_coverage_share: Least share of the day that every required instrument covers.
        allowed_missing_days: Days within a range that may fall short of that.
    """

    minimum_coverage_share: Annotated[float, Field(ge=0, le=1)]
    allowed_missing_days: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class DayFacts:
    """What is known of one instrument and day.

    Attributes:
        rows: Rows of its partition, 0 where there is none.
        quality: `QualityReport.as_dict()` from the partition's manifest, None where nobody cleaned the day.
        set_aside: Why the day's input was set aside, None where it was not.
    """

    rows: int
    quality: Mapping[str, Any] | None
    set_aside: str | None


def coverage_rows(instrument_name: str, days: Sequence[date], facts: Mapping[date, DayFacts]) -> pl.DataFrame:
    """Tell the state of every day of one instrument.

    Args:
        instrument_name: The instrument.
        days: The days of the calendar.
        facts: What is known, by day; a day without facts is missing.

    Returns:
        Rows of `COVERAGE_SCHEMA` in the order of `days`.
    """
    rows = [{"instrument": instrument_name, "day": day, **_describe(facts.get(day))} for day in days]
    return pl.DataFrame(rows, schema=dict(COVERAGE_SCHEMA), orient="row")


def longest_ranges(
    coverage: pl.DataFrame,
    required_instruments: Sequence[str],
    minimum_coverage_share: float,
    allowed_missing_days: int,
) -> pl.DataFrame:
    """Find the ranges of days on which all required instruments are covered well enough.

    A range begins and ends with a good day, holds at most `allowed_missing_days` that are not, and cannot be made
    longer; with such days allowed, ranges may overlap. A covered day whose coverage nobody measured is good.

    Args:
        coverage: Rows of `COVERAGE_SCHEMA`; days without a row are missing.
        required_instruments: Instruments that must be covered, at least one.
        minimum_coverage_share: Least share of a good day that is covered.
        allowed_missing_days: How many days of a range may be not good.

    Returns:
        Rows of `RANGE_SCHEMA`, the longest first, of equal ones the earliest.

    Raises:
        DataQualityError: No instrument is required, or one that the calendar does not have.
    """
    required = list(dict.fromkeys(required_instruments))
    unknown = sorted(set(required) - set(coverage["instrument"]))
    if unknown or not required:
        raise DataQualityError(
            f"required instruments {required}: the coverage calendar has no {unknown or 'instrument to look at'} -> "
            f"name some of {sorted(set(coverage['instrument']))}"
        )
    good = (pl.col("state") == "covered") & (pl.col("coverage_share").fill_null(1.0) >= minimum_coverage_share)
    by_day = (
        coverage.filter(pl.col("instrument").is_in(required))
        .group_by("day")
        .agg(
            good=good.sum() == len(required),
            coverage=pl.col("coverage_share").sum(),
            quality=pl.col("quality_index").sum(),
            unmeasured=pl.col("coverage_share").null_count(),
        )
        .sort("day")
    )
    runs = _runs(by_day.filter("good")["day"].to_list())
    ranges = [_measure(by_day, len(required), first, last) for first, last in _joined(runs, allowed_missing_days)]
    return pl.DataFrame(ranges, schema=dict(RANGE_SCHEMA), orient="row").sort("days", "first", descending=[True, False])


def _describe(facts: DayFacts | None) -> dict[str, Any]:
    """State and numbers of a day."""
    state, cause = _state(facts)
    report = None if facts is None else facts.quality
    numbers: dict[str, Any] = {"snapshots": None, "dropped_snapshots": None}
    if report is not None:
        numbers = {
            "snapshots": report["snapshots"],
            "dropped_snapshots": report["snapshots"] - report["kept_snapshots"],
            "coverage_share": report["coverage_seconds"] / SECONDS_PER_DAY,
            "quality_index": report["quality_index"],
        }
    elif state != "covered":
        numbers = {"snapshots": 0, "dropped_snapshots": 0, "coverage_share": 0.0, "quality_index": 0.0}
    return {"state": state, "rows": facts.rows if facts else 0, **numbers, "cause": cause}


def _state(facts: DayFacts | None) -> tuple[str, str]:
    """State of a day and why it is not covered."""
    if facts is None:
        return "missing", "not materialised"
    rejected = (facts.quality or {}).get("rejected") or (None if facts.rows else facts.set_aside)
    if rejected:
        return "rejected", rejected
    reason = (facts.quality or {}).get("reason") or (None if facts.rows else "the source has no rows on the day")
    return ("empty", reason) if reason else ("covered", "")


def _runs(days: Sequence[date]) -> list[tuple[date, date]]:
    """First and last of every run of successive days."""
    if not days:
        return []
    breaks = [(before, after) for before, after in pairwise(days) if (after - before).days > 1]
    return list(
        zip([days[0], *(after for _, after in breaks)], [*(before for before, _ in breaks), days[-1]], strict=True)
    )


def _joined(runs: Sequence[tuple[date, date]], allowed: int) -> list[tuple[date, date]]:
    """Ranges of successive runs with at most `allowed` days between them in all, none of them within another."""
    found: list[tuple[date, date]] = []
    reached = -1
    for start in range(len(runs)):
        end, between = start, 0
        while end + 1 < len(runs):
            between += (runs[end + 1][0] - runs[end][1]).days - 1
            if between > allowed:
                break
            end += 1
        if end > reached:
            found.append((runs[start][0], runs[end][1]))
            reached = end
    return found


def _measure(by_day: pl.DataFrame, required: int, first: date, last: date) -> dict[str, Any]:
    """Row of `RANGE_SCHEMA` of one range."""
    within = by_day.filter(pl.col("day").is_between(first, last))
    days = (last - first).days + 1
    measured = days * required - int(within["unmeasured"].sum())
    return {
        "first": first,
        "last": last,
        "days": days,
        "missing_days": days - int(within["good"].sum()),
        "mean_coverage": float(within["coverage"].sum()) / measured if measured else None,
        "mean_quality": float(within["quality"].sum()) / measured if measured else None,
    }
