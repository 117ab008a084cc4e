"""Views of a grid for the eye only: they look ahead, so nothing that a model reads may come from here."""

import numpy as np
from numpy.typing import NDArray

from trademl_assets.grid.gaps import OBSERVED


def interpolate_for_display(mid: NDArray[np.float64], state: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Draw straight lines between observed mids, which uses the NEXT observation.

    Args:
        mid: Mid of one instrument at every step, shape (steps,).
        state: State of every step, shape (steps,).

    Returns:
        (steps,): observed mids as they are, the line between their neighbours elsewhere; NaN before the first and
        after the last.
    """
    seen = np.flatnonzero(state == OBSERVED)
    if len(seen) == 0:
        return np.full(len(mid), np.nan)
    return np.asarray(np.interp(np.arange(len(mid)), seen, mid[seen], left=np.nan, right=np.nan))
