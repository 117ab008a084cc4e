"""What compression cost over a day, as a picture."""

from datetime import date

from matplotlib.axes import Axes

from trademl_assets.order_book.certificate import Certificate, Error
from trademl_assets.order_book.figures import new_figure, render_png

_BEFORE, _AFTER, _THIN = "#8a97a3", "#2a7f62", "#c0392b"
_LEAST_SHOWN = 1e-3
"""Smaller errors are the rounding of single precision."""


def draw_certificate(certificate: Certificate, instrument_name: str, day: date) -> bytes:
    """Draw depth and cost before and after compression, with the mean and worst errors written at the bars.

    Args:
        certificate: The certificate of the day.
        instrument_name: Name for the title.
        day: The UTC day.

    Returns:
        A PNG of about 760 x 350 pixels.
    """
    figure = new_figure(760, 350)
    depth, cost = figure.subplots(1, 2)
    _draw_pairs(depth, certificate.depth_share, scale=100.0, unit="%")
    depth.set_title("mean quantity of a side", fontsize=9)
    depth.set_xlabel("within so many bps of the mid", fontsize=8)
    depth.set_ylabel("quantity", fontsize=8)
    depth.legend(fontsize=7, loc="upper left")
    _draw_pairs(cost, certificate.cost_bps, scale=1.0, unit="bps")
    cost.set_title("mean cost of a market order", fontsize=9)
    cost.set_xlabel("size in reference quantities (red: books too thin)", fontsize=8)
    cost.set_ylabel("bps of the mid", fontsize=8)
    cost.set_xticks(range(len(certificate.cost_bps)), [_size_label(certificate, size) for size in certificate.cost_bps])
    for label, size in zip(cost.get_xticklabels(), certificate.cost_bps, strict=True):
        if certificate.thin_before[size] or certificate.thin_after[size]:
            label.set_color(_THIN)
    near, binned = certificate.near_price_ticks, certificate.bin_price_ticks
    figure.suptitle(
        f"{instrument_name} {day.isoformat()}: {certificate.snapshots} snapshots, "
        f"{certificate.compression_ratio:.1f} times smaller\n"
        f"ticks that a price is off, mean and worst: {_pair(near, 1.0)} for near levels, {_pair(binned, 1.0)} in bins",
        fontsize=9,
    )
    return render_png(figure)


def _draw_pairs(axes: Axes, errors: dict[str, Error], *, scale: float, unit: str) -> None:
    for place, error in enumerate(errors.values()):
        before, after = error.before or 0.0, error.after or 0.0
        first = place == 0
        axes.bar(place - 0.2, before, width=0.38, color=_BEFORE, label="before" if first else None)
        axes.bar(place + 0.2, after, width=0.38, color=_AFTER, label="after" if first else None)
        axes.annotate(
            _error_text(error, scale, unit),
            (place, max(before, after)),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
        )
    axes.set_xticks(range(len(errors)), list(errors))
    axes.set_xlim(-0.6, len(errors) - 0.4)
    axes.tick_params(labelsize=7)
    axes.margins(y=0.35)


def _error_text(error: Error, scale: float, unit: str) -> str:
    if error.comparisons == 0:
        return "no book"
    if scale * error.worst < _LEAST_SHOWN:
        return "kept"
    return f"off {_short(scale * error.mean)} {unit}\nworst {_short(scale * error.worst)}"


def _pair(error: Error, scale: float) -> str:
    return f"{_short(scale * error.mean)} and {_short(scale * error.worst)}" if error.comparisons else "none compared"


def _short(value: float) -> str:
    """Two or three digits that can be read: no exponents."""
    if value < _LEAST_SHOWN:
        return "0" if value == 0 else f"<{_LEAST_SHOWN:g}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 -- digits, not a setting


def _size_label(certificate: Certificate, size: str) -> str:
    """The size, and which share of the books was too thin for it before compression and after it."""
    thin_before, thin_after = certificate.thin_before[size], certificate.thin_after[size]
    if not thin_before and not thin_after:
        return size
    sides = 2 * certificate.snapshots
    return f"{size}\n{thin_before / sides:.0%} before\n{(thin_before + thin_after) / sides:.0%} after"
