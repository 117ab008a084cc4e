"""What compression cost over a day, as a picture."""

from datetime import date

from matplotlib.axes import Axes

from trademl_assets.order_book.certificate import Certificate, Error
from trademl_assets.order_book.figures import new_figure, render_png

_BEFORE, _AFTER = "#8a97a3", "#2a7f62"


def draw_certificate(certificate: Certificate, instrument_name: str, day: date) -> bytes:
    """Draw depth and cost before and after compression, with the mean and worst errors written at the bars.

    Args:
        certificate: The certificate of the day.
        instrument_name: Name for the title.
        day: The UTC day.

    Returns:
        A PNG of about 760 x 300 pixels.
    """
    figure = new_figure(760, 300)
    depth, cost = figure.subplots(1, 2)
    _draw_pairs(depth, certificate.depth_share, scale=100.0, error_unit="%")
    depth.set_title("mean quantity of a side within", fontsize=8)
    depth.set_xlabel("bps of the mid", fontsize=8)
    _draw_pairs(cost, certificate.cost_bps, scale=1.0, error_unit=" bps")
    cost.set_title("mean cost of a market order, bps", fontsize=8)
    cost.set_xlabel("size, in reference quantities", fontsize=8)
    for place, size in enumerate(certificate.thin_after):
        thin = certificate.thin_before[size], certificate.thin_after[size]
        if any(thin):
            cost.annotate(
                f"thin {thin[0]}+{thin[1]}", (place, 0), ha="center", va="bottom", fontsize=6, color="#c0392b"
            )
    ratio = f"{certificate.compression_ratio:.1f} times smaller"
    figure.suptitle(f"{instrument_name} {day.isoformat()}: {certificate.snapshots} snapshots, {ratio}", fontsize=9)
    depth.legend(fontsize=7, loc="upper left")
    return render_png(figure)


def _draw_pairs(axes: Axes, errors: dict[str, Error], *, scale: float, error_unit: str) -> None:
    for place, error in enumerate(errors.values()):
        before, after = error.before or 0.0, error.after or 0.0
        first = place == 0
        axes.bar(place - 0.2, before, width=0.38, color=_BEFORE, label="before" if first else None)
        axes.bar(place + 0.2, after, width=0.38, color=_AFTER, label="after" if first else None)
        text = f"{scale * error.mean:.2g}{error_unit}\nworst {scale * error.worst:.2g}"
        axes.annotate(text, (place, max(before, after)), ha="center", va="bottom", fontsize=6)
    axes.set_xticks(range(len(errors)), list(errors))
    axes.tick_params(labelsize=7)
    axes.margins(y=0.25)
