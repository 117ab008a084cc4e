"""The leakage audit of a dataset: time, labels, fits, streams and raw stages, each rule a finding."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.ingredients import read_ingredients
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.leakage_candles import audit_candles
from trademl_assets.datasets.leakage_findings import Finding, LeakageReport
from trademl_assets.datasets.leakage_fits import audit_fits
from trademl_assets.datasets.leakage_labels import audit_labels
from trademl_assets.datasets.leakage_raw import RawStages, audit_raw
from trademl_assets.datasets.leakage_spans import audit_spans
from trademl_assets.datasets.leakage_streams import (
    SHIPPED,
    Audited,
    audit_lags,
    audit_long_term,
    audit_publications,
    audit_streams,
)
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.series import GridFrame
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore

__all__ = ["SHIPPED", "Audited", "Finding", "LeakageReport", "RawStages", "audit", "audit_parts", "stated_parameters"]


def audit(store: ArtifactStore, experiment: str, stages: RawStages | None = None) -> LeakageReport:
    """Audit a materialised dataset against the partitions it was built from.

    Args:
        store: where they lie.
        experiment: the dataset.
        stages: how raw rows become a grid; without it the raw stages are not audited, and the report says so.

    Raises:
        MissingPartitionError, CorruptArtifactError: the dataset or its upstream cannot be read.
    """
    manifest = store.require(DATASET_ASSET, experiment)
    parts = DatasetParts(
        index=store.read_table(DATASET_ASSET, experiment, "index"),
        arrays=store.open_arrays(DATASET_ASSET, experiment, "streams"),
        recipe=store.read_json(DATASET_ASSET, experiment, "recipe"),
        upstream=dict(manifest.upstream),
    )
    return audit_parts(store, parts, SHIPPED, stages)


def audit_parts(
    store: ArtifactStore, parts: DatasetParts, audited: Audited, stages: RawStages | None = None
) -> LeakageReport:
    """Audit a dataset's parts.

    The inputs are read again from the store as the recipe's parameters say, so that what the parts hold is compared
    with what training rows alone give; the stream and fit functions are run on inputs whose future is noise.
    """
    recipe = parts.recipe
    parameters = stated_parameters(recipe)
    grid = recipe["grid"]
    frame = GridFrame(recipe["cadence_seconds"], grid["max_gap_seconds"], tuple(grid["instruments"]))
    ingredients = read_ingredients(store, parameters, frame)
    folds = recipe.get("folds", [])
    return LeakageReport(
        (
            *audit_spans(parts.index, ingredients.blocks, parameters.split.embargo_seconds, folds),
            *audit_labels(parts, ingredients),
            *audit_fits(store, parts, ingredients, audited.fits),
            *audit_streams(parts, ingredients, audited),
            *audit_publications(ingredients),
            *audit_lags(ingredients, audited),
            *audit_long_term(parts, ingredients),
            *audit_raw(store, parameters, stages, audited.snapshots),
            *audit_candles(store, ingredients),
        )
    )


def stated_parameters(recipe: Mapping[str, Any]) -> DatasetParameters:
    """The parameters that a recipe states.

    Raises:
        ConfigError: The present code refuses them, for example lags of a stream kind that has changed.
    """
    try:
        return DatasetParameters.model_validate_json(json.dumps(recipe["parameters"]))
    except ValidationError as error:
        raise ConfigError(f"the dataset's parameters are refused now: {error} -> materialise it again") from error
