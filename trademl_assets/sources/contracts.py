"""What the tables of the contract must satisfy, as pandera schemas that tell every violation at once.

Structure only where rows are still as the venue said them (tall rows): what is wrong inside them is for the quality
rules to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.lazy_import import LazyModule
from trademl_assets.sources.contract import (
    AGGREGATE_SCHEMA,
    SERIES_SCHEMA,
    SNAPSHOT_ARRAYS,
    TALL_SCHEMA,
    snapshot_schema,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandera.polars as pa
else:
    pa = LazyModule("pandera.polars")

CASE_WIDTH = 80  # characters of a failing case that a message shows


def tall_contract() -> pa.DataFrameSchema:
    """Tall rows: types, an instant, a batch and a level in every row, sorted by (ts, level)."""
    nullable = {"bid_price", "bid_quantity", "ask_price", "ask_quantity"}
    return pa.DataFrameSchema(
        columns=_columns(TALL_SCHEMA, nullable, {"level": pa.Check.ge(0)}),
        checks=[pa.Check(_is_sorted_by_level, name="sorted by ts and level")],
        strict=True,
        ordered=True,
    )


def snapshot_contract(slots: int) -> pa.DataFrameSchema:
    """Compressed snapshots: types, ascending instants, a positive mid, no negative spread, distance or quantity.

    Args:
        slots: Width of the array columns.
    """
    arrays = {name: pa.Check(_no_negative_elements, name=f"{name} >= 0 or NaN") for name in SNAPSHOT_ARRAYS}
    scalars = {"mid": _positive(), "spread_bps": pa.Check.ge(0)}
    return pa.DataFrameSchema(
        columns=_columns(snapshot_schema(slots), set(), {**scalars, **arrays}),
        checks=[pa.Check(_ascends, name="ts ascends without repetition")],
        strict=True,
        ordered=True,
    )


def aggregate_contract() -> pa.DataFrameSchema:
    """Daily aggregates: types, one row per day and instrument, no negative spread of returns, volume or volatility.

    Moments of a day without enough observed steps are null; `steps` says how many there were.
    """
    nullable = {"mean_bps", "std_bps", "skew", "kurtosis", "volume", "volatility_bps", "close"}
    not_negative = {name: pa.Check.ge(0) for name in ("std_bps", "volume", "volatility_bps", "steps")}
    return pa.DataFrameSchema(
        columns=_columns(AGGREGATE_SCHEMA, nullable, {**not_negative, "close": _positive()}),
        unique=["day", "instrument"],
        strict=True,
        ordered=True,
    )


def series_contract() -> pa.DataFrameSchema:
    """External series: types, a finite value in every row, in the order of publication."""
    return pa.DataFrameSchema(
        columns=_columns(SERIES_SCHEMA, set(), {"value": pa.Check(_is_finite, name="finite")}),
        checks=[pa.Check(_is_sorted_by_publication, name="sorted by published and ts")],
        strict=True,
        ordered=True,
    )


def require_contract(frame: pl.DataFrame, contract: pa.DataFrameSchema, place: str) -> None:
    """Check a table against its contract.

    Args:
        frame: The table.
        contract: One of the contracts.
        place: What the table is and where it comes from, for messages.

    Raises:
        DataQualityError: With every violation, its column and the number of rows.
    """
    try:
        contract.validate(frame, lazy=True)
    except (pa.errors.SchemaErrors, pa.errors.SchemaError) as error:
        raise DataQualityError(f"{place}: {violations(error)} -> mend the source, or the step before") from error


def violations(error: pa.errors.SchemaErrors | pa.errors.SchemaError) -> str:
    """Every violation in one line: column, check, number of failing cases and the first of them."""
    if isinstance(error, pa.errors.SchemaError):
        return str(error)
    cases = error.failure_cases.group_by("column", "check", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("failure_case").first().alias("first")
    )
    return "; ".join(
        f"{case['column'] or 'table'}: {case['check']} ({case['count']} cases, first {_brief(case['first'])})"
        for case in cases.to_dicts()
    )


def _brief(case: object) -> str:
    return " ".join(str(case).split())[:CASE_WIDTH]


def _columns(
    schema: Mapping[str, pl.DataType], nullable: set[str], checks: Mapping[str, pa.Check]
) -> dict[str, pa.Column]:
    return {
        name: pa.Column(dtype, checks=checks.get(name), nullable=name in nullable, required=True)
        for name, dtype in schema.items()
    }


def _positive() -> pa.Check:
    return pa.Check.in_range(0, float("inf"), include_min=False, include_max=False)


def _no_negative_elements(data: pa.PolarsData) -> pl.LazyFrame:
    least = pl.col(data.key).arr.eval(pl.element().fill_nan(None)).arr.min()
    return data.lazyframe.select((least >= 0).fill_null(value=True))


def _is_sorted_by_level(data: pa.PolarsData) -> pl.LazyFrame:
    later = pl.col("ts").diff().dt.total_microseconds()
    deeper = pl.col("level").diff()
    return data.lazyframe.select(((later > 0) | ((later == 0) & (deeper >= 0))).fill_null(value=True))


def _is_finite(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key).is_finite())


def _is_sorted_by_publication(data: pa.PolarsData) -> pl.LazyFrame:
    later = pl.col("published").diff().dt.total_microseconds()
    newer = pl.col("ts").diff().dt.total_microseconds()
    return data.lazyframe.select(((later > 0) | ((later == 0) & (newer >= 0))).fill_null(value=True))


def _ascends(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select((pl.col("ts").diff().dt.total_microseconds() > 0).fill_null(value=True))
