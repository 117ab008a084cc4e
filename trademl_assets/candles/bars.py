"""Bars of one instrument and month, checked: what is impossible is dropped and counted, nothing is made up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.candles.parameters import CandleParameters
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.sources.bar_contract import BAR_SCHEMA, OPTIONAL, PRICES, bar_contract, consistent
from trademl_assets.sources.contract import INSTANT
from trademl_assets.sources.contracts import require_contract

GAP_SCHEMA: Mapping[str, pl.DataType] = {"first_missing": INSTANT, "bars": pl.Int64()}
"""One row per stretch of missing bars within the month: opening of the first of them, and how many."""

NORMAL_MAD = 1.4826  # of a normal, standard deviation over median absolute deviation


@dataclass(frozen=True)
class BarReport:
    """What was found in a month of bars.

    Attributes:
        expected: Bars that the month has room for.
        read: Rows that the source handed out.
        bars: Bars kept.
        impossible: Dropped: a number that is null, not finite, not positive (prices) or negative (volumes).
        inconsistent: Dropped: a body that is not within low and high.
        off_cadence: Dropped: an opening between two steps.
        repeated: Dropped: exact repetitions.
        out_of_order: Rows that came after a later one; sorted.
        missing: Bars that are not there.
        gaps: Stretches of them.
        longest_gap_seconds: Longest stretch.
        idle: Bars kept that saw no trade: their close is an old one.
        longest_idle_seconds: Longest stretch of such bars, missing ones not counted.
        outliers: Closes flagged for their return; kept.
    """

    expected: int
    read: int
    bars: int
    impossible: int
    inconsistent: int
    off_cadence: int
    repeated: int
    out_of_order: int
    missing: int
    gaps: int
    longest_gap_seconds: int
    idle: int
    longest_idle_seconds: int
    outliers: int

    @property
    def coverage(self) -> float:
        """Share of the month's bars that there are."""
        return self.bars / self.expected

    @property
    def reason(self) -> str:
        """Why the month is empty, nothing where it is not."""
        return "" if self.bars else f"no bar of the month among {self.read} rows that were read"

    def as_dict(self) -> dict[str, Any]:
        """All counts, the coverage, and the reason of an empty month."""
        stated: dict[str, Any] = {**self.__dict__, "coverage": self.coverage}
        return stated | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True)
class CheckedBars:
    """Bars of a month.

    Attributes:
        table: Rows of `BAR_SCHEMA`, ascending.
        gaps: Rows of `GAP_SCHEMA`, ascending.
        report: What was found.
    """

    table: pl.DataFrame
    gaps: pl.DataFrame
    report: BarReport


def month_days(month: date) -> tuple[date, date]:
    """First and last day of the month that begins at `month`."""
    following = (month.replace(day=1) + timedelta(days=31)).replace(day=1)
    return month.replace(day=1), following - timedelta(days=1)


def check_bars(rows: pl.DataFrame, instrument: str, month: date, parameters: CandleParameters) -> CheckedBars:
    """Judge and order the bars of one instrument and month.

    Args:
        rows: Rows of `BAR_SCHEMA` as a source handed them out.
        instrument: Its name, for messages.
        month: First day of the month.
        parameters: Cadence and limits.

    Raises:
        DataQualityError: Rows of another layout or another month, an opening stated twice with different values, or
            more defects or fewer bars than allowed; names instrument and month.
    """
    where = f"bars of {instrument} in {month:%Y-%m}"
    first, last = (to_microseconds(day_bounds(day)[end]) for day, end in zip(month_days(month), (0, 1), strict=True))
    _require_layout(rows, first, last, where)
    step = parameters.cadence_seconds * MICROSECONDS_PER_SECOND
    sound, dropped = _drop_unsound(rows, step)
    out_of_order = int((sound["ts"].to_physical() < sound["ts"].to_physical().cum_max()).sum())
    table = sound.sort("ts", maintain_order=True).unique(maintain_order=True)
    dropped["repeated"] = sound.height - table.height
    _refuse_conflicts(table, where)
    gaps = _find_gaps(table["ts"].to_physical().to_numpy(), first, last, step)
    report = BarReport(
        expected=(last - first) // step,
        read=rows.height,
        bars=table.height,
        **dropped,
        out_of_order=out_of_order,
        missing=int(gaps["bars"].sum()),
        gaps=gaps.height,
        longest_gap_seconds=int(gaps["bars"].max() or 0) * parameters.cadence_seconds,  # type: ignore[arg-type]  # a column of counts
        **_idle(table, parameters.cadence_seconds),
        outliers=_count_outliers(table, step, parameters.quality.outlier_robust_z),
    )
    _refuse_beyond_limits(report, parameters, where)
    require_contract(table, bar_contract(parameters.cadence_seconds), where)
    return CheckedBars(table, gaps, report)


