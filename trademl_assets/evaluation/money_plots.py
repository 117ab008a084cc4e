"""Picture of what acting on probabilities earns, as PNG bytes."""

from trademl_assets.evaluation.figures import new_figure, render_png
from trademl_assets.evaluation.money_results import Money

COLOURS = ("#2f6db3", "#d0772b", "#3f7f53", "#8a5fb0", "#b3362f")
UNJUDGED = "#8a8f98"


def draw_money(money: Money) -> bytes:
    """Mean result of a round trip at every threshold, before costs and at every level of costs, with intervals."""
    figure = new_figure(7.2, 3.4)
    axes = figure.subplots()
    traded = [each for each in money.thresholds if each.gross_bps is not None]
    levels = ["before costs", *(after.name for after in traded[0].after)] if traded else []
    width = 0.8 / max(len(levels), 1)
    for number, level in enumerate(levels):
        colour = COLOURS[number % len(COLOURS)]
        for place, threshold in enumerate(traded):
            figures = [threshold.gross_bps, *(after.net_bps for after in threshold.after)]
            found, at = figures[number], place + (number - (len(levels) - 1) / 2) * width
            if found is None:
                continue
            shade = colour if threshold.judged else UNJUDGED
            axes.bar(at, found.value, width=0.9 * width, color=shade, label=level if place == 0 else None)
            axes.vlines(at, found.low, found.high, color="black", linewidth=0.9)
    names = [
        f"{each.share:.0%} of decisions\n>= {each.threshold_bps:.2g} bps, {each.trades} round trips"
        + ("" if each.judged else "\ntoo few to judge")
        for each in traded
    ]
    axes.set_xticks(range(len(traded)), names, fontsize=8)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("result of a round trip, bps")
    if levels:
        axes.legend(fontsize=8, frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing would have been traded", ha="center", transform=axes.transAxes)
    return render_png(figure)
