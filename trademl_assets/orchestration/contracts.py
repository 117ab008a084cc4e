"""Table contracts of the assets whose tables no other package describes: regimes and the sample index."""

import pandera.polars as pa
import polars as pl

from trademl_assets.datasets.parameters import PARTS
from trademl_assets.long_term.regimes import REGIME_SCHEMA, REGIMES


def regime_contract() -> pa.DataFrameSchema:
    """One row: a known regime, its trend and rank, null only while it is unknown."""
    checks = {"regime": pa.Check.isin(list(REGIMES)), "volatility_rank": pa.Check.in_range(0, 1)}
    return pa.DataFrameSchema(
        {
            name: pa.Column(kind, checks=checks.get(name), nullable=name in {"trend", "volatility_rank"})
            for name, kind in REGIME_SCHEMA.items()
        },
        strict=True,
    )


def index_contract() -> pa.DataFrameSchema:
    """Sample index: unique samples in the order of decisions, labels that end after they begin, positive weights."""
    return pa.DataFrameSchema(
        {
            "sample": pa.Column(pl.Int64, unique=True),
            "t0": pa.Column(pl.Datetime("us", "UTC")),
            "t1": pa.Column(pl.Datetime("us", "UTC")),
            "step": pa.Column(pl.Int64, pa.Check.ge(0)),
            "instrument": pa.Column(pl.String),
            "label": pa.Column(pl.Int8, pa.Check.ge(0)),
            "return_bps": pa.Column(pl.Float64),
            "sigma_bps": pa.Column(pl.Float64, pa.Check.gt(0)),
            "part": pa.Column(pl.String, pa.Check.isin(list(PARTS))),
            "on_stride": pa.Column(pl.Boolean),
            "weight": pa.Column(pl.Float32, pa.Check.gt(0)),
            "regime": pa.Column(pl.String, pa.Check.isin(list(REGIMES))),
        },
        checks=[pa.Check(_ends_later, name="t1 after t0"), pa.Check(_in_time_order, name="samples in time order")],
        strict=False,
    )


def _ends_later(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col("t1") > pl.col("t0"))


def _in_time_order(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select((pl.col("t0").diff().dt.total_microseconds() >= 0).fill_null(value=True))
