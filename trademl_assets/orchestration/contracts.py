"""Table contracts of the assets whose tables no source describes: levels, regimes, coverage, samples, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from trademl_assets.datasets.parameters import PARTS
from trademl_assets.foundation.lazy_import import LazyModule
from trademl_assets.long_term.level_moments import LEVEL_SCHEMA, SIDES
from trademl_assets.long_term.regimes import REGIME_SCHEMA, REGIMES
from trademl_assets.order_book.coverage import COVERAGE_SCHEMA, STATES
from trademl_assets.training.results import prediction_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandera.polars as pa
else:
    pa = LazyModule("pandera.polars")

_IDENTITY = ("sample", "member")
_ROUNDING = 1e-9


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


def level_contract() -> pa.DataFrameSchema:
    """Moments of quantity by side and group of levels: each once a day and instrument, spreads and sums not negative.

    Moments of a group that was never quoted are null; `count` says how many values there were.
    """
    not_negative = {name: pa.Check.ge(0) for name in ("std", "volume", "volatility", "count", "steps")}
    identity = ("day", "instrument", "side", "group")
    checks = {**not_negative, "side": pa.Check.isin(list(SIDES))}
    filled = {*identity, "count", "steps"}
    return pa.DataFrameSchema(
        {
            name: pa.Column(kind, checks=checks.get(name), nullable=name not in filled)
            for name, kind in LEVEL_SCHEMA.items()
        },
        unique=list(identity),
        strict=True,
    )


def coverage_contract() -> pa.DataFrameSchema:
    """Coverage calendar: every instrument and day once, a known state, shares between 0 and 1."""
    share = pa.Check.in_range(0, 1)
    checks = {
        "state": pa.Check.isin(list(STATES)),
        "rows": pa.Check.ge(0),
        "coverage_share": share,
        "quality_index": share,
    }
    unmeasured = {"snapshots", "dropped_snapshots", "coverage_share", "quality_index"}
    return pa.DataFrameSchema(
        {
            name: pa.Column(kind, checks=checks.get(name), nullable=name in unmeasured)
            for name, kind in COVERAGE_SCHEMA.items()
        },
        unique=["instrument", "day"],
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
            "part": pa.Column(pl.String, pa.Check.isin([*PARTS, "degradation"])),
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


def logits_contract(frame: pl.DataFrame) -> pa.DataFrameSchema:
    """Predictions of a training: one finite logit a class for each sample and member, each pair once."""
    classes = len(frame.columns) - len(_IDENTITY)
    columns = {name: pa.Column(kind) for name, kind in prediction_schema(classes).items()}
    logits = {
        name: pa.Column(pl.Float64, pa.Check(_is_finite, name="finite")) for name in columns if name not in _IDENTITY
    }
    return pa.DataFrameSchema({**columns, **logits}, unique=list(_IDENTITY), strict=True)


def probabilities_contract(frame: pl.DataFrame) -> pa.DataFrameSchema:
    """Probabilities before and after calibration: within 0 and 1, adding up to 1 in each row, each sample once."""
    names = [name for name in frame.columns if name.startswith(("before_", "after_"))]
    return pa.DataFrameSchema(
        {
            "sample": pa.Column(pl.Int64, unique=True),
            **{name: pa.Column(pl.Float64, pa.Check.in_range(0, 1)) for name in names},
        },
        checks=[
            pa.Check(_adds_up("before_"), name="before adds up to 1"),
            pa.Check(_adds_up("after_"), name="after adds up to 1"),
        ],
    )


def _is_finite(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key).is_finite())


def _adds_up(prefix: str) -> Callable[[pa.PolarsData], pl.LazyFrame]:
    def check(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.sum_horizontal(pl.col(f"^{prefix}.*$")) - 1).abs() < _ROUNDING)

    return check
