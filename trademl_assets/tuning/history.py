"""A picture of a study: the loss of every trial and the best so far."""

import io

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw_history(trials: pl.DataFrame) -> bytes:
    """Draw a study's trials (columns index, loss, best_so_far, configured) as a PNG; diverged ones at the top edge."""
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    done = trials.filter(pl.col("loss").is_not_null())
    lost = trials.filter(pl.col("loss").is_null())
    axes.step(trials["index"], trials["best_so_far"], where="post", color="#333333", linewidth=1.2, label="best so far")
    axes.scatter(done["index"], done["loss"], s=28, color="#2f6db3", zorder=3, label="trial")
    first = done.filter(pl.col("configured"))
    axes.scatter(
        first["index"], first["loss"], s=70, facecolors="none", edgecolors="#c8543b", label="configured values"
    )
    for index in lost["index"]:
        axes.annotate("diverged", (index, 1.0), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("validation log-loss, nats")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
