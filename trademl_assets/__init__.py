"""From raw order-book rows to calibrated probabilities of the next price move, every step a Dagster asset.

For notebooks: `from trademl_assets import load_book, plot_book, open_dataset, plot_sample, load_model`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trademl_assets.notebook import load_book, load_model, open_dataset, plot_book, plot_sample

__all__ = ["load_book", "load_model", "open_dataset", "plot_book", "plot_sample"]


def __getattr__(name: str) -> Any:
    """Import the notebook's door when it is first used: importing a room of the package must not open all others."""
    if name in __all__:
        return getattr(import_module("trademl_assets.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
