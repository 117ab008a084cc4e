"""What the report shows beside the judgement, gathered from the partitions that a model stands on."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from trademl_assets.evaluation.plots import LearningCurve
from trademl_assets.evaluation.report import LineageRow, ReportMaterial
from trademl_assets.evaluation.search_honesty import SearchHonesty, judge_search, no_search
from trademl_assets.foundation.parameters import Parameters, combine_fingerprints
from trademl_assets.orchestration.ablations import study_key
from trademl_assets.orchestration.catalog import DATASET, ENTRIES, HYPERPARAMETER_STUDY, TRAINED_MODEL
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.lineage import Artifact
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.storage.commit import ArtifactStore, Manifest
from trademl_assets.tuning.pictures import draw_study

_SECTIONS = ("market", "order_book", "grid", "long_term", "candles", "training", "tuning", "evaluation")


def gather_material(deployment: Deployment, store: ArtifactStore, key: str) -> ReportMaterial:
    """Gather what the report of a model shows.

    Args:
        deployment: The deployment.
        store: Where the partitions lie.
        key: Experiment and model.

    Raises:
        MissingPartitionError: Something that the model stands on is gone.
    """
    experiment, model = split_key(key)
    recipe = store.read_json(DATASET.name, experiment, "recipe")
    trials, pictures, note, search = _study(deployment, store, key)
    history, summary = (store.read_json(TRAINED_MODEL.name, key, name) for name in ("history", "summary"))
    return ReportMaterial(
        experiment=experiment,
        model=model,
        target=recipe["target"],
        horizon=_readable(recipe["labels"]["horizons_seconds"][0]),
        class_distribution=recipe["class_distribution"],
        learning_curves=learning_curves(history, summary),
        trials=trials,
        study_pictures=pictures,
        study_note=note,
        search=search,
        lineage=_lineage(deployment, store, Artifact(TRAINED_MODEL.name, key)),
        configuration=_configuration(deployment, key),
    )


def learning_curves(history: Mapping[str, Any], summary: Mapping[str, Any]) -> list[LearningCurve]:
    """Make the curves of every member from a training's history and summary."""
    return [
        LearningCurve(
            name=f"seed {member['seed']}",
            training=tuple(epoch["training_loss"] for epoch in history[str(member["seed"])]),
            validation=tuple(epoch["validation_log_loss"] for epoch in history[str(member["seed"])]),
            best_epoch=member["best_epoch"],
        )
        for member in summary["members"]
    ]


def _study(
    deployment: Deployment, store: ArtifactStore, key: str
) -> tuple[pl.DataFrame, dict[str, bytes], str, SearchHonesty]:
    """Trials, pictures, what the study did, and whether its choice was luck."""
    if not deployment.configuration.tuning.enabled:
        return pl.DataFrame(), {}, "no search: configured values", no_search()
    if (studied := study_key(deployment.configuration, key)) != key:
        return pl.DataFrame(), {}, f"no search: the values found for {split_key(studied)[1]}", no_search()
    manifest = store.require(HYPERPARAMETER_STUDY.name, key)
    names = ("trials", "curves", "daily_losses")
    trials, curves, daily = (store.read_table(HYPERPARAMETER_STUDY.name, key, name) for name in names)
    judged = deployment.configuration.evaluation
    search = judge_search(
        daily,
        trials,
        manifest.notes["best_trial"],
        judged.comparison,
        replicates=judged.bootstrap_replicates,
        seed=judged.seed,
    )
    drawn = draw_study(trials, curves, deployment.configuration.tuning)
    return trials, drawn, str(manifest.notes["note"]), search


def _lineage(deployment: Deployment, store: ArtifactStore, artifact: Artifact) -> list[LineageRow]:
    """One row an asset, from the model down to its sources; many partitions are shown as a span and one hash."""
    found: dict[str, dict[str, Manifest]] = {}
    waiting = [artifact]
    while waiting:
        each = waiting.pop()
        if each.key not in found.get(each.asset, {}):
            found.setdefault(each.asset, {})[each.key] = store.require(each.asset, each.key)
            waiting.extend(deployment.lineage.upstream(each.asset, each.key))
    return [_row(asset, found[asset]) for asset in reversed(tuple(ENTRIES)) if asset in found]


def _row(asset: str, manifests: Mapping[str, Manifest]) -> LineageRow:
    keys = sorted(manifests)
    return LineageRow(
        asset=asset,
        partition=keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]} ({len(keys)})",
        content_hash=_joined(manifests[key].content_hash for key in keys),
        code_version=", ".join(sorted({manifest.code_version for manifest in manifests.values()})),
    )


def _joined(hashes: Iterable[str]) -> str:
    every: Sequence[str] = tuple(hashes)
    return every[0] if len(every) == 1 else combine_fingerprints(*every)


def configured_sections(deployment: Deployment, key: str) -> dict[str, Parameters]:
    """Return the sections of the configuration that a model follows from, those of dataset and model by these names."""
    configuration, (experiment, model) = deployment.configuration, split_key(key)
    sections: dict[str, Parameters] = {name: getattr(configuration, name) for name in _SECTIONS}
    return sections | {"dataset": configuration.datasets[experiment], "model": configuration.all_models[model]}


def _configuration(deployment: Deployment, key: str) -> str:
    """The sections that the model follows from, as JSON; secrets and paths stay references."""
    experiment, model = split_key(key)
    names = {"dataset": f"datasets.{experiment}", "model": f"models.{model}"}
    sections = {names.get(name, name): section for name, section in configured_sections(deployment, key).items()}
    return "\n".join(f"{name}: {section.model_dump_json(indent=1)}" for name, section in sorted(sections.items()))


def _readable(seconds: int) -> str:
    minute = int(timedelta(minutes=1).total_seconds())
    return f"{seconds // minute} min" if seconds % minute == 0 else f"{seconds} s"
