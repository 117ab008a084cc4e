"""Aggregates of one grid day: moments of the step returns, quoted volume, realised volatility and the last mid."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.alignment import SECONDS_PER_DAY
from trademl_assets.grid.encoding import BOOK_FIELDS
from trademl_assets.grid.gaps import OBSERVED, returns_between_observed
from trademl_assets.sources.contract import AGGREGATE_SCHEMA


def _quantities_of_codes() -> NDArray[np.float64]:
    """Quantity over reference quantity for each of the 65,536 half-precision codes of its log1p; 0 where impossible."""
    logs = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
    return np.expm1(np.where((logs >= 0) & (logs < _GREATEST_LOG_QUANTITY), logs, 0.0))


_GREATEST_LOG_QUANTITY = np.log(np.finfo(np.float32).max)
QUANTITY_OF_CODE = _quantities_of_codes()
"""Quantity over reference quantity of each code."""
QUANTITY_OF_CODE.flags.writeable = False


def aggregate_day(arrays: Mapping[str, NDArray[Any]], instruments: Sequence[str], day: date) -> pl.DataFrame:
    """Aggregate one day of the grid.

    Only observed steps count. The moments are those of the log mid returns over exactly one step, population moments
    as in `scipy.stats` with its defaults (biased, excess kurtosis); realised volatility takes the returns across gaps
    in, too. Returns begin at the first observed step of the day. Volume is the mean over observed steps of the
    quantity quoted in all slots of both sides, divided by the reference quantity. What too few observations leave
    undefined is null.

    Args:
        arrays: `mid`, `state`, `book` of a grid day with T steps.
        instruments: Names in the order of the columns.
        day: The UTC day.

    Returns:
        One row of `AGGREGATE_SCHEMA` per instrument.

    Raises:
        DataQualityError: The arrays do not have as many columns as there are instruments.
    """
    mid, state, book = arrays["mid"], arrays["state"], arrays["book"]
    if mid.shape[1] != len(instruments) or book.shape[2] != len(instruments) * len(BOOK_FIELDS):
        raise DataQualityError(
            f"grid of {day.isoformat()}: mid {mid.shape} and book {book.shape} do not fit instruments "
            f"{list(instruments)} -> materialise aligned_grid with the present configuration"
        )
    cadence = SECONDS_PER_DAY // len(mid)
    codes, states = np.ascontiguousarray(book).view(np.uint16), np.ascontiguousarray(state).view()
    codes.flags.writeable = states.flags.writeable = False  # mapped or in memory: one type, compiled once
    volumes = _mean_volumes(codes, states, QUANTITY_OF_CODE)
    rows = []
    for number, name in enumerate(instruments):
        prices = describe_prices(mid[:, number], state[:, number], cadence)
        rows.append({"day": day, "instrument": name, **prices, "volume": _known(volumes[number])})
    return pl.DataFrame(rows, schema=dict(AGGREGATE_SCHEMA))


def describe_prices(
    prices: NDArray[np.float64], state: NDArray[np.uint8], cadence_seconds: int
) -> dict[str, float | int | None]:
    """Statistics of one day of prices on a uniform grid; what too few observations leave undefined is None.

    Args:
        prices: Price at every step, shape (T,).
        state: State of every step, shape (T,); only observed ones count.
        cadence_seconds: Seconds between steps.

    Returns:
        The columns of `AGGREGATE_SCHEMA` that are about prices, by name.
    """
    seen = state == OBSERVED
    returns, spans = returns_between_observed(prices, state, cadence_seconds)
    mean, std, skew, kurtosis = describe_returns(returns[spans == cadence_seconds])
    return {
        "mean_bps": _known(mean),
        "std_bps": _known(std),
        "skew": _known(skew),
        "kurtosis": _known(kurtosis),
        "volatility_bps": float(np.sqrt(np.square(returns).sum())) if (spans > 0).any() else None,
        "close": float(prices[seen][-1]) if seen.any() else None,
        "steps": int(seen.sum()),
    }


def describe_returns(returns: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean, standard deviation, skewness and excess kurtosis, all biased (divided by the count), NaN where undefined.

    Equal to numpy's mean and std and `scipy.stats.skew` and `kurtosis`; two passes, the second around the mean.
    """
    mean, second, third, fourth = _moments(np.ascontiguousarray(returns, dtype=np.float64))
    if not second > (np.finfo(np.float64).eps * mean) ** 2:  # scipy's rule: constant up to rounding
        return mean, float(np.sqrt(second)), np.nan, np.nan
    return mean, float(np.sqrt(second)), third / second**1.5, fourth / second**2 - 3.0


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _central_moments(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    count = len(values)
    if count == 0:
        return np.nan, np.nan, np.nan, np.nan
    mean = 0.0
    for value in values:
        mean += value
    mean /= count
    second, third, fourth = 0.0, 0.0, 0.0
    for value in values:
        deviation = value - mean
        square = deviation * deviation
        second += square
        third += square * deviation
        fourth += square * square
    return mean, second / count, third / count, fourth / count


def _mean_volume_of_each(
    codes: NDArray[np.uint16], state: NDArray[np.uint8], quantity_of_code: NDArray[np.float64]
) -> NDArray[np.float64]:
    steps, slots, _ = codes.shape
    instruments = state.shape[1]
    volumes, seen = np.zeros(instruments), np.zeros(instruments)
    for step in range(steps):
        for a in range(instruments):
            if state[step, a] != OBSERVED:
                continue
            seen[a] += 1
            volume = 0.0
            for slot in range(slots):
                volume += (
                    quantity_of_code[codes[step, slot, 4 * a + 1]] + quantity_of_code[codes[step, slot, 4 * a + 3]]
                )
            volumes[a] += volume
    return volumes / seen


_moments: Any = njit(cache=True, nogil=True)(_central_moments)
_mean_volumes: Any = njit(cache=True, nogil=True, error_model="numpy")(_mean_volume_of_each)
