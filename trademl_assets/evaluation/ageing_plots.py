"""Pictures of ageing as PNG bytes: the curve of the frozen model by age, and its gain by regime."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from trademl_assets.evaluation.ageing import AgedGain, Ageing
from trademl_assets.evaluation.figures import new_figure, render_png

AHEAD, HINDSIGHT, UNJUDGED, FIT = "#2f6db3", "#b3362f", "#8a8f98", "#3f7f53"


def draw_ageing(ageing: Ageing) -> bytes:
    """Gain by days since the end of training with intervals, blocks in hindsight apart, the fitted decay; by regime."""
    figure = new_figure(7.2, 4.8 if ageing.regimes else 3.2)
    if ageing.regimes:
        upper, lower = figure.subplots(2, 1, height_ratios=[3, 1 + 0.3 * len(ageing.regimes)])
        _draw_regimes(lower, ageing.regimes)
    else:
        upper = figure.subplots()
    hindsight = [block for block in ageing.blocks if block.hindsight]
    for points, colour, label in (
        ([point for point in ageing.curve if point.judged], AHEAD, "frozen model"),
        ([point for point in ageing.curve if not point.judged], UNJUDGED, "too few independent labels"),
        (hindsight, HINDSIGHT, "hindsight: training data lies after it"),
    ):
        _draw_points(upper, points, colour, label)
    _draw_fit(upper, ageing)
    upper.axhline(0, color="black", linewidth=0.8)
    if hindsight:
        upper.axvline(0, color="black", linewidth=0.8, linestyle=":")
    upper.set_xlabel("days since the end of training")
    upper.set_ylabel(f"gain over the\n{ageing.reference}, nats")
    if upper.get_legend_handles_labels()[0]:
        upper.legend(fontsize=8, frameon=False)
    return render_png(figure)


def _draw_points(axes: Axes, points: Sequence[AgedGain], colour: str, label: str) -> None:
    if not points:
        return
    middle = np.array([(point.first_age_days + point.last_age_days) / 2 for point in points])
    gain, low, high = (np.array([getattr(point, name) for point in points]) for name in ("gain", "low", "high"))
    for point, level in zip(points, gain, strict=True):
        axes.plot([point.first_age_days, point.last_age_days], [level, level], color=colour, linewidth=2.4, alpha=0.6)
    axes.vlines(middle, low, high, color=colour, linewidth=1.2)
    axes.plot(middle, gain, "o", color=colour, markersize=5, label=label)


def _draw_fit(axes: Axes, ageing: Ageing) -> None:
    found = ageing.half_life
    if found is None or found.days is None or found.verdict != "decays":
        return
    ages = np.linspace(0, ageing.curve[-1].last_age_days, 200)
    axes.plot(ages, found.initial_gain * np.exp2(-ages / found.days), color=FIT, linewidth=1.2, label="fitted decay")


def _draw_regimes(axes: Axes, regimes: Sequence[AgedGain]) -> None:
    for place, regime in enumerate(reversed(regimes)):
        colour = AHEAD if regime.judged else UNJUDGED
        axes.plot([regime.low, regime.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(regime.gain, place, "o", color=colour, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8)
    names = [f"{regime.name} (n_eff {regime.effective_samples:.0f})" for regime in reversed(regimes)]
    axes.set_yticks(range(len(regimes)), names, fontsize=8)
    axes.set_ylim(-0.6, len(regimes) - 0.4)
    axes.set_xlabel("gain by regime, nats a decision")
