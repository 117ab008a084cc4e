"""The planted market as a source: snapshots, tall rows, aggregates of earlier days, and the best possible forecasts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import ClassVar

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.contract import AGGREGATE_SCHEMA, SOURCES, InstrumentParameters, Reading
from trademl_assets.sources.planted_books import SlotBooks, draw_books, expected_volume
from trademl_assets.sources.planted_filter import Sight
from trademl_assets.sources.planted_market import latent_day
from trademl_assets.sources.planted_optimum import (
    class_probabilities,
    filter_drifts,
    full_sight,
    horizon_laws,
    predict_return,
    predict_without_drift,
    returns_sight,
    sight_of,
)
from trademl_assets.sources.planted_parameters import SECONDS_PER_DAY, PlantedMarketParameters
from trademl_assets.sources.planted_tables import snapshot_table, tall_table


@SOURCES.register("planted_market")
class PlantedMarket:
    """A market with a planted signal, whose best possible forecast is known.

    Any instrument and day can be asked for in any order; equal parameters give equal bytes.

    Args:
        parameters: The market.
        instruments: Configured instruments by name; every planted instrument must be among them.

    Raises:
        ConfigError: A planted instrument is not configured.
    """

    parameters: ClassVar[type[Parameters]] = PlantedMarketParameters

    def __init__(self, parameters: PlantedMarketParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        self._market = parameters
        self._positions = {instrument.name: position for position, instrument in enumerate(parameters.instruments)}
        unknown = [name for name in self._positions if name not in instruments]
        if unknown:
            raise ConfigError(
                f"planted market: instruments {unknown} are not configured -> name them among the market's instruments"
            )

    def snapshots(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Compressed snapshots of a day and its lead-in.

        Args:
            instrument: A planted instrument.
            day: A day with books.
            lead_in_seconds: Seconds before the day that are included, as far as books exist.

        Returns:
            Frame of `snapshot_schema`, sorted by `ts`. Crossed snapshots are left out.

        Raises:
            SourceError: The instrument is not planted, the day has no books, or ticks are too coarse for the bins.
        """
        return self._tables(snapshot_table, instrument, day, lead_in_seconds)

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Tall rows of a day and its lead-in: the same books, level by level, crossed ones included.

        Args:
            instrument: A planted instrument.
            day: A day with books.
            lead_in_seconds: Seconds before the day that are included, as far as books exist.

        Returns:
            Frame of `TALL_SCHEMA`, sorted by (`ts`, `level`).

        Raises:
            SourceError: As `snapshots`.
        """
        return self._tables(tall_table, instrument, day, lead_in_seconds)

    def aggregates(self, instruments: Sequence[InstrumentParameters], day: date) -> pl.DataFrame:
        """Aggregates of a day before the books begin, from the same latent market that the books continue.

        Args:
            instruments: Planted instruments.
            day: A day of history.

        Returns:
            Frame of `AGGREGATE_SCHEMA`, one row per instrument. Moments are those of the returns between the day's
            instants; volume is its expectation under the day's volume factor.

        Raises:
            SourceError: An instrument is not planted, or the day lies outside history.
        """
        market = self._market
        if not market.history_first_day <= day < market.first_day:
            raise SourceError(
                f"planted market: {day} has no aggregates -> days from {market.history_first_day} to before "
                f"{market.first_day} have them"
            )
        latent = latent_day(market, day)
        volume = expected_volume(market) * latent.volume
        rows = []
        for instrument in instruments:
            log_mid = latent.log_mid[:, self._position(instrument.name)]
            returns = 1e4 * np.diff(log_mid)
            rows.append(
                {
                    "day": day,
                    "instrument": instrument.name,
                    "mean_bps": float(returns.mean()),
                    "std_bps": float(returns.std()),
                    "skew": float(scipy.stats.skew(returns)),
                    "kurtosis": float(scipy.stats.kurtosis(returns)),
                    "volume": volume,
                    "volatility_bps": float(np.sqrt(np.sum(returns**2))),
                    "close": float(np.exp(log_mid[-1])),
                    "steps": log_mid.size,
                }
            )
        return pl.DataFrame(rows, schema=dict(AGGREGATE_SCHEMA))

    def optimal_probabilities(
        self,
        instrument: str,
        decision_times_us: NDArray[np.int64],
        horizon_seconds: int,
        boundaries_bps: NDArray[np.float64],
        readings: Mapping[str, Reading],
    ) -> dict[str, NDArray[np.float64]]:
        """Class probabilities of the log mid return over the horizon, given what the grid showed up to each decision.

        Args:
            instrument: Name of the instrument.
            decision_times_us: Grid instants in microseconds since the epoch, shape (N,).
            horizon_seconds: Length of the return, a multiple of the cadence.
            boundaries_bps: Ascending class boundaries, shape (C - 1,).
            readings: What else is asked for, by name.

        Returns:
            Arrays of shape (N, C): `optimum` from all returns and books, `returns_only` from all returns without books,
            `volatility` with zero drift; and each of `readings` that has a `sight_of`. Volatility and gate are known to
            all.

        Raises:
            SourceError: The instrument is not planted, or a decision or the horizon lies off the grid or outside the
                days with books.
        """
        market, target = self._market, self._position(instrument)
        steps = self._steps(decision_times_us, horizon_seconds)
        laws = horizon_laws(market, target, steps, horizon_seconds // market.cadence_seconds)
        asked = {name: sight_of(market, reading) for name, reading in readings.items()}
        sights = {"optimum": full_sight(market), "returns_only": returns_sight(market)}
        sights |= {name: sight for name, sight in asked.items() if sight is not None}
        found: dict[bytes, NDArray[np.float64]] = {}
        for sight in sights.values():
            if (seen := _seen(sight)) not in found:
                mean, variance = predict_return(filter_drifts(market, sight, steps), laws)
                found[seen] = class_probabilities(mean, variance, boundaries_bps)
        volatility = class_probabilities(*predict_without_drift(market, laws), boundaries_bps)
        return {name: found[_seen(sight)] for name, sight in sights.items()} | {"volatility": volatility}

    def _tables(
        self,
        write: Callable[[SlotBooks, date, int, float], pl.DataFrame],
        instrument: InstrumentParameters,
        day: date,
        lead_in_seconds: int,
    ) -> pl.DataFrame:
        market, position = self._market, self._position(instrument.name)
        if not market.first_day <= day <= market.last_day:
            raise SourceError(
                f"planted market, {instrument.name}: {day} has no books -> days from {market.first_day} to "
                f"{market.last_day} have them"
            )
        if not 0 <= lead_in_seconds <= SECONDS_PER_DAY:
            raise SourceError(
                f"planted market, {instrument.name}, {day}: lead-in of {lead_in_seconds} s -> at most a day"
            )
        wanted = [(day, 0)]
        if lead_in_seconds and day > market.first_day:
            # Stamps precede their instants: midnight's bears no jitter, earlier ones must lie within the lead-in.
            wanted.insert(0, (day - timedelta(days=1), (SECONDS_PER_DAY - lead_in_seconds) // market.cadence_seconds))
        frames = []
        for part, first_step in wanted:
            books = draw_books(market, position, instrument, part, first_step)
            before = part < day
            if before:
                books = books.take(books.offset_us >= (SECONDS_PER_DAY - lead_in_seconds) * 1_000_000)
            first_batch = (part - market.first_day).days * market.steps_per_day
            frames.append(write(books, part, first_batch, instrument.tick_size))
        return pl.concat(frames)

    def _steps(self, decision_times_us: NDArray[np.int64], horizon_seconds: int) -> NDArray[np.int64]:
        market = self._market
        cadence_us = market.cadence_seconds * 1_000_000
        steps, rest = np.divmod(decision_times_us - to_microseconds(day_start(market.first_day)), cadence_us)
        total = ((market.last_day - market.first_day).days + 1) * market.steps_per_day
        outside = (rest != 0) | (steps < 0) | (steps >= total)
        if outside.any() or horizon_seconds % market.cadence_seconds:
            raise SourceError(
                f"planted market: {int(outside.sum())} of {steps.size} decisions lie off the grid of "
                f"{market.cadence_seconds} s, {market.first_day} to {market.last_day}, horizon {horizon_seconds} s"
                " -> ask for grid instants and whole steps"
            )
        return steps

    def _position(self, name: str) -> int:
        if name not in self._positions:
            raise SourceError(f"planted market: {name} is not planted -> choose one of {', '.join(self._positions)}")
        return self._positions[name]


def _seen(sight: Sight) -> bytes:
    return sight.returns.tobytes() + sight.bands.tobytes()
