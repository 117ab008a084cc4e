"""dataset: the sample index of an experiment over the streams where they lie."""

import dagster as dg

from trademl_assets.datasets.build import build_dataset, write_dataset
from trademl_assets.datasets.plots import draw_classes
from trademl_assets.datasets.series import GridFrame
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import (
    ALIGNED_GRID,
    DAILY_AGGREGATES,
    DATASET,
    EXTERNAL_SERIES,
    MARKET_REGIME,
)
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import any_partition
from trademl_assets.orchestration.metadata import Facts


def build_dataset_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration
    grid = configuration.grid
    frame = GridFrame(
        grid.cadence_seconds, grid.max_gap_seconds, tuple(each.name for each in configuration.market.instruments)
    )

    def build(work: Work) -> Facts:
        parameters = configuration.datasets[work.key]
        parts = build_dataset(work.store, parameters, frame)
        write_dataset(work.writer, parts)
        work.run.log_parameters(parameters.model_dump(mode="json"))
        numbers = {f"{part}_n_eff": value for part, value in parts.recipe["effective_samples"].items()}
        texts = {"warnings": "; ".join(parts.recipe["warnings"])} if parts.recipe["warnings"] else {}
        return Facts(numbers=numbers, texts=texts, plot=draw_classes(parts.recipe), schema=parts.index.schema)

    upstream = [ALIGNED_GRID, DAILY_AGGREGATES, MARKET_REGIME]
    if configuration.market.series:
        upstream.append(EXTERNAL_SERIES)
    deps = [dg.AssetDep(entry.name, partition_mapping=any_partition()) for entry in upstream]
    return [partitioned_asset(deployment, DATASET, build, deps=deps)]
