"""The picture of an ablation study: what each model reaches, what its reading allows, and what was lost."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from trademl_assets.evaluation.ablations import AblationStudy
from trademl_assets.evaluation.figures import new_figure, render_png

FULL, LESS, MARK, LOSS, NO_LOSS = "#2f6db3", "#8fb3d9", "black", "#b3362f", "#8a8f98"
_BAR = 0.62


def draw_ablations(study: AblationStudy) -> bytes:
    """Bars of the share of the best possible with the ceiling of each, of the gain, and what each ablation loses.

    Without a known optimum there are no shares: gains alone are drawn, and losses in nats.
    """
    rows = study.table.reverse().to_dicts()
    planted = any(row["share"] is not None for row in rows)
    figure = new_figure(11.0 if planted else 7.6, 1.3 + 0.46 * len(rows))
    panels = figure.subplots(1, 3 if planted else 2, sharey=True, squeeze=False)[0]
    if planted:
        _draw_shares(panels[0], rows)
    _draw_gains(panels[-2], rows)
    _draw_losses(panels[-1], rows, "share_lost" if planted else "lost")
    names = [row["model"] if row["of"] is None else f"  {row['model']}" for row in rows]
    panels[0].set_yticks(range(len(rows)), names, fontsize=9)
    panels[0].set_ylim(-0.6, len(rows) - 0.4)
    figure.suptitle(
        f"{study.decisions} test decisions; gains are over the {study.reference}; lines are {study.confidence:.0%} "
        "intervals of the same blocks; losses are against the whole model",
        fontsize=8,
    )
    return render_png(figure)


def _draw_shares(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    _draw_bars(axes, rows, "share")
    for place, row in enumerate(rows):
        if row["ceiling"] is not None:
            ends = [place - _BAR / 2, place + _BAR / 2]
            label = "the best forecast that reads no more" if place == 0 else None
            axes.plot([row["ceiling"]] * 2, ends, color=MARK, linewidth=2.2, label=label)
    if any(row["ceiling"] is not None for row in rows):
        axes.legend(fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    axes.set_xlabel("share of the best possible")


def _draw_gains(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    _draw_bars(axes, rows, "gain")
    axes.set_xlabel("gain, nats a decision")


def _draw_losses(axes: Axes, rows: Sequence[dict[str, Any]], name: str) -> None:
    for place, row in enumerate(rows):
        if row[name] is None:
            continue
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        colour = LOSS if low > 0 else FULL if high < 0 else NO_LOSS
        axes.plot([low, high], [place, place], color=colour, linewidth=2.4)
        axes.plot(row[name], place, "o", color=colour, markersize=6)
        if name == "share_lost" and row["ceiling_lost"] is not None:
            axes.plot([row["ceiling_lost"]] * 2, [place - _BAR / 2, place + _BAR / 2], color=MARK, linewidth=2.2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("lost, nats a decision" if name == "lost" else "lost, share of the best possible")


def _draw_bars(axes: Axes, rows: Sequence[dict[str, Any]], name: str) -> None:
    for place, row in enumerate(rows):
        if row[name] is None:
            continue
        axes.barh(place, row[name], height=_BAR, color=FULL if row["of"] is None else LESS)
        axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color="#333333", linewidth=1.4)
    axes.axvline(0, color="black", linewidth=0.8)
