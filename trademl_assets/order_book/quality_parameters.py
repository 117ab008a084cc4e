"""Limits and thresholds of the quality of a day."""

from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.quality_report import SECONDS_PER_DAY

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class QualityParameters(Parameters):
    """Limits beyond which a day of one instrument is refused, and thresholds of what is only flagged.

    Attributes:
        max_invalid_share: Greatest share of snapshots dropped for impossible numbers or exactly repeated levels.
        max_crossed_share: Greatest share of snapshots dropped for crossed books or levels out of price order.
        max_one_sided_share: Greatest share of snapshots dropped because a side lacks its best level.
        max_out_of_order_share: Greatest share of rows that came after a later one.
        max_out_of_order_seconds: How far a row may lie behind the latest before it.
        max_lead_in_seconds: How far before midnight rows may begin.
        gap_seconds: A silence longer than this is a gap and not covered time.
        stuck_feed_seconds: A book wholly unchanged for longer than this, while instants go on, is stuck.
        min_coverage_seconds: Least covered time of a day that has rows at all.
        outlier_robust_z: Mids whose return lies further out than this many robust standard deviations are flagged.
        fat_finger_seconds: A flagged jump of the mid that is back within this time is a fat finger.
        rejected_day: `refuse` fails; `mask` makes an explicit day of zero rows that says why.
    """

    max_invalid_share: Share
    max_crossed_share: Share
    max_one_sided_share: Share
    max_out_of_order_share: Share
    max_out_of_order_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    max_lead_in_seconds: Annotated[int, Field(ge=0)]
    gap_seconds: Seconds
    stuck_feed_seconds: Seconds
    min_coverage_seconds: Annotated[float, Field(ge=0, le=SECONDS_PER_DAY)]
    outlier_robust_z: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    fat_finger_seconds: Seconds
    rejected_day: Literal["refuse", "mask"]
