"""How well probabilities tell classes apart, whatever their level: areas under ROC curves, a class against the rest."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
compiled: Any = njit(cache=True, nogil=True)


def placements(probabilities: Floats, labels: Labels, weights: Floats | None = None) -> Floats:
    """(N, C) share of the other side that a sample is rightly ordered against, by the probability of each class.

    For a sample of the class the share of the rest with a lower probability, for one of the rest the share of the class
    with a higher one; ties count half. The mean over either side is the area under the ROC curve (Hanley and Hajian-
    Tilaki 1997). NaN for a class that nobody or everybody has.
    """
    weight = np.ones(len(labels)) if weights is None else weights

    def placed(number: int) -> Floats:
        values = np.ascontiguousarray(probabilities[:, number])
        column: Floats = _place(values, np.argsort(values), labels == number, weight)
        return column

    with ThreadPoolExecutor() as threads:  # sorting and the compiled pass leave the interpreter free
        columns = list(threads.map(placed, range(probabilities.shape[1])))
    return np.stack(columns, axis=1)


def class_areas(probabilities: Floats, labels: Labels, weights: Floats | None = None) -> Floats:
    """(C,) area under the ROC curve of every class against the rest; NaN where it is not defined."""
    weight = np.ones(len(labels)) if weights is None else weights
    placed = placements(probabilities, labels, weights)
    own = labels[:, None] == np.arange(probabilities.shape[1])
    total = (own * weight[:, None]).sum(axis=0)
    summed = np.where(own, placed * weight[:, None], 0.0).sum(axis=0)
    return np.asarray(np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0))


def mean_areas(areas: Floats, support: Floats) -> dict[str, float]:
    """Plain and support-weighted mean of the areas (C,) that are defined: `auc_macro`, `auc_weighted`."""
    known = ~np.isnan(areas)
    if not known.any():
        return {}
    return {
        "auc_macro": float(areas[known].mean()),
        "auc_weighted": float(areas[known] @ support[known] / support[known].sum()),
    }


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _place(values: Floats, order: Labels, own: NDArray[np.bool_], weight: Floats) -> Floats:
    """One pass over the samples from the lowest value to the highest; NaN where either side is empty."""
    rows = len(values)
    placed = np.full(rows, np.nan)
    all_own, all_rest = 0.0, 0.0
    for n in range(rows):
        if own[n]:
            all_own += weight[n]
        else:
            all_rest += weight[n]
    if all_own <= 0 or all_rest <= 0:
        return placed
    own_below, rest_below, first = 0.0, 0.0, 0
    while first < rows:
        last, own_here, rest_here = first, 0.0, 0.0
        while last < rows and values[order[last]] == values[order[first]]:
            if own[order[last]]:
                own_here += weight[order[last]]
            else:
                rest_here += weight[order[last]]
            last += 1
        for k in range(first, last):
            if own[order[k]]:
                placed[order[k]] = (rest_below + rest_here / 2) / all_rest
            else:
                placed[order[k]] = (all_own - own_below - own_here / 2) / all_own
        own_below += own_here
        rest_below += rest_here
        first = last
    return placed
