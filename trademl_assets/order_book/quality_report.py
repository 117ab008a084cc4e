"""What was found in a day's rows: counts by cause, flags, coverage and one index of quality."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SECONDS_PER_DAY = 86_400
HOURS = 24
GAPS_TOLD = 10
"""A feed that falters has thousands; all are counted, the longest are told one by one."""

Cause = Literal[
    "schema",
    "outside_day",
    "conflicting_duplicates",
    "out_of_order",
    "invalid",
    "crossed",
    "one_sided",
    "coverage",
]
"""Why a day is refused."""


@dataclass(frozen=True)
class QualityReport:
    """What was found in a day's rows, lead-in included; every dropped snapshot counts under exactly one cause.

    All of these look at the whole day, unlike the verdict on a single snapshot. The fields in seconds, `gaps` and
    `by_hour` leave the lead-in out.

    Attributes:
        rows: Tall rows that came in.
        snapshots: Distinct instants that came in.
        kept_snapshots: Snapshots that passed.
        duplicate_snapshots: Dropped, a level repeated with equal values.
        invalid_snapshots: Dropped, NaN, infinite or not positive price, negative quantity, price without quantity or
            the reverse, negative level.
        one_sided_snapshots: Dropped, level 0 of a side missing or empty.
        crossed_snapshots: Dropped, best bid above best ask.
        non_monotonic_snapshots: Dropped, prices of a side not strictly ordered by level.
        locked_snapshots: Kept and flagged, best bid equal to best ask.
        outlier_mids: Kept and flagged, mid moved further than the robust limit.
        fat_finger_mids: Kept and flagged, mid jumped further than the robust limit and came back soon after.
        stuck_snapshots: Kept and flagged, whole book as it was for longer than a feed that lives leaves it.
        flagged_snapshots: Kept with at least one of these flags.
        out_of_order_rows: Rows that had to be sorted.
        most_late_seconds: How far a row lay behind the latest before it.
        superseded_rows: Rows replaced by a batch of a greater sequence number at the same instant.
        gaps: Silences on the day longer than `gap_seconds`, those at its two ends included.
        longest_gap_seconds: Longest silence on the day.
        longest_gaps: The longest gaps, `GAPS_TOLD` at most, in the order of time: first instant (ISO 8601) and seconds.
        stuck_seconds: Seconds of the day that end in a stuck snapshot.
        coverage_seconds: Seconds of the day outside gaps and not stuck.
        quality_index: See `quality_index`.
        by_hour: Snapshots dropped or flagged in each of the 24 hours of the day, by what was found; what was not found
            is left out.
        reason: Why there are no snapshots on the day, None where there are.
        rejected: Why the day is refused, None where it is not.
    """

    rows: int
    snapshots: int = 0
    kept_snapshots: int = 0
    duplicate_snapshots: int = 0
    invalid_snapshots: int = 0
    one_sided_snapshots: int = 0
    crossed_snapshots: int = 0
    non_monotonic_snapshots: int = 0
    locked_snapshots: int = 0
    outlier_mids: int = 0
    fat_finger_mids: int = 0
    stuck_snapshots: int = 0
    flagged_snapshots: int = 0
    out_of_order_rows: int = 0
    most_late_seconds: float = 0.0
    superseded_rows: int = 0
    gaps: int = 0
    longest_gap_seconds: float = 0.0
    longest_gaps: tuple[tuple[str, float], ...] = ()
    stuck_seconds: float = 0.0
    coverage_seconds: float = 0.0
    quality_index: float = 0.0
    by_hour: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reason: str | None = None
    rejected: Cause | None = None

    @property
    def dropped_snapshots(self) -> int:
        """Snapshots that did not pass, all causes together."""
        return self.snapshots - self.kept_snapshots

    @property
    def coverage_share(self) -> float:
        """Covered share of the day, 0 to 1."""
        return self.coverage_seconds / SECONDS_PER_DAY

    def as_dict(self) -> dict[str, Any]:
        """All fields as they come back from JSON: numbers, text, lists and mappings of them."""
        return {
            **asdict(self),
            "longest_gaps": [list(gap) for gap in self.longest_gaps],
            "by_hour": {name: list(counts) for name, counts in self.by_hour.items()},
        }


def quality_index(report: QualityReport) -> float:
    """How good a source day is, from 0 (nothing) to 1 (all of the day, nothing dropped, flagged or out of place).

    The product of four shares, each of which falls with every defect it counts:

        covered seconds / 86,400                                  gaps and stuck time
        (kept - flagged snapshots) / snapshots                    dropped, locked, outlying and stuck snapshots
        1 - rows out of order / rows                              late rows
        1 - superseded rows / rows                                levels that came twice

    It measures what there was of the day, whether or not the day is refused.
    """
    if not report.snapshots:
        return 0.0
    clean = (report.kept_snapshots - report.flagged_snapshots) / report.snapshots
    in_order = 1 - report.out_of_order_rows / report.rows
    once = 1 - report.superseded_rows / report.rows
    return report.coverage_share * clean * in_order * once
