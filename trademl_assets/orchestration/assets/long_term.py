"""daily_aggregates and market_regime: the slow channel, a day at a time."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from trademl_assets.long_term.moments import aggregate_day
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


def build_long_term_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    return [_daily_aggregates(deployment), _market_regime(deployment)]


def _daily_aggregates(deployment: Deployment) -> dg.AssetsDefinition:
    instruments = deployment.configuration.market.instruments_by_name()

    def aggregate(work: Work) -> Facts:
        day = day_of(work.key)
        if deployment.lineage.has_books(work.key):
            frame = aggregate_day(work.store.open_arrays(ALIGNED_GRID.name, work.key), tuple(instruments), day)
        else:
            frame = work.resource("sources").aggregates.aggregates(tuple(instruments.values()), day)
        work.writer.table("data", frame)
        work.writer.rows(frame.height)
        volatility = dict(frame.select("instrument", "volatility_bps").iter_rows())
        return table_facts(
            frame, numbers={f"{name}_volatility_bps": value for name, value in volatility.items() if value is not None}
        )

    deps = [dg.AssetDep(ALIGNED_GRID.name, partition_mapping=same_day_where_it_exists())]
    return partitioned_asset(deployment, DAILY_AGGREGATES, aggregate, deps=deps, resources=frozenset({"sources"}))


def _market_regime(deployment: Deployment) -> dg.AssetsDefinition:
    parameters = deployment.configuration.long_term
    upstream = dg.AssetIn(
        key=DAILY_AGGREGATES.name,
        partition_mapping=trailing_days(parameters.window_days),
        input_manager_key="partition_tables",
    )

    def body(context: dg.AssetExecutionContext, daily_aggregates: pl.LazyFrame) -> Iterator[Any]:
        trailing = daily_aggregates.collect()

        def classify(work: Work) -> Facts:
            day = day_of(work.key)
            frame = classify_regime(trailing, day, parameters)
            work.writer.table("data", frame)
            work.writer.rows(frame.height)
            return Facts(texts={"regime": str(frame["regime"][0])}, schema=frame.schema)

        yield from commit_partitions(context, deployment, MARKET_REGIME, classify)

    arguments = asset_arguments(deployment, MARKET_REGIME)
    ins = {DAILY_AGGREGATES.name: upstream}
    asset: dg.AssetsDefinition = dg.asset(**arguments, ins=ins, required_resource_keys={STORE, TRACKING})(body)
    return asset
