"""What a model reads, and what an ablation takes over from the model that it follows: that model's study."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.configuration.model import Configuration
from trademl_assets.datasets.label_kinds import return_edges_bps
from trademl_assets.evaluation.best_possible import CEILING
from trademl_assets.evaluation.judge import decisions
from trademl_assets.orchestration.catalog import HYPERPARAMETER_STUDY
from trademl_assets.orchestration.partitions import join_key, split_key
from trademl_assets.sources.contract import OptimumSource
from trademl_assets.storage.commit import ArtifactStore


def study_key(configuration: Configuration, key: str) -> str:
    """Return the study whose choice a model is trained with: its own, or that of the model that an ablation follows.

    Args:
        configuration: The configuration.
        key: Experiment and model.
    """
    experiment, model = split_key(key)
    ablation = configuration.ablations.get(model)
    return key if ablation is None else join_key(experiment, ablation.of)


def choice_of_study(configuration: Configuration, store: ArtifactStore, key: str) -> dict[str, Any]:
    """Return the searched values that a model is trained with, by path; none where nothing is searched.

    Raises:
        MissingPartitionError: The study was never made.
    """
    if not configuration.tuning.enabled:
        return {}
    best: dict[str, Any] = store.read_json(HYPERPARAMETER_STUDY.name, study_key(configuration, key), "best")
    ablation = configuration.ablations.get(split_key(key)[1])
    return best if ablation is None else ablation.follows(best)


def best_forecasts(
    configuration: Configuration,
    source: OptimumSource | None,
    key: str,
    predictions: pl.DataFrame,
    recipe: Mapping[str, Any],
) -> dict[str, NDArray[np.float64]] | None:
    """Return the best possible forecasts at the test decisions of a model, its own ceiling among them where known.

    Args:
        configuration: The configuration.
        source: Knows the forecasts; None on a real market, where there are none.
        key: Experiment and model.
        predictions: Table of `calibrate_predictions`.
        recipe: Of the dataset.
    """
    if source is None:
        return None
    experiment, model = split_key(key)
    dataset, parameters = configuration.datasets[experiment], configuration.all_models[model].parameters
    reading = getattr(parameters, "reading", None)
    return source.optimal_probabilities(
        dataset.target,
        decisions(predictions)["t0"].to_physical().to_numpy(),
        dataset.labels.horizon_seconds,
        return_edges_bps(recipe),
        {} if reading is None else {CEILING: reading(dataset.instruments)},
    )
