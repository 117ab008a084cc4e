"""hyperparameter_study: trials of a search over a model's parameters, each a training of its own."""

from typing import Any

import dagster as dg
import polars as pl

from trademl_assets.foundation.errors import TrainingError
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import DATASET, HYPERPARAMETER_STUDY, TRAINED_MODEL
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import experiment_of_the_model
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.orchestration.progress import LOGGER
from trademl_assets.orchestration.resources.compute import GPU_POOL
from trademl_assets.orchestration.specifications import searchable, specify
from trademl_assets.training.launch import launch_training
from trademl_assets.training.results import FAILURE_FILE
from trademl_assets.tuning.history import draw_history
from trademl_assets.tuning.study import StudyResult, run_study


def build_tuning_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration

    def train_trial(work: Work, overrides: dict[str, Any]) -> float:
        spec = specify(configuration, work.store, work.key, overrides, mode="search")
        runner = work.resource("training_processes").runner(work.context)
        try:
            return launch_training(spec, runner=runner).validation_log_loss
        except TrainingError:
            if (work.store.layout.root / spec.output_folder / FAILURE_FILE).is_file():
                return float("nan")  # the training itself says that it diverged; a killed process says nothing
            raise

    def search(work: Work) -> Facts:
        experiment, model = split_key(work.key)
        dataset = work.store.require(DATASET.name, experiment).content_hash
        result = run_study(
            configuration.tuning,
            searchable(configuration, model),
            work.store.layout.scratch_folder(HYPERPARAMETER_STUDY.name, work.key),
            f"{dataset}:{TRAINED_MODEL.code_version}",
            lambda overrides: train_trial(work, overrides),
            on_trial=lambda index, _, loss: LOGGER.info(
                "trial %d of %d: validation log-loss %.4f", index + 1, configuration.tuning.n_trials, loss
            ),
        )
        _write(work, result)
        _track(work, result)
        numbers = {"trials": result.trials.height} | ({"best_loss": result.best_value} if result.best_value else {})
        plot = draw_history(result.trials) if result.trials.height else b""
        return Facts(numbers=numbers, texts={"note": result.note}, plot=plot, schema=result.trials.schema)

    deps = [dg.AssetDep(DATASET.name, partition_mapping=experiment_of_the_model())]
    resources = frozenset({"training_processes"})
    return [partitioned_asset(deployment, HYPERPARAMETER_STUDY, search, deps=deps, resources=resources, pool=GPU_POOL)]


def _write(work: Work, result: StudyResult) -> None:
    work.writer.table("trials", result.trials)
    work.writer.json("best", result.best_parameters)
    work.writer.rows(result.trials.height)
    work.writer.note("note", result.note)
    work.writer.note("best_value", result.best_value)


def _track(work: Work, result: StudyResult) -> None:
    fixed = {"index", "loss", "best_so_far", "configured"}
    for row in result.trials.iter_rows(named=True):
        work.run.nested(
            f"trial_{row['index']}",
            tags={"stage": HYPERPARAMETER_STUDY.stage, "trial_number": str(row["index"])},
            parameters={name: value for name, value in row.items() if name not in fixed},
            numbers={} if row["loss"] is None else {"validation_log_loss": row["loss"]},
            status="FAILED" if row["loss"] is None else "FINISHED",
        )
    best = result.trials.filter(pl.col("loss") == pl.col("loss").min())
    if not best.is_empty():
        work.run.set_tags({"best_trial_number": str(best["index"][0])})
