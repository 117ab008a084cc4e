"""A dataset seen through one of its folds, or with other weights: the same streams, rows chosen and weighed anew.

Who trains on a view needs not know that it is one: its parts are `train` and `validation`, its blocks are the fold's
stretches of time. Class boundaries and scaling stay those of the dataset, fitted on its train blocks.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.datasets.folds import Fold, fold_rows
from trademl_assets.datasets.splits import Span, place_in_spans
from trademl_assets.datasets.uniqueness import mean_uniqueness
from trademl_assets.datasets.weights import TrainingLabels, WeightParameters, training_weights
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError


def view_of_fold(dataset: Dataset, number: int) -> Dataset:
    """The dataset with the rows of one fold alone, weighed as the dataset states it.

    Args:
        dataset: A dataset whose split has folds.
        number: Which fold, counted from 0 in time order.

    Returns:
        Its `train` part are the fold's training rows, its `validation` part those the fold is validated on; rows of
        calibration, test and degradation blocks, and those purged or embargoed, are left out. Positions count the
        view's own index; column `sample` still names the dataset's rows.

    Raises:
        ConfigError: There is no such fold.
    """
    stated = dataset.recipe.get("folds", [])
    if not 0 <= number < len(stated):
        raise ConfigError(
            f"dataset {dataset.experiment!r} has {len(stated)} folds, asked for number {number} -> choose a split with "
            "folds (expanding, rolling, time_series), or fewer windows"
        )
    train, validation = (tuple(Span(*ends) for ends in stated[number][part]) for part in ("train", "validation"))
    t0, t1 = (dataset.index[name].to_physical().to_numpy() for name in ("t0", "t1"))
    split = dataset.recipe["parameters"]["split"]
    trained, validated = fold_rows(Fold(train, validation), t0, t1, int(split["embargo_seconds"]))
    stretches = sorted([*((span, "train") for span in train), *((span, "validation") for span in validation)])
    block, _ = place_in_spans(t0, t1, [span for span, _ in stretches])
    index = dataset.index.with_columns(
        part=pl.Series(np.where(trained, "train", "validation"), dtype=pl.String),
        block=pl.Series(block, dtype=dataset.index.schema["block"]),
    ).filter(pl.Series(trained | validated))
    blocks = [{"part": part, "first_us": span.first_us, "last_us": span.last_us} for span, part in stretches]
    view = seen_with(dataset, index, {**dataset.recipe, "blocks": blocks})
    stated_weights = dataset.recipe["parameters"]["weights"]
    return weighed_anew(view, WeightParameters.model_validate_json(json.dumps(stated_weights)))


def weighed_anew(dataset: Dataset, weights: WeightParameters) -> Dataset:
    """The dataset with its training rows weighed by other parameters, those of each horizon together; the rest weigh 1.

    Raises:
        ConfigError: Labels without classes shall be balanced.
    """
    index = dataset.index
    weight, training = np.ones(index.height), (index["part"] == "train").to_numpy()
    for horizon in index["horizon_seconds"].unique(maintain_order=True):
        rows = np.flatnonzero(training & (index["horizon_seconds"] == horizon).to_numpy())
        chosen = index[rows]
        t0, t1 = (chosen[name].to_physical().to_numpy() for name in ("t0", "t1"))
        classes = None if chosen["label"].null_count() else chosen["label"].to_numpy()
        weight[rows] = training_weights(TrainingLabels(t0, classes, mean_uniqueness(t0, t1)), weights.parts)
    return seen_with(dataset, index.with_columns(weight=pl.Series(weight.astype(np.float32))), dataset.recipe)


def seen_with(dataset: Dataset, index: pl.DataFrame, recipe: Mapping[str, Any]) -> Dataset:
    """A copy with another index and recipe that shares the opened files."""
    _ = dataset.stored  # opened once, for all views
    view = copy.copy(dataset)
    vars(view).pop("boundaries_bps", None)  # of the recipe, kept when it was first asked for
    view.recipe = recipe
    view.index = index
    return view
