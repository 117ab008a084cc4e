"""One score for any classes: the log-loss of the direction that class probabilities imply.

Log-losses over classes that are cut differently cannot be compared; whether the return is up or down is the same
question for all of them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl_assets.scoring.metrics import log_losses

Floats = NDArray[np.float64]


def up_shares(labels: ArrayLike, returns_bps: ArrayLike, classes: int) -> Floats:
    """(C,) share of the training rows of each class whose return is not negative; that of all rows for an empty class.

    Args:
        labels: (N,) classes of training rows.
        returns_bps: (N,) their returns.
        classes: C.
    """
    truth, rose = np.asarray(labels, dtype=np.int64), _rose(returns_bps)
    count = np.bincount(truth, minlength=classes)
    ups = np.bincount(truth, weights=rose.astype(np.float64), minlength=classes)
    overall = rose.mean() if len(rose) else 0.5
    return np.where(count > 0, ups / np.maximum(count, 1), overall)


def direction_log_losses(probabilities: Floats, shares: Floats, returns_bps: ArrayLike) -> Floats:
    """(N,) negative log probability (nats) of the direction that came true; a return of 0 is up.

    A class that holds both signs counts for either as its training rows did, so that merging or splitting classes of
    one sign changes nothing.

    Args:
        probabilities: (N, C).
        shares: (C,) as `up_shares` gives them.
        returns_bps: (N,) returns that came true.
    """
    up = np.clip(probabilities @ shares, 0.0, 1.0)
    return log_losses(np.stack([1 - up, up], axis=1), _rose(returns_bps).astype(np.int64))


def _rose(returns_bps: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(returns_bps, dtype=np.float64) >= 0
