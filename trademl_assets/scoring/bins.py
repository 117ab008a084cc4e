"""Bins of probabilities: where every calibration error and Murphy's parts are cut."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RELIABILITY_BINS = 15
"""Bins of every calibration error here, as in Guo et al. 2017 (On Calibration of Modern Neural Networks)."""


def equal_width_edges(bins: int = RELIABILITY_BINS) -> Floats:
    """(bins + 1,) edges over [0, 1]."""
    return np.linspace(0.0, 1.0, bins + 1)


def equal_mass_edges(values: Floats, bins: int = RELIABILITY_BINS) -> Floats:
    """Edges at quantiles of `values`, so that bins hold equally many; equal values stay in one bin."""
    place = np.linspace(0.0, len(values) - 1, bins + 1)
    return np.unique(np.interp(place, np.arange(len(values)), np.sort(values)))


def bin_of(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """(N,) bin of each value: [edge, next edge), the last bin closed."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
