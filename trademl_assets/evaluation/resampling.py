"""How far figures of overlapping decisions may be off: stationary blocks drawn again, the same way everywhere."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from trademl_assets.evaluation.significance import bootstrap_means, interval
from trademl_assets.evaluation.skill import measure_dependence

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]


@dataclass(frozen=True)
class Resampling:
    """Sizes of the block bootstrap.

    Attributes:
        block_horizons: Mean length of a block in horizons.
        minimum_block: Least mean length of a block.
        replicates: Resamples.
        confidence: Of the intervals, two-sided.
        seed: Of the draws.
    """

    block_horizons: float
    minimum_block: timedelta
    replicates: int
    confidence: float
    seed: int

    def means(self, columns: Floats, spans_us: tuple[Instants, Instants]) -> Floats:
        """(R, K) replicates of the means of columns (N, K) of decisions with label spans (N,), sorted by start."""
        dependence = measure_dependence(*spans_us, self.block_horizons, self.minimum_block)
        return bootstrap_means(columns, dependence.block_samples, self.replicates, self.seed)

    def interval(self, replicates: Floats) -> tuple[float, float]:
        """Central interval of replicates (R,); those that are not numbers, of which there may be few, are left out."""
        kept = replicates[np.isfinite(replicates)]
        return interval(kept, self.confidence) if len(kept) else (float("nan"), float("nan"))

    def interval_of_mean(self, values: Floats, spans_us: tuple[Instants, Instants]) -> tuple[float, float]:
        """Interval of the mean of values (N,)."""
        return self.interval(self.means(values[:, None], spans_us)[:, 0])
