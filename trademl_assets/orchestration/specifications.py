"""From a configured model to what its trainings, those of a search and the final one, have in common."""

from collections.abc import Mapping
from typing import Any

from trademl_assets.configuration.model import Configuration
from trademl_assets.orchestration.catalog import TRAINED_MODEL
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.orchestration.plugin_versions import PluginVersions
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.parameters import TrainingSpec
from trademl_assets.tuning.template import TrainingTemplate


def training_template(configuration: Configuration, store: ArtifactStore, key: str) -> TrainingTemplate:
    """Return what the trainings of a model on an experiment's dataset have in common.

    Args:
        configuration: The configuration.
        store: Where the dataset lies.
        key: Experiment and model.
    """
    experiment, model = split_key(key)
    chosen = configuration.all_models[model]
    return TrainingTemplate(
        store_root=str(store.layout.root),
        experiment=experiment,
        model_name=model,
        family=chosen.family,
        searchable={
            "model": chosen.parameters.model_dump(mode="json"),
            "training": configuration.training.model_dump(mode="json"),
            "weights": configuration.datasets[experiment].weights.model_dump(mode="json"),
        },
        code_version=PluginVersions(configuration).code_version(TRAINED_MODEL.name, key),
    )


def specify(configuration: Configuration, store: ArtifactStore, key: str, overrides: Mapping[str, Any]) -> TrainingSpec:
    """Make the specification of the final training, with every seed and all held-out parts predicted.

    Raises:
        ConfigError: A path names nothing.
        ValidationError: A searched value is not a valid parameter.
    """
    return training_template(configuration, store, key).specify(overrides, mode="fit")
