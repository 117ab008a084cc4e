"""Results added up by day: Sharpe and Sortino ratios a year, and the deepest fall from a peak."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DAYS_A_YEAR = 365
"""These markets never close."""


@dataclass(frozen=True)
class DailyResults:
    """Results of a sequence of positions of one unit.

    Attributes:
        days: Days, those without a trade too.
        total_bps: All results added up.
        sharpe: Mean over standard deviation of a day, times the root of the days of a year; None below two days or
            without any variation.
        sortino: The same over the root mean square of losses; None without a loss.
        max_drawdown_bps: Deepest fall of the running sum from its highest point so far, the start included.
    """

    days: int
    total_bps: float
    sharpe: float | None
    sortino: float | None
    max_drawdown_bps: float


def judge_days(days: NDArray[Any], results_bps: Floats) -> DailyResults:
    """Add results (n,) in time order up by their days (n,)."""
    _, day_of = np.unique(days, return_inverse=True)
    daily = np.bincount(day_of, weights=results_bps)
    year = np.sqrt(DAYS_A_YEAR)
    spread = daily.std(ddof=1) if len(daily) > 1 else 0.0
    loss = np.sqrt((np.minimum(daily, 0.0) ** 2).mean())
    path = np.concatenate([[0.0], np.cumsum(results_bps)])
    return DailyResults(
        days=len(daily),
        total_bps=float(path[-1]),
        sharpe=float(daily.mean() / spread * year) if spread > 0 else None,
        sortino=float(daily.mean() / loss * year) if loss > 0 else None,
        max_drawdown_bps=float((np.maximum.accumulate(path) - path).max()),
    )
