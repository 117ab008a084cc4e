"""Calibration error in excess of what a perfect model would show with as few, overlapping labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from trademl_assets.scoring.bins import bin_of, equal_width_edges

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]
CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class ExcessCalibrationError:
    """Top-label ECE against its distribution under perfect calibration.

    Attributes:
        observed: ECE of the labels that came true.
        expected: Mean ECE if labels were drawn from the probabilities themselves.
        excess: observed - expected.
        low: Lower end of the band of the excess.
        high: Upper end of it; a perfect model's band holds 0.
        p_value: Share of perfect replicates with an ECE at least as large as observed.
    """

    observed: float
    expected: float
    excess: float
    low: float
    high: float
    p_value: float


def excess_calibration_error(
    probabilities: Floats,
    labels: NDArray[np.int64],
    spans_us: tuple[Instants, Instants],
    *,
    replicates: int,
    confidence: float,
    seed: int,
) -> ExcessCalibrationError:
    """Compare the observed top-label ECE with that of a perfectly calibrated model having the same probabilities.

    A replicate draws labels from the probabilities through the increments of one Brownian motion over the label spans,
    so that overlapping labels depend on each other as overlapping returns do.

    Args:
        probabilities: (N, C), classes ordered by return.
        labels: (N,).
        spans_us: Starts and ends of the labels (N,), microseconds.
        replicates: R.
        confidence: Of the band.
        seed: Seed of the draws.
    """
    top = probabilities.argmax(axis=1)
    confidence_of_top = probabilities[np.arange(len(top)), top]
    edges = equal_width_edges()
    place = np.zeros((len(top), len(edges) - 1))
    place[np.arange(len(top)), bin_of(confidence_of_top, edges)] = 1.0
    claimed = confidence_of_top @ place
    observed = float(np.abs((top == labels) @ place - claimed).sum() / len(top))
    upper = np.minimum(np.cumsum(probabilities, axis=1), 1.0)
    upper[:, -1] = 1.0
    high = scipy.special.ndtri(upper[np.arange(len(top)), top])
    low = scipy.special.ndtri(np.where(top > 0, upper[np.arange(len(top)), top - 1], 0.0))
    generator = np.random.default_rng(seed)
    errors = np.concatenate(
        [
            np.abs(((low < drawn) & (drawn <= high)) @ place - claimed).sum(axis=1) / len(top)
            for drawn in overlapping_normals(*spans_us, replicates, generator)
        ]
    )
    tail = (1 - confidence) / 2
    least, most = np.quantile(errors, [tail, 1 - tail])
    return ExcessCalibrationError(
        observed=observed,
        expected=float(errors.mean()),
        excess=observed - float(errors.mean()),
        low=observed - float(most),
        high=observed - float(least),
        p_value=float((errors >= observed).mean()),
    )


def overlapping_normals(
    starts: Instants, ends: Instants, replicates: int, generator: np.random.Generator
) -> Iterator[Floats]:
    """Chunks (r, N) of standard normals: increments of a Brownian motion over [start, end), scaled to variance 1."""
    instants = np.unique(np.concatenate([starts, ends]))
    first, last = np.searchsorted(instants, starts), np.searchsorted(instants, ends)
    spread = np.sqrt(np.diff(instants).astype(np.float64))
    scale = np.sqrt((ends - starts).astype(np.float64))
    chunk = max(1, CELLS_AT_ONCE // len(instants))
    for done in range(0, replicates, chunk):
        steps = generator.standard_normal((min(chunk, replicates - done), len(spread))) * spread
        path = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
        yield (path[:, last] - path[:, first]) / scale
