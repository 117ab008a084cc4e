"""How much of a sample's short look-back was not really seen."""

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients, whole_steps
from trademl_assets.datasets.series import GridSeries
from trademl_assets.grid.gaps import FILLED, OBSERVED


def partial_steps(series: GridSeries, target: int) -> NDArray[np.bool_]:
    """Steps that were not really seen.

    The grid calls them unusable, the target is not observed, or another instrument is filled. Another instrument that
    is missing at a usable step is no reason: it is optional, and the mask stream says that it is missing.

    Args:
        series: the series of the dataset's instruments.
        target: position of the labelled instrument.

    Returns:
        (T,) where a step is partial.
    """
    unusable = series.usable == 0
    return np.asarray(unusable | (series.state[:, target] != OBSERVED) | (series.state == FILLED).any(axis=1))


def trailing_shares(partial: NDArray[np.bool_], steps: NDArray[np.int64], lookback_steps: int) -> NDArray[np.float64]:
    """Share of partial steps among the last `lookback_steps`, the decision's own among them.

    Args:
        partial: (T,) partial steps.
        steps: (n,) decisions.
        lookback_steps: length of the look-back; what lies before the series is left out.

    Returns:
        (n,) float64 within 0..1, 0 without a look-back.
    """
    total = np.concatenate([[0], np.cumsum(partial)])
    first = np.maximum(steps + 1 - lookback_steps, 0)
    return np.asarray((total[steps + 1] - total[first]) / np.maximum(steps + 1 - first, 1))


def too_partial(ingredients: Ingredients, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) decisions whose look-back holds a greater share of partial steps than `partial_fill_threshold`."""
    parameters = ingredients.parameters
    cadence = ingredients.frame.cadence_seconds
    named = {"book": parameters.streams.book, "price": parameters.streams.price, "mask": parameters.streams.mask}
    lookback = max(
        (whole_steps(one.lookback, cadence, f"streams.{name}.lookback") for name, one in named.items() if one),
        default=0,
    )
    partial = partial_steps(ingredients.series, ingredients.target_position)
    return np.asarray(trailing_shares(partial, steps, lookback) > parameters.partial_fill_threshold)
