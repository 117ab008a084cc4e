"""What a grid step knows of an instrument: observed, filled from the past, or missing; returns across gaps."""

import numpy as np
from numpy.typing import NDArray

OBSERVED, FILLED, MISSING = 0, 1, 2
"""Values of the grid's `state`."""


def classify_steps(ages_us: NDArray[np.int64], tolerance_us: int, max_gap_us: int) -> NDArray[np.uint8]:
    """State of every step from the age of the latest snapshot at or before it.

    Args:
        ages_us: Age in microseconds, negative where there is no snapshot, any shape.
        tolerance_us: Up to this age a snapshot counts as observed.
        max_gap_us: Up to this age an older one fills the step; beyond it the step is missing.

    Returns:
        OBSERVED, FILLED or MISSING, of the shape of `ages_us`.
    """
    state = np.full(ages_us.shape, MISSING, dtype=np.uint8)
    known = ages_us >= 0
    state[known & (ages_us <= max_gap_us)] = FILLED
    state[known & (ages_us <= tolerance_us)] = OBSERVED
    return state


def returns_between_observed(
    mid: NDArray[np.float64], state: NDArray[np.uint8], cadence_seconds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log returns from each observed step to the next, and the time each spans.

    So a return across a gap carries its length.

    Args:
        mid: Mid at every step, shape (steps,).
        state: State of every step, shape (steps,).
        cadence_seconds: Seconds between steps.

    Returns:
        Return in bps since the previous observed step, and seconds since it, both (steps,); 0 at steps that are not
        observed and at the first one that is.
    """
    returns, spans = np.zeros(len(mid)), np.zeros(len(mid))
    seen = np.flatnonzero(state == OBSERVED)
    returns[seen[1:]] = np.diff(np.log(mid[seen])) * 10_000.0
    spans[seen[1:]] = np.diff(seen) * cadence_seconds
    return returns, spans


def state_shares(state: NDArray[np.uint8]) -> dict[str, float]:
    """Shares of observed, filled and missing steps of one instrument."""
    counts = np.bincount(state, minlength=3) / max(len(state), 1)
    return {"observed": float(counts[OBSERVED]), "filled": float(counts[FILLED]), "missing": float(counts[MISSING])}
