"""The contract of candles: what a row of bars says, who hands them out, and what a checked table of them satisfies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import polars as pl

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.lazy_import import LazyModule
from trademl_assets.sources.contract import INSTANT, InstrumentParameters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    import pandera.polars as pa
else:
    pa = LazyModule("pandera.polars")

PRICES = ("open", "high", "low", "close")

BAR_SCHEMA: Mapping[str, pl.DataType] = {
    "ts": INSTANT,
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "taker_buy_volume": pl.Float64(),
    "trades": pl.Int64(),
}
"""One row per bar; `ts` is the instant at which it OPENS, so nothing of the row is known before the next one may open.

Prices in quote currency, volumes in base units (contracts, ticks: whatever the source counts). `taker_buy_volume` and
`trades` are null where the source does not tell them.
"""
OPTIONAL = frozenset({"taker_buy_volume", "trades"})


@runtime_checkable
class BarSource(Protocol):
    """Hands out candles."""

    def bars(self, instrument: InstrumentParameters, first: date, last: date) -> pl.DataFrame:
        """Rows of `BAR_SCHEMA` that open on the UTC days `first` to `last`, as the source has them.

        They may repeat or step back: that is for the quality rules to judge. No row means that the source was read and
        knows no bar of these days.

        Raises:
            SourceError: There is nothing to read, or the input cannot be trusted; names instrument, days and file.
        """
        ...


def bar_contract(cadence_seconds: int) -> pa.DataFrameSchema:
    """Checked bars: types, ascending openings on the cadence, positive prices, highs above and lows below the body.

    Args:
        cadence_seconds: Length of a bar.
    """
    positive = pa.Check.in_range(0, float("inf"), include_min=False, include_max=False)
    not_negative = pa.Check.in_range(0, float("inf"), include_max=False)
    checks = {
        **dict.fromkeys(PRICES, positive),
        "volume": not_negative,
        "taker_buy_volume": not_negative,
        "trades": pa.Check.ge(0),
    }
    return pa.DataFrameSchema(
        columns={
            name: pa.Column(kind, checks=checks.get(name), nullable=name in OPTIONAL, required=True)
            for name, kind in BAR_SCHEMA.items()
        },
        checks=[
            pa.Check(_ascends, name="ts ascends without repetition"),
            pa.Check(lambda data: _lies_on_cadence(data, cadence_seconds), name=f"ts lies on {cadence_seconds} s"),
            pa.Check(_is_consistent, name="low <= open, close <= high"),
        ],
        strict=True,
        ordered=True,
    )


def consistent() -> pl.Expr:
    """Whether the body of a bar lies between its low and its high."""
    body_low, body_high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    return (pl.col("high") >= body_high) & (pl.col("low") <= body_low)


def _ascends(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select((pl.col("ts").diff().dt.total_microseconds() > 0).fill_null(value=True))


def _lies_on_cadence(data: pa.PolarsData, cadence_seconds: int) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col("ts").to_physical() % (cadence_seconds * MICROSECONDS_PER_SECOND) == 0)


def _is_consistent(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(consistent())
