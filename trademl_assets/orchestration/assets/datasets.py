"""dataset: the sample index of an experiment over the streams where they lie."""

import json

import dagster as dg

from trademl_assets.datasets.build import build_dataset, write_dataset
from trademl_assets.datasets.overview import (
    tabulate_classes,
    tabulate_left_out,
    tabulate_parts,
    tabulate_streams,
)
from trademl_assets.datasets.plots import draw_classes, draw_timeline
from trademl_assets.datasets.series import GridFrame
from trademl_assets.datasets.split_plots import draw_split
from trademl_assets.datasets.summary import pack_sample, summary_numbers, typical_sample
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import (
    ALIGNED_GRID,
    CANDLES,
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
    names, candles = tuple(configuration.market.instruments_by_name()), configuration.candles
    frames = {
        "grid": GridFrame.of(configuration.grid, names),
        "candles": GridFrame(candles.cadence_seconds, candles.max_gap_seconds, names),
    }

    def build(work: Work) -> Facts:
        parameters = configuration.datasets[work.key]
        parts = build_dataset(work.store, parameters, frames[parameters.series_from])
        write_dataset(work.writer, parts)
        work.run.log_parameters(parameters.model_dump(mode="json"))
        work.run.log_text(json.dumps(parts.recipe, indent=1), f"dataset_metadata/{work.key}.json")
        folder = work.store.layout.partition_folder
        work.run.log_inputs(
            {place: (content, folder(*place.split("/", 1))) for place, content in parts.upstream.items()}
        )
        work.afterwards(lambda: _log_sample(work))
        told = {name: "; ".join(parts.recipe[name]) for name in ("warnings", "split_notes")}
        texts = {name: text for name, text in told.items() if text}
        return Facts(
            numbers=summary_numbers(parts.recipe),
            texts=texts,
            plot=draw_classes(parts.recipe),
            more_plots={"split": draw_split(parts.recipe), "timeline": draw_timeline(parts.index, parts.recipe)},
            tables={
                "parts": tabulate_parts(parts.recipe),
                "left_out": tabulate_left_out(parts.recipe),
                "classes": tabulate_classes(parts.recipe),
                "streams": tabulate_streams(parts.recipe),
            },
            schema=parts.index.schema,
        )

    market = configuration.market
    upstream = [ALIGNED_GRID, DAILY_AGGREGATES, MARKET_REGIME] if market.delivers_books else []
    if market.candle_source is not None:
        upstream.append(CANDLES)
    if market.series:
        upstream.append(EXTERNAL_SERIES)
    deps = [dg.AssetDep(entry.name, partition_mapping=any_partition()) for entry in upstream]
    return [partitioned_asset(deployment, DATASET, build, deps=deps)]


def _log_sample(work: Work) -> None:
    """Log one sample of the committed dataset: what a model is shown, where windows are otherwise never written."""
    sample = typical_sample(open_dataset(work.store, work.key))
    work.run.log_bytes(pack_sample(sample), "sample.npz", f"feature_tensors/{work.key}")
