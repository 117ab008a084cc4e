"""trained_model: the members of an ensemble, each trained in a process outside Dagster."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dagster as dg

from trademl_assets.evaluation.plots import draw_learning_curves
from trademl_assets.orchestration.ablations import choice_of_study
from trademl_assets.orchestration.batch import STORE, Work, partitioned_asset
from trademl_assets.orchestration.catalog import DATASET, HYPERPARAMETER_STUDY, TRAINED_MODEL
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import experiment_of_the_model
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.progress import LOGGER
from trademl_assets.orchestration.report_material import learning_curves
from trademl_assets.orchestration.resources.compute import GPU_POOL, PROCESSES
from trademl_assets.orchestration.specifications import specify
from trademl_assets.training.launch import launch_training
from trademl_assets.training.results import HISTORY_FILE, collect_training, followed, member_name, read_json
from trademl_assets.tuning.remains import remove_trained


def build_training_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration

    def train(work: Work) -> Facts:
        spec = specify(configuration, work.store, work.key, choice_of_study(configuration, work.store, work.key))
        processes = work.resource(PROCESSES)
        with followed(Path(spec.output_folder), lambda facts: _track(work, facts), spec.training.progress_seconds):
            result = launch_training(
                spec, runner=processes.runner(work.context), on_progress=LOGGER.info, cards=processes.cards
            )
        summary = collect_training(work.writer, result.folder)
        work.afterwards(lambda: remove_trained(work.store, work.key, result.folder))
        work.run.log_parameters({"model": spec.model, "training": spec.training.model_dump(mode="json")})
        _log_model(work, result.folder, [member["seed"] for member in summary["members"]])
        history = read_json(result.folder / HISTORY_FILE)
        work.run.log_series(_by_epoch(history))
        numbers = {
            "validation_log_loss": result.validation_log_loss,
            "trainable_parameters": summary["trainable_parameters"],
            **{f"member_{member['seed']}_best_epoch": member["best_epoch"] for member in summary["members"]},
        }
        return Facts(numbers=numbers, plot=draw_learning_curves(learning_curves(history, summary)))

    def begin(context: dg.AssetExecutionContext) -> AbstractContextManager[None]:
        root = getattr(context.resources, STORE).layout.root
        begun: AbstractContextManager[None] = getattr(context.resources, PROCESSES).begun(
            context, configuration.training, root
        )
        return begun

    deps = [
        dg.AssetDep(DATASET.name, partition_mapping=experiment_of_the_model()),
        dg.AssetDep(HYPERPARAMETER_STUDY.name),
    ]
    resources = frozenset({PROCESSES})
    return [
        partitioned_asset(deployment, TRAINED_MODEL, train, deps=deps, resources=resources, pool=GPU_POOL, beside=begin)
    ]


def _log_model(work: Work, folder: Path, seeds: Sequence[int]) -> None:
    """Log the weights of every member with the sidecar that says how to build it, for who loads it elsewhere."""
    for seed in seeds:
        for suffix in (".safetensors", ".json"):
            work.run.log_file(folder / f"{member_name(seed)}{suffix}", f"model/{work.key}")


def _track(work: Work, facts: Mapping[str, Any]) -> None:
    """Log what a training says of its progress, by member and step of optimisation."""
    places = ("member", "epoch", "step")
    numbers = {f"member_{facts['member']}_{name}": value for name, value in facts.items() if name not in places}
    work.run.log_step(facts["step"], numbers)


def _by_epoch(history: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the metrics of every epoch, those of all members together."""
    epochs: list[dict[str, float]] = [{} for _ in range(max(len(rows) for rows in history.values()))]
    for seed, rows in history.items():
        for together, row in zip(epochs, rows, strict=False):
            together |= {f"epoch/seed_{seed}_{name}": value for name, value in row.items() if name != "epoch"}
    return epochs
