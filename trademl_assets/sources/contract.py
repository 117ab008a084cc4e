"""The contract of a source: tables it hands out, the instrument it is asked for, and the registry of kinds.

A source kind offers one or more of the protocols below; what it can do is told by the methods it has. Frames hold
what the venue said: cleaning, compression and alignment happen downstream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry

INSTANT = pl.Datetime("us", "UTC")

TALL_SCHEMA: Mapping[str, pl.DataType] = {
    "ts": INSTANT,
    "batch_id": pl.Int64(),
    "level": pl.Int32(),
    "bid_price": pl.Float64(),
    "bid_quantity": pl.Float64(),
    "ask_price": pl.Float64(),
    "ask_quantity": pl.Float64(),
}
"""One row per (ts, level), level 0 the best, null where a side has no such level; sorted by (ts, level).

Prices in quote currency, quantities in base units (contracts on coin-margined futures). `batch_id` is the sequence
number of the venue or the batch of the feed that the row came with.
"""

SNAPSHOT_SCALARS: Mapping[str, pl.DataType] = {
    "ts": INSTANT,
    "batch_id": pl.Int64(),
    "mid": pl.Float64(),
    "spread_bps": pl.Float32(),
    "microprice_bps": pl.Float32(),
    "locked": pl.Boolean(),
}
SNAPSHOT_ARRAYS: tuple[str, ...] = ("bid_distance_bps", "bid_quantity", "ask_distance_bps", "ask_quantity")

AGGREGATE_SCHEMA: Mapping[str, pl.DataType] = {
    "day": pl.Date(),
    "instrument": pl.String(),
    "mean_bps": pl.Float64(),
    "std_bps": pl.Float64(),
    "skew": pl.Float64(),
    "kurtosis": pl.Float64(),
    "volume": pl.Float64(),
    "volatility_bps": pl.Float64(),
    "close": pl.Float64(),
    "steps": pl.Int64(),
}
"""One row per (day, instrument): moments of the grid's mid returns, mean quoted volume, volatility, last mid."""


SERIES_SCHEMA: Mapping[str, pl.DataType] = {
    "ts": INSTANT,
    "published": INSTANT,
    "name": pl.String(),
    "value": pl.Float64(),
}
"""One row per value of an external series: the instant it is about, and the first instant anybody could know it."""


def snapshot_schema(slots: int) -> dict[str, pl.DataType]:
    """Schema of compressed snapshots, one row per instant.

    Args:
        slots: Width of the four array columns: near levels first, then the distance bins, as `CompressionParameters`
            defines them.

    Returns:
        Column names and types in order. `microprice_bps` is microprice minus mid in bps of mid; distances are bps
        from mid and not negative; quantities are in base units. A near level that is absent, or a bin wholly beyond
        the observed depth, is NaN in both arrays; a bin inside the observed depth without a level has quantity 0 and
        distance NaN.
    """
    return {**SNAPSHOT_SCALARS, **{name: pl.Array(pl.Float32, slots) for name in SNAPSHOT_ARRAYS}}


class InstrumentParameters(Parameters):
    """A configured instrument: one symbol on one venue's market.

    Attributes:
        name: Name used everywhere in the platform; BTCUSDT on spot and on USD-M are two instruments with two names.
        venue: Exchange, for example `binance`.
        market: `spot`, `usdm` (margined in USD stablecoins) or `coinm` (margined in the coin; quantities are
            contracts).
        symbol: The venue's own symbol.
        tick_size: Least price step in quote currency.
        reference_quantity: Quantity that scales this instrument's sizes to the order of one, in base units or
            contracts.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{2,40}$")]
    venue: Annotated[str, Field(pattern=r"^[a-z0-9_]{2,30}$")]
    market: Literal["spot", "usdm", "coinm"]
    symbol: Annotated[str, Field(pattern=r"^[A-Z0-9_]{2,30}$")]
    tick_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    reference_quantity: Annotated[float, Field(gt=0, allow_inf_nan=False)]


@runtime_checkable
class DepthSource(Protocol):
    """Hands out raw depth."""

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Rows of `TALL_SCHEMA` within [start of `day` - `lead_in_seconds`, end of `day`), UTC.

        Raises:
            SourceError: Nothing lies on the day itself, or the input cannot be trusted; names instrument, day and
                file or table.
        """
        ...


