"""daily_aggregates and market_regime: the slow channel, a day at a time."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from trademl_assets.long_term.level_moments import aggregate_levels
from trademl_assets.long_term.moments import aggregate_day
from trademl_assets.long_term.plots import draw_aggregates, draw_regimes, sketch_aggregates, sketch_regimes
from trademl_assets.long_term.regimes import classify_regime
from trademl_assets.orchestration.batch import (
    STORE,
    TRACKING,
    Work,
    asset_arguments,
    commit_partitions,
    partitioned_asset,
)
from trademl_assets.orchestration.catalog import ALIGNED_GRID, DAILY_AGGREGATES, MARKET_REGIME
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import same_day_where_it_exists, trailing_days
from trademl_assets.orchestration.metadata import Facts, table_facts
from trademl_assets.orchestration.partitions import day_of
from trademl_assets.sources.contract import AGGREGATE_SCHEMA

LEVELS = "levels"
"""Second table of a day with books: quantities by side and group of levels."""

_FROM_AGGREGATES = {
    "day": ("day",),
    "regime": ("close", "volatility_bps"),
    "trend": ("close", "volatility_bps"),
    "volatility_rank": ("volatility_bps",),
}
REGIME_LINEAGE = {
    column: tuple((DAILY_AGGREGATES.name, name) for name in names) for column, names in _FROM_AGGREGATES.items()
}


def build_long_term_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    return [_daily_aggregates(deployment), _market_regime(deployment)]


def _daily_aggregates(deployment: Deployment) -> dg.AssetsDefinition:
    instruments = deployment.configuration.market.instruments_by_name()
    window = deployment.configuration.long_term.regimes.window_days
    groups = deployment.configuration.long_term.level_groups

    def aggregate(work: Work) -> Facts:
        day = day_of(work.key)
        if deployment.lineage.has_books(work.key):
            arrays = work.store.open_arrays(ALIGNED_GRID.name, work.key)
            frame = aggregate_day(arrays, tuple(instruments), day)
            work.writer.table(LEVELS, aggregate_levels(arrays, tuple(instruments), day, groups))
        else:
            frame = work.resource("sources").aggregates.aggregates(tuple(instruments.values()), day)
        work.writer.table("data", frame)
        work.writer.rows(frame.height)
        known = frame.drop_nulls("volatility_bps").select("instrument", "volatility_bps").iter_rows()
        shown = pl.concat([_days_before(work, window), frame])
        plot = draw_aggregates(shown) if work.draws else b""
        sketch = None if work.draws else sketch_aggregates(shown)
        numbers = {f"{name}_volatility_bps": value for name, value in known}
        return table_facts(frame, numbers=numbers, plot=plot, sketch=sketch)

    deps = [dg.AssetDep(ALIGNED_GRID.name, partition_mapping=same_day_where_it_exists())]
    return partitioned_asset(deployment, DAILY_AGGREGATES, aggregate, deps=deps, resources=frozenset({"sources"}))


def _market_regime(deployment: Deployment) -> dg.AssetsDefinition:
    parameters = deployment.configuration.long_term.regimes
    upstream = dg.AssetIn(
        key=DAILY_AGGREGATES.name,
        partition_mapping=trailing_days(parameters.window_days),
        input_manager_key="partition_tables",
    )

    def body(context: dg.AssetExecutionContext, daily_aggregates: pl.LazyFrame) -> Iterator[Any]:
        trailing = daily_aggregates.collect()
        made: list[pl.DataFrame] = []

        def classify(work: Work) -> Facts:
            day = day_of(work.key)
            frame = classify_regime(trailing, day, parameters)
            work.writer.table("data", frame)
            work.writer.rows(frame.height)
            made.append(frame)
            reference = parameters.reference_instrument
            latest = pl.concat(made[-parameters.window_days :])
            return Facts(
                texts={"regime": str(frame["regime"][0])},
                plot=draw_regimes(trailing, pl.concat(made), reference) if work.draws else b"",
                sketch=None if work.draws else sketch_regimes(trailing, latest, reference),
                schema=frame.schema,
                lineage=REGIME_LINEAGE,
            )

        yield from commit_partitions(context, deployment, MARKET_REGIME, classify)

    arguments = asset_arguments(deployment, MARKET_REGIME)
    ins = {DAILY_AGGREGATES.name: upstream}
    asset: dg.AssetsDefinition = dg.asset(**arguments, ins=ins, required_resource_keys={STORE, TRACKING})(body)
    return asset


def _days_before(work: Work, count: int) -> pl.DataFrame:
    """Aggregates of the latest days before a partition that there are, to show it among them."""
    before = [key for key in work.store.partitions(DAILY_AGGREGATES.name) if key < work.key][1 - count :]
    if not before:
        return pl.DataFrame(schema=dict(AGGREGATE_SCHEMA))
    return work.store.scan_tables(DAILY_AGGREGATES.name, before).collect()
