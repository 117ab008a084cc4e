"""The price and long-term streams: pure functions of the grid's series and of daily vectors that only look back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.parameters import LongTermStatistic, SigmaParameters
from trademl_assets.datasets.series import DailyContext, GridSeries
from trademl_assets.grid.gaps import MISSING, returns_between_observed

Floats = NDArray[np.float64]
PRICE_COLUMNS = ("return_over_sigma", "log_sigma_short", "log_sigma_long", "spread_bps", "microprice_bps")
LOGGED_STATISTICS = frozenset({"std_bps", "volume", "volatility_bps"})
PRESENT = "present"


@dataclass(frozen=True)
class SigmaPaths:
    """Trailing standard deviation of one step's log return in bps, (T, A) float64 each, never below the floor."""

    short: Floats
    long: Floats


def trailing_sigma(
    returns_bps: Floats, spans_seconds: Floats, cadence_seconds: int, window_seconds: int, floor_bps: float
) -> Floats:
    """Trailing standard deviation per step: the root mean of squared returns, each over the steps it spans.

    At an observed step the last `window_seconds / cadence_seconds` returns enter, before that many all there are; a gap
    stretches the window instead of thinning it, and a return across a gap counts once. Between observed steps the value
    is held; before the first return stands the floor, below which no value falls.

    Returns:
        (T,) float64 in bps per step.
    """
    width = max(window_seconds // cadence_seconds, 1)
    known = spans_seconds > 0
    squares = returns_bps[known] ** 2 * (cadence_seconds / spans_seconds[known])
    count = np.minimum(np.arange(1, len(squares) + 1), width)
    variance = np.zeros(len(returns_bps))
    variance[known] = np.maximum(_trailing_sum(squares, width), 0.0) / count
    return np.asarray(np.maximum(np.sqrt(_hold_last(variance, known, 0.0)), floor_bps))


def sigma_paths(series: GridSeries, cadence_seconds: int, parameters: SigmaParameters) -> SigmaPaths:
    """Short and long trailing sigma of every instrument over the continuous series, days joined."""
    paths: list[Floats] = []
    for window in (parameters.short_window_seconds, parameters.long_window_seconds):
        columns = [
            trailing_sigma(
                *returns_between_observed(series.mid[:, asset], series.state[:, asset], cadence_seconds),
                cadence_seconds,
                window,
                parameters.floor_bps,
            )
            for asset in range(series.mid.shape[1])
        ]
        paths.append(np.stack(columns, axis=1))
    return SigmaPaths(paths[0], paths[1])


def price_stream(series: GridSeries, cadence_seconds: int, parameters: SigmaParameters) -> NDArray[np.float32]:
    """The path of the price in units a network can read, PRICE_COLUMNS for each instrument in turn.

    `return_over_sigma`: log mid return since the last observed step over the trailing short sigma of a step (0 where
    not observed; a return across a gap is whole, its length stands in the mask stream). `log_sigma_short`,
    `log_sigma_long`: natural log of the trailing sigmas in bps per step. `spread_bps`, `microprice_bps` (microprice
    minus mid): the last known value, 0 before the first.

    Returns:
        (T, A * 5) float32.
    """
    sigma = sigma_paths(series, cadence_seconds, parameters)
    steps, assets = series.mid.shape
    stream = np.empty((steps, assets, len(PRICE_COLUMNS)), np.float32)
    for asset in range(assets):
        state = series.state[:, asset]
        returns, _ = returns_between_observed(series.mid[:, asset], state, cadence_seconds)
        stream[:, asset, 0] = returns / sigma.short[:, asset]
        stream[:, asset, 1] = np.log(sigma.short[:, asset])
        stream[:, asset, 2] = np.log(sigma.long[:, asset])
        stream[:, asset, 3] = _hold_last(series.spread_bps[:, asset].astype(np.float64), state != MISSING, 0.0)
        stream[:, asset, 4] = _hold_last(series.microprice_bps[:, asset].astype(np.float64), state != MISSING, 0.0)
    return stream.reshape(steps, assets * len(PRICE_COLUMNS))


def long_term_columns(statistics: tuple[LongTermStatistic, ...]) -> tuple[str, ...]:
    """Names of the long-term statistics as stored: positive heavy-tailed ones as log1p, and `present` last."""
    return (*(f"log1p_{name}" if name in LOGGED_STATISTICS else name for name in statistics), PRESENT)


def long_term_stream(context: DailyContext, statistics: tuple[LongTermStatistic, ...]) -> NDArray[np.float32]:
    """Daily vectors, row r for the day context.days[r]; a sample of a day reads rows of earlier days only.

    Returns:
        (R, stats + 1, A) float32, NaN in the statistics of an absent day, whose last row `present` is 0.
    """
    first = context.statistics[statistics[0]]
    stream = np.empty((len(first), len(statistics) + 1, first.shape[1]), np.float32)
    for row, name in enumerate(statistics):
        values = context.statistics[name]
        stream[:, row, :] = np.log1p(np.maximum(values, 0.0)) if name in LOGGED_STATISTICS else values
    absent = np.asarray(np.isnan(stream[:, :-1, :]).any(axis=1))
    stream[:, -1, :] = ~absent
    stream[:, :-1, :] = np.where(absent[:, None, :], np.nan, stream[:, :-1, :])
    return stream


def _trailing_sum(values: Floats, width: int) -> Floats:
    total = np.cumsum(values)
    total[width:] -= total[:-width]
    return total


def _hold_last(values: Floats, known: NDArray[np.bool_], initial: float) -> Floats:
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.asarray(np.where(last >= 0, values[np.maximum(last, 0)], initial))
