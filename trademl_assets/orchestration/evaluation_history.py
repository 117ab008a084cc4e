"""What changed between evaluations of models: every one is kept, and the latest is compared with the one before."""

from collections.abc import Sequence
from typing import Any

from trademl_assets.datasets.sample_index import of_horizon
from trademl_assets.evaluation.changes import Changes, compare_versions
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.versions import (
    EvaluationVersion,
    find_versions,
    flatten,
    judged_decisions,
    keep_version,
    upstream_chain,
    version_numbers,
)
from trademl_assets.orchestration.ablations import choice_of_study
from trademl_assets.orchestration.catalog import CALIBRATED_MODEL, DATASET, MODEL_EVALUATION
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.partitions import join_key, split_key
from trademl_assets.orchestration.report_material import configured_sections
from trademl_assets.storage.commit import ArtifactStore


def keep_evaluation(deployment: Deployment, store: ArtifactStore, key: str) -> int:
    """Keep the evaluation of a model as its latest version; one that is kept already stays as it is.

    Args:
        deployment: The deployment.
        store: Where evaluation and versions lie.
        key: Experiment and model.

    Returns:
        Number of the version.

    Raises:
        MissingPartitionError: The model was not evaluated.
    """
    experiment = split_key(key)[0]
    evaluation = store.require(MODEL_EVALUATION.name, key)
    recipe = store.read_json(DATASET.name, experiment, "recipe")
    horizon = int(recipe["labels"]["horizons_seconds"][0])
    edges = recipe["boundaries_bps"]
    version = EvaluationVersion(
        key=key,
        number=None,
        judgement=Judgement.from_dict(store.read_json(MODEL_EVALUATION.name, key, "judgement")),
        decisions=judged_decisions(
            store.read_table(CALIBRATED_MODEL.name, key, "predictions"),
            of_horizon(store.read_table(DATASET.name, experiment, "index"), horizon),
        ),
        boundaries_bps=None if edges is None else tuple(edges),
        horizon_seconds=horizon,
        configuration=_configuration(deployment, store, key),
        chain=upstream_chain(store, evaluation),
    )
    return keep_version(store, evaluation, version, deployment.configuration.evaluation.comparison.kept_versions)


def compare_evaluations(deployment: Deployment, store: ArtifactStore, first: str, second: str | None) -> Changes:
    """Say what changed between two evaluations.

    Args:
        deployment: The deployment.
        store: Where versions lie.
        first: `experiment/model`, or `experiment/model@number`.
        second: The later one; None compares the first with the one before it.

    Raises:
        ConfigError: A text names no model.
        MissingPartitionError: There is no such version.
    """
    return compare_versions(*find_versions(store, first, second), deployment.configuration.evaluation.resampling)


def latest_changes(
    deployment: Deployment, store: ArtifactStore, experiment: str, models: Sequence[str]
) -> dict[str, Changes]:
    """Return what changed between the last two evaluations, for the models that were evaluated more than once."""
    names = {model: join_key(experiment, model) for model in models}
    return {
        model: compare_evaluations(deployment, store, f"{experiment}/{model}", None)
        for model, key in names.items()
        if len(version_numbers(store, key)) > 1
    }


def _configuration(deployment: Deployment, store: ArtifactStore, key: str) -> dict[str, Any]:
    """Everything configured that a model follows from, and what its search chose in place of it."""
    sections = configured_sections(deployment, key)
    configured = flatten({name: section.model_dump(mode="json") for name, section in sections.items()})
    chosen = choice_of_study(deployment.configuration, store, key)
    return configured | {f"chosen_by_the_search.{path}": value for path, value in chosen.items()}
