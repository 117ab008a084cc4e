"""What was dropped from a day and what was flagged in it, as a picture."""

from datetime import date

import numpy as np
from matplotlib.axes import Axes

from trademl_assets.order_book.figures import new_figure, render_png
from trademl_assets.order_book.quality_report import HOURS, QualityReport

_DROPPED = {
    "duplicate_snapshots": ("repeated levels", "#332288"),
    "invalid_snapshots": ("impossible numbers", "#882255"),
    "one_sided_snapshots": ("one side missing", "#44aa99"),
    "crossed_snapshots": ("crossed", "#cc6677"),
    "non_monotonic_snapshots": ("levels out of order", "#ddaa33"),
}
_FLAGGED = {
    "locked_snapshots": ("locked", "#999999"),
    "outlier_mids": ("outlying price", "#88ccee"),
    "fat_finger_mids": ("fat finger", "#aa4499"),
    "stuck_snapshots": ("stuck feed", "#117733"),
}
_FOUND = {**_DROPPED, **_FLAGGED}


def draw_quality_day(report: QualityReport, instrument_name: str, day: date) -> bytes:
    """Draw how many snapshots were dropped, by cause, and flagged; beside it when on the day.

    Args:
        report: What was found.
        instrument_name: Name for the title.
        day: The UTC day.

    Returns:
        A PNG of about 800 x 300 pixels. Hatched bars were dropped, plain ones kept and flagged; a snapshot with
        several flags counts under each.
    """
    figure = new_figure(800, 300)
    verdict = "" if report.rejected is None else f", REFUSED for {report.rejected}"
    figure.suptitle(
        f"{instrument_name} {day.isoformat()}: {report.coverage_share:.1%} of the day covered, quality index "
        f"{report.quality_index:.3f}{verdict}\n"
        f"{report.snapshots:,} snapshots, {report.dropped_snapshots:,} dropped, {report.flagged_snapshots:,} flagged",
        fontsize=9,
    )
    causes, hours = figure.subplots(1, 2, width_ratios=(3, 4))
    _draw_causes(causes, report)
    _draw_hours(hours, report)
    for axes in (causes, hours):
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return render_png(figure)


def _draw_causes(axes: Axes, report: QualityReport) -> None:
    """A bar for everything that may be found, on a scale that shows one among thousands."""
    counts = [getattr(report, name) for name in _FOUND]
    bars = axes.barh(
        [label for label, _ in _FOUND.values()],
        counts,
        color=[colour for _, colour in _FOUND.values()],
        edgecolor="white",
        hatch=["///" if name in _DROPPED else "" for name in _FOUND],
    )
    axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8, padding=3)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(0, 10 * max(1, *counts))
    axes.invert_yaxis()
    axes.axhline(len(_DROPPED) - 0.5, color="#cccccc", linewidth=0.8)
    axes.set_xlabel("snapshots, dropped (hatched) or flagged", fontsize=8)


def _draw_hours(axes: Axes, report: QualityReport) -> None:
    """Bars of each hour, stacked."""
    axes.set_xlim(0, HOURS)
    axes.set_xticks(range(0, HOURS + 1, 3))
    axes.set_xlabel("hour (UTC)", fontsize=8)
    axes.set_ylabel("snapshots", fontsize=8)
    below = np.zeros(HOURS, np.int64)
    for name, counts in report.by_hour.items():
        axes.bar(
            np.arange(HOURS) + 0.5,
            counts,
            bottom=below,
            width=0.9,
            color=_FOUND[name][1],
            edgecolor="white",
            linewidth=0.4,
            hatch="///" if name in _DROPPED else "",
        )
        below += np.asarray(counts)
    if not report.by_hour:
        axes.set_ylim(0, 1)
        axes.text(HOURS / 2, 0.5, "nothing dropped or flagged", ha="center", va="center", fontsize=9)
