"""What a Brier score is made of: honesty, sharpness that came true, and the uncertainty of the market itself."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.scoring.bins import bin_of, equal_width_edges

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class BrierParts:
    """brier = reliability - resolution + uncertainty + within_bins, summed over the classes.

    Attributes:
        reliability: Mean squared gap between foretold and observed frequency; 0 is honest.
        resolution: How far observed frequencies of the bins spread around the class frequencies; more is better.
        uncertainty: Brier score of the class frequencies.
        within_bins: What forecasts within one bin differ, 0 if each bin holds one value (Stephenson et al. 2008).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float

    def named(self) -> dict[str, float]:
        """Return the parts by the names that metrics have."""
        return {f"brier_{name}": value for name, value in asdict(self).items()}


def decompose_brier(
    probabilities: Floats, labels: Labels, weights: Floats | None = None, edges: Floats | None = None
) -> BrierParts:
    """Decompose the Brier score (0..2) as Murphy (1973) does, class by class in bins of the probability.

    Args:
        probabilities: (N, C).
        labels: (N,).
        weights: (N,) sample weights; None for equal ones.
        edges: Of the bins; None for the equal-width ones of every calibration error.
    """
    share = np.full(len(labels), 1 / len(labels)) if weights is None else weights / weights.sum()
    bounds = equal_width_edges() if edges is None else edges
    parts = np.zeros(4)
    for number, column in enumerate(probabilities.T):
        true = (labels == number).astype(np.float64)
        place = bin_of(column, bounds)
        sums = np.stack([np.bincount(place, weights=share * each) for each in (np.ones(len(true)), column, true)])
        mass, *means = sums[:, sums[0] > 0]
        claimed, observed = (mean / mass for mean in means)
        base = float(share @ true)
        reliability, resolution = mass @ (claimed - observed) ** 2, mass @ (observed - base) ** 2
        brier = share @ (column - true) ** 2
        uncertainty = base * (1 - base)
        parts += [reliability, resolution, uncertainty, brier - reliability + resolution - uncertainty]
    return BrierParts(*(float(part) for part in parts))
