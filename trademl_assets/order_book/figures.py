"""Figures without a display: an empty canvas of a given size and its PNG bytes, equal for equal content."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DOTS_PER_INCH = 100


def new_figure(width_pixels: int, height_pixels: int) -> Figure:
    """An empty figure of the given size, drawn by the Agg back end; independent of pyplot's global state."""
    size = (width_pixels / _DOTS_PER_INCH, height_pixels / _DOTS_PER_INCH)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def render_png(figure: Figure) -> bytes:
    """PNG bytes of a figure, without date or software in its metadata."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
