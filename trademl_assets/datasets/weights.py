"""Weights of training samples in the loss: older ones count less; mean one. Held-out samples weigh one."""

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.parameters import SECONDS_PER_DAY, WeightParameters
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND

MICROSECONDS_PER_DAY = SECONDS_PER_DAY * MICROSECONDS_PER_SECOND


def sample_weights(
    t0_us: NDArray[np.int64], training: NDArray[np.bool_], parameters: WeightParameters
) -> NDArray[np.float32]:
    """(n,) float32: exp(-age ln 2 / half-life), age counted back from the newest training sample; mean one.

    Args:
        t0_us: (n,) decision times, microseconds.
        training: (n,) which samples are training samples; the others weigh 1.
        parameters: the half-life in days, or None for equal weights.
    """
    weights = np.ones(len(t0_us))
    if parameters.half_life_days is not None and training.any():
        age_days = (t0_us[training].max() - t0_us[training]) / MICROSECONDS_PER_DAY
        aged = np.exp2(-age_days / parameters.half_life_days)
        weights[training] = aged / aged.mean()
    return weights.astype(np.float32)
