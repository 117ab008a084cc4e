"""A picture of one sample as PNG bytes: what its windows show of the target up to the decision."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trademl_assets.datasets.samples import Sample, sample_of_row
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError

SECONDS_PER_HOUR = 3600
STATE_COLOURS = ListedColormap(["#4c78a8", "#f2b701", "#d62728"])
STATES = ("observed", "filled", "missing")
_TICKS = 7
_LEGEND_COLUMNS = 6


def draw_sample(dataset: Dataset, row: int) -> bytes:
    """Draw the sample of a row of the index: book and mid of its instrument, masks, clock; those that it has.

    The book shows the stored log quantity of each slot, asks above bids, nearest to the mid in the middle; a slot's
    distance is its mean over the window. The mid is put together from the price stream's returns.

    Raises:
        ConfigError: The dataset has none of these streams.
    """
    sample = sample_of_row(dataset, row, scaled=False)
    panels: dict[str, tuple[float, Callable[[Axes, Dataset, Sample], None]]] = {
        "book": (2.4, _draw_book),
        "price": (1.5, _draw_mid),
        "mask": (0.8, _draw_masks),
        "clock": (1.5, _draw_clock),
    }
    shown = [name for name in panels if name in sample.windows]
    if not shown:
        raise ConfigError(f"dataset {dataset.experiment!r} has none of the streams {', '.join(panels)} to draw")
    heights = [panels[name][0] for name in shown]
    figure = Figure(figsize=(9, 1.0 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for each, name in zip(axes, shown, strict=True):
        panels[name][1](each, dataset, sample)
        hours = len(sample.windows[name]) * dataset.cadence_seconds / SECONDS_PER_HOUR
        each.set_xlim(-hours, 0)
    axes[-1].set_xlabel("hours before the decision")
    figure.suptitle(_title(sample), fontsize=10)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()


def _title(sample: Sample) -> str:
    return (
        f"{sample.instrument}, {sample.facts['part']}: decided {sample.t0:%Y-%m-%d %H:%M:%S} UTC, by "
        f"{sample.t1:%H:%M:%S} {sample.facts['return_bps']:+.2f} bps, class {sample.label}"
    )


def _hours(dataset: Dataset, window: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((np.arange(len(window)) + 1 - len(window)) * dataset.cadence_seconds / SECONDS_PER_HOUR)


def _columns(dataset: Dataset, stream: str, instrument: str, names: Sequence[str]) -> list[int]:
    known = dataset.columns(stream)
    return [known.index(f"{instrument}:{name}") for name in names]


def _draw_book(axes: Axes, dataset: Dataset, sample: Sample) -> None:
    window = sample.windows["book"]
    names = ("bid_distance_bps", "bid_log_quantity", "ask_distance_bps", "ask_log_quantity")
    bid_at, bid, ask_at, ask = (window[:, :, column] for column in _columns(dataset, "book", sample.instrument, names))
    levels = window.shape[1]
    picture = np.concatenate([ask[:, ::-1], bid], axis=1).T.astype(np.float32)
    hours = len(window) * dataset.cadence_seconds / SECONDS_PER_HOUR
    image = axes.imshow(picture, aspect="auto", extent=(-hours, 0.0, -levels, levels), cmap="viridis")
    axes.axhline(0, color="white", linewidth=0.8)
    distances = np.concatenate([np.abs(bid_at[:, ::-1]), np.abs(ask_at)], axis=1).astype(np.float32).mean(axis=0)
    ticks = np.unique(np.linspace(0, 2 * levels - 1, min(_TICKS, 2 * levels)).astype(int))
    axes.set_yticks(ticks - levels + 0.5, [f"{distances[tick]:.3g}" for tick in ticks], fontsize=7)
    axes.set_ylabel("bps from the mid\nbids below, asks above")
    axes.figure.colorbar(image, ax=axes, pad=0.01).set_label("log1p(quantity / reference)", fontsize=7)


def _draw_mid(axes: Axes, dataset: Dataset, sample: Sample) -> None:
    window = sample.windows["price"].astype(np.float64)
    over_sigma, log_sigma = _columns(dataset, "price", sample.instrument, ("return_over_sigma", "log_sigma_short"))
    path = np.cumsum(window[:, over_sigma] * np.exp(window[:, log_sigma]))
    axes.plot(_hours(dataset, window), path - path[-1], linewidth=0.8, color="black")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set_ylabel("mid minus\nmid at t0, bps")


def _draw_masks(axes: Axes, dataset: Dataset, sample: Sample) -> None:
    window = sample.windows["mask"]
    states = [
        window[:, _columns(dataset, "mask", instrument, STATES)].argmax(axis=1) for instrument in dataset.instruments
    ]
    hours = len(window) * dataset.cadence_seconds / SECONDS_PER_HOUR
    extent = (-hours, 0.0, len(states) - 0.5, -0.5)
    norm = BoundaryNorm(np.arange(len(STATES) + 1) - 0.5, len(STATES))
    image = axes.imshow(
        np.stack(states), aspect="auto", extent=extent, cmap=STATE_COLOURS, norm=norm, interpolation="nearest"
    )
    axes.set_yticks(range(len(states)), dataset.instruments, fontsize=7)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, ticks=range(len(STATES)))
    bar.ax.set_yticklabels(STATES, fontsize=7)


def _draw_clock(axes: Axes, dataset: Dataset, sample: Sample) -> None:
    window = sample.windows["clock"]
    for number, name in enumerate(dataset.columns("clock")):
        axes.plot(_hours(dataset, window), window[:, number], linewidth=0.9, label=name)
    axes.set_ylabel("clock")
    axes.legend(fontsize=6, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=_LEGEND_COLUMNS, borderaxespad=0.2)