@runtime_checkable
class DescribedDepthSource(Protocol):
    """Hands out raw depth and says how it got it."""

    def extract_described(
        self, instrument: InstrumentParameters, day: date, lead_in_seconds: int
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Rows as `DepthSource.extract`, and facts that are JSON.

        The facts make the extraction repeatable: statements or files with their hashes, ranges, counts, retries.
        Never a secret.
        """
        ...


@runtime_checkable
class SnapshotSource(Protocol):
    """Hands out history that is already compressed."""

    def snapshots(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """Rows of `snapshot_schema` within [start of `day` - `lead_in_seconds`, end of `day`), UTC.

        They are sorted by `ts`, which does not repeat.

        Raises:
            SourceError: Nothing lies on the day itself, or the input cannot be trusted; names instrument, day and
                file or table.
        """
        ...


@runtime_checkable
class AggregateSource(Protocol):
    """Hands out a day's aggregates, for days before the books begin."""

    def aggregates(self, instruments: Sequence[InstrumentParameters], day: date) -> pl.DataFrame:
        """One row of `AGGREGATE_SCHEMA` per instrument, in the order of `instruments`.

        Raises:
            SourceError: The day is not covered.
        """
        ...


@runtime_checkable
class SeriesSource(Protocol):
    """Hands out external series, such as an index or a news score."""

    def series(self, name: str, first: date, last: date) -> pl.DataFrame:
        """Rows of `SERIES_SCHEMA` published on the UTC days `first` to `last`, sorted by (published, ts).

        Raises:
            SourceError: The series is not configured, or its input cannot be trusted; names series and file.
        """
        ...


@dataclass(frozen=True)
class Reading:
    """What a forecaster reads of the grid.

    Attributes:
        instruments: Those that it reads anything of.
        returns: Whether it reads their returns.
        book_slots: Slots of their books that it reads, from the best price on; None reads all, 0 none.
        long_term: Whether it reads the facts of earlier days.
    """

    instruments: tuple[str, ...]
    returns: bool
    book_slots: int | None
    long_term: bool


@runtime_checkable
class OptimumSource(Protocol):
    """Knows the best possible forecasts, because it planted the market itself."""

    def optimal_probabilities(
        self,
        instrument: str,
        decision_times_us: NDArray[np.int64],
        horizon_seconds: int,
        boundaries_bps: NDArray[np.float64],
        readings: Mapping[str, Reading],
    ) -> dict[str, NDArray[np.float64]]:
        """Class probabilities of the return over the horizon, for each decision time.

        Args:
            instrument: Name of the instrument.
            decision_times_us: Instants in microseconds since the epoch, shape (N,).
            horizon_seconds: Length of the return.
            boundaries_bps: Ascending class boundaries, shape (C - 1,).
            readings: What else is asked for, by name: the best forecast that reads no more than this.

        Returns:
            Arrays of shape (N, C): `optimum` from all information on the grid, `returns_only` from the assets'
            returns alone, `volatility` from the known volatility with zero drift; and each of `readings`, left out
            where its best forecast is not known.
        """
        ...


SOURCES: Registry[type[Any]] = Registry("source", "trademl_assets.sources")
"""Source kinds by name. A kind is a class with `parameters`, its parameter model, built as `kind(parameters,
instruments)` where `instruments` maps names to `InstrumentParameters`."""


def extract_with_facts(
    source: DepthSource, instrument: InstrumentParameters, day: date, lead_in_seconds: int
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Extract, with the facts of a source that tells them; none from one that does not."""
    if isinstance(source, DescribedDepthSource):
        return source.extract_described(instrument, day, lead_in_seconds)
    return source.extract(instrument, day, lead_in_seconds), {}
