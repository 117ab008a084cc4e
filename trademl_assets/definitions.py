"""The platform as Dagster sees it: everything of one configuration, and the deployment that TRADEML_CONFIG names."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from trademl_assets.foundation.uncollected import uncollected

with uncollected():  # for Dagster's processes, which import this module to start
    from trademl_assets.configuration.model import Configuration
    from trademl_assets.configuration.reading import configuration_from_environment, current_environment
    from trademl_assets.orchestration.assets.ablations import build_ablation_assets
    from trademl_assets.orchestration.assets.candles import build_candle_assets
    from trademl_assets.orchestration.assets.coverage import build_coverage_assets
    from trademl_assets.orchestration.assets.datasets import build_dataset_assets
    from trademl_assets.orchestration.assets.evaluation import build_evaluation_assets
    from trademl_assets.orchestration.assets.grid import build_grid_assets
    from trademl_assets.orchestration.assets.leakage_controls import build_leakage_control_assets
    from trademl_assets.orchestration.assets.long_term import build_long_term_assets
    from trademl_assets.orchestration.assets.order_book import build_order_book_assets
    from trademl_assets.orchestration.assets.sources import build_source_assets
    from trademl_assets.orchestration.assets.training import build_training_assets
    from trademl_assets.orchestration.assets.tuning import build_tuning_assets
    from trademl_assets.orchestration.catalog import MODEL_EVALUATION
    from trademl_assets.orchestration.checks import build_checks
    from trademl_assets.orchestration.console import PROGRESS_LOGGER, progress_logger
    from trademl_assets.orchestration.deployment import Deployment
    from trademl_assets.orchestration.jobs import build_jobs
    from trademl_assets.orchestration.period_job import build_period_job
    from trademl_assets.orchestration.resources.compute import TrainingProcesses
    from trademl_assets.orchestration.resources.partitions_io import PartitionTables
    from trademl_assets.orchestration.resources.sources import MarketSources
    from trademl_assets.orchestration.resources.tracking import StageTracking
    from trademl_assets.orchestration.schedules import build_schedules
    from trademl_assets.orchestration.sensors import build_sensors
    from trademl_assets.storage.commit import ArtifactStore
    from trademl_assets.training.leases import VISIBLE_VARIABLE, find_cards


def build_definitions(configuration: Configuration, overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Make all definitions of a deployment.

    Args:
        configuration: The validated configuration.
        overrides: Resources that take the place of those made here, by key: `store`, `sources`, `mlflow`,
            `partition_tables`.
    """
    with warnings.catch_warnings():
        for kind in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter(
                "ignore", kind
            )  # mappings and backfill policies are beta; the graph's tests tell if they change
        return _build(configuration, overrides or {})


def _build(configuration: Configuration, overrides: Mapping[str, Any]) -> dg.Definitions:
    deployment = Deployment.of(configuration)
    stages = [build_source_assets, build_candle_assets]
    if configuration.market.delivers_books:
        stages += [build_order_book_assets, build_coverage_assets, build_grid_assets, build_long_term_assets]
    if configuration.datasets:
        stages += [build_dataset_assets, build_leakage_control_assets]
    if configuration.datasets and configuration.models:
        stages += [build_tuning_assets, build_training_assets, build_evaluation_assets]
    if configuration.datasets and configuration.ablations:
        stages.append(build_ablation_assets)
    assets = [asset for build in stages for asset in build(deployment)]
    names = frozenset(asset.key.to_user_string() for asset in assets)
    jobs = build_jobs(names)
    others = [build_period_job(deployment)] if MODEL_EVALUATION.name in names else []
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    resources: dict[str, Any] = {
        "store": store,
        "sources": MarketSources(configuration.market),
        "mlflow": StageTracking(configuration.tracking),
        "partition_tables": PartitionTables(store),
        "training_processes": TrainingProcesses(
            dg.PipesSubprocessClient(),
            find_cards(Path(configuration.platform.gpu_leases), current_environment().get(VISIBLE_VARIABLE)),
        ),
    }
    return dg.Definitions(
        assets=assets,
        asset_checks=build_checks(deployment, names),
        jobs=[*jobs, *others],
        schedules=build_schedules(jobs),
        sensors=build_sensors(jobs),
        resources={**resources, **overrides},
        loggers={"console": dg.colored_console_logger, PROGRESS_LOGGER: progress_logger},
        executor=dg.in_process_executor,  # every job is a chain of steps: a process a step would only cost its start
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Definitions of the deployment that TRADEML_CONFIG names, made when Dagster asks for them."""
    return build_definitions(configuration_from_environment())