def _require_layout(rows: pl.DataFrame, first: int, last: int, where: str) -> None:
    if dict(rows.schema) != dict(BAR_SCHEMA):
        raise DataQualityError(f"{where}: columns are {dict(rows.schema)} -> a source gives {dict(BAR_SCHEMA)}")
    if rows["ts"].null_count():
        raise DataQualityError(f"{where}: {rows['ts'].null_count()} rows have no instant -> mend the source")
    opened = rows["ts"].to_physical().to_numpy()
    if len(opened) and (opened.min() < first or opened.max() >= last):
        raise DataQualityError(
            f"{where}: rows from {from_microseconds(int(opened.min()))} to {from_microseconds(int(opened.max()))} lie "
            "beyond the month -> check the source and its unit of time"
        )


def _drop_unsound(rows: pl.DataFrame, step: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Bars whose numbers can be, and how many were dropped for which reason; each counts for its first."""
    price = [pl.col(name).is_finite() & (pl.col(name) > 0) for name in PRICES]
    known = [
        pl.col(name).is_null() | (pl.col(name) >= 0) & pl.col(name).cast(pl.Float64).is_finite()
        for name in sorted(OPTIONAL)
    ]
    volume = pl.col("volume").is_finite() & (pl.col("volume") >= 0)
    verdicts = {
        "impossible": pl.all_horizontal(*price, volume, *known),
        "inconsistent": consistent(),
        "off_cadence": pl.col("ts").to_physical() % step == 0,
    }
    kept, dropped = rows, {}
    for reason, sound in verdicts.items():
        before = kept.height
        kept = kept.filter(sound.fill_null(value=False))
        dropped[reason] = before - kept.height
    return kept, dropped


def _refuse_conflicts(table: pl.DataFrame, where: str) -> None:
    twice = table.filter(pl.col("ts").is_duplicated())
    if twice.height:
        raise DataQualityError(
            f"{where}: {twice['ts'].n_unique()} openings are stated with different values, the first is "
            f"{twice['ts'][0].isoformat()} -> nothing says which is right: fetch the files again"
        )


def _find_gaps(opened: NDArray[np.int64], first: int, last: int, step: int) -> pl.DataFrame:
    ends = np.concatenate([[first - step], opened, [last]])
    missing = np.diff(ends) // step - 1
    at = np.flatnonzero(missing)
    columns = {"first_missing": pl.Series(ends[at] + step).cast(INSTANT), "bars": missing[at]}
    return pl.DataFrame(columns, schema=dict(GAP_SCHEMA))


def _idle(table: pl.DataFrame, cadence_seconds: int) -> dict[str, int]:
    idle = (table["volume"] == 0).to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], idle, [False]]).astype(np.int8)))
    longest = int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
    return {"idle": int(idle.sum()), "longest_idle_seconds": longest * cadence_seconds}


def _count_outliers(table: pl.DataFrame, step: int, limit: float) -> int:
    """Returns between neighbouring bars that lie far out, by median and median absolute deviation of those not zero."""
    neighbours = np.diff(table["ts"].to_physical().to_numpy()) == step
    returns = np.diff(np.log(table["close"].to_numpy()))[neighbours]
    moved = returns[returns != 0]
    if not len(moved):
        return 0
    spread = NORMAL_MAD * np.median(np.abs(moved - np.median(moved)))
    return int((np.abs(moved - np.median(moved)) > limit * spread).sum()) if spread > 0 else 0


def _refuse_beyond_limits(report: BarReport, parameters: CandleParameters, where: str) -> None:
    limits, rows = parameters.quality, max(report.read, 1)
    invalid = report.impossible + report.inconsistent + report.off_cadence + report.repeated
    if invalid > limits.max_invalid_share * rows:
        raise DataQualityError(
            f"{where}: {invalid} of {report.read} bars are unsound ({report.impossible} impossible, "
            f"{report.inconsistent} inconsistent, {report.off_cadence} off the cadence, {report.repeated} repeated), "
            f"allowed is a share of {limits.max_invalid_share} -> fetch the files again or look at the source"
        )
    if report.out_of_order > limits.max_out_of_order_share * rows:
        raise DataQualityError(
            f"{where}: {report.out_of_order} of {report.read} bars come after a later one, allowed is a share of "
            f"{limits.max_out_of_order_share} -> sort the files, or raise max_out_of_order_share"
        )
    if report.coverage < limits.min_coverage_share:
        raise DataQualityError(
            f"{where}: {report.bars} of {report.expected} bars are there, a share of {limits.min_coverage_share} is "
            "wanted -> fetch the missing files, or lower min_coverage_share"
        )
