"""Self-contained HTML pages from the templates of this room: pictures inside, numbers written one way everywhere."""

import base64
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from trademl_assets.evaluation.money_results import Figure


def render_page(template: str, **values: Any) -> str:
    """Return the text of a page, equal for equal values.

    Args:
        template: File of this package.
        values: What the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "signed": _signed, "setting": _setting, "p": _p_text}
    environment.filters |= {"share": _share, "figure": _figure, "ends": _ends, "bounds": _bounds}
    return environment.get_template(template).render(values)


def as_urls(drawn: Mapping[str, bytes]) -> dict[str, str]:
    """Return PNGs as addresses that hold them."""
    return {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in drawn.items()}


def _read_template(name: str) -> str:
    return resources.files("trademl_assets.evaluation").joinpath(name).read_text(encoding="utf-8")


def _number(value: Any, digits: int = 4) -> str:
    """Text of a number in a table; a dash for none, whole numbers and texts as they are."""
    if value is None:
        return "–"  # noqa: RUF001 -- the dash of an empty cell
    if isinstance(value, float):
        return f"{value:.{digits}f}" if abs(value) >= 10**-digits or value == 0 else f"{value:.2e}"
    return str(value)


def _signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}"


def _setting(value: Any) -> str:
    """Text of a searched value or a loss: floats with five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) else _number(value)


def _p_text(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"  # noqa: PLR2004 -- what four decimals can show


def _share(value: float | None, digits: int = 1) -> str:
    return _number(None) if value is None else f"{value:.{digits}%}"


def _figure(found: Figure | None, digits: int) -> str:
    """Value of a figure; a dash for none."""
    return _number(None) if found is None else f"{found.value:.{digits}f}"


def _bounds(row: Mapping[str, float | None], name: str, digits: int) -> str:
    """Interval of a column of a row, after a blank; nothing for none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"


def _ends(found: Figure | None, digits: int) -> str:
    """Interval of a figure; a dash for none."""
    return _number(None) if found is None else f"[{found.low:.{digits}f}, {found.high:.{digits}f}]"
