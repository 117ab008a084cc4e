"""From a configured model and searched values to the specification of one training, and where it does its work.

Trials and the final training that say the same thing share a scratch folder, so the final training takes over the
member that the best trial has trained already; both would train it to the same bits.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from trademl_assets.configuration.model import Configuration
from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.orchestration.catalog import TRAINED_MODEL
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.parameters import TrainingParameters, TrainingSpec
from trademl_assets.tuning.space import apply_overrides

_FOLDER_DIGITS = 16


def searchable(configuration: Configuration, model: str) -> dict[str, Any]:
    """Return the nested parameters that a search space points into: `model` and `training`."""
    family = configuration.models[model].parameters
    return {"model": family.model_dump(mode="json"), "training": configuration.training.model_dump(mode="json")}


def specify(
    configuration: Configuration,
    store: ArtifactStore,
    key: str,
    overrides: Mapping[str, Any],
    *,
    mode: Literal["fit", "search"],
) -> TrainingSpec:
    """Make the specification of one training.

    Args:
        configuration: The configuration.
        store: Where the dataset lies and the scratch folder is made.
        key: Experiment and model.
        overrides: Searched values by dotted path.
        mode: `fit` trains every seed and predicts all held-out parts; `search` the first seed, validation only.

    Raises:
        ConfigError: A path names nothing.
        ValidationError: A searched value is not a valid parameter.
    """
    experiment, model = split_key(key)
    chosen = configuration.models[model]
    parameters = apply_overrides(searchable(configuration, model), overrides)
    training = TrainingParameters.model_validate_json(_json(parameters["training"]))
    dataset = store.require("dataset", experiment).content_hash
    name = combine_fingerprints(_json(parameters), chosen.family, dataset, TRAINED_MODEL.code_version)
    folder = store.layout.scratch_folder("training", f"{key}|{name[:_FOLDER_DIGITS]}")
    return TrainingSpec(
        store_root=str(store.layout.root),
        experiment=experiment,
        model_name=model,
        family=chosen.family,
        model=parameters["model"],
        training=training,
        seeds=training.seeds if mode == "fit" else training.seeds[:1],
        output_folder=str(folder),
        mode=mode,
        fold=None,
        weights=None,
        code_version=TRAINED_MODEL.code_version,
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
