"""hyperparameter_study: trials of a search over a model's parameters, each a training of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import DATASET, HYPERPARAMETER_STUDY
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import experiment_of_the_model
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.orchestration.progress import LOGGER
from trademl_assets.orchestration.resources.compute import GPU_POOL
from trademl_assets.orchestration.specifications import training_template
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.pictures import draw_study
from trademl_assets.tuning.remains import hold_trials, remove_losers
from trademl_assets.tuning.study import StudyResult, run_study
from trademl_assets.tuning.tables import FIXED
from trademl_assets.tuning.workers import WorkerProcesses

_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def build_tuning_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration

    def search(work: Work) -> Facts:
        if (ablation := configuration.ablations.get(split_key(work.key)[1])) is not None:
            return _leave(work, ablation.of)
        parameters = configuration.tuning
        template = training_template(configuration, work.store, work.key)
        scratch = work.store.layout.scratch_folder(HYPERPARAMETER_STUDY.name, work.key)
        dataset = work.store.require(DATASET.name, split_key(work.key)[0]).content_hash
        cards = work.resource("training_processes").cards
        with hold_trials(work.store, work.key):
            result = run_study(
                parameters,
                template.searchable,
                scratch,
                f"{dataset}:{template.code_version}",
                WorkerProcesses(template, parameters, scratch, LOGGER.info, cards=cards),
                subject=work.key,
            )
        final = template.specify(result.best_parameters, mode="fit").output_folder
        work.afterwards(lambda: remove_losers(work.store, work.key, Path(final)))
        _write(work, result)
        _track(work, result, parameters)
        counts = dict(result.trials["state"].value_counts().iter_rows())
        numbers = {"trials": result.trials.height} | {f"trials_{state}": counts.get(state, 0) for state in _STATUS}
        if result.best_value is not None:
            numbers["best_loss"] = result.best_value
        pictures = draw_study(result.trials, result.curves, parameters)
        plot = pictures.pop("history", b"")
        return Facts(
            numbers=numbers, texts={"note": result.note}, plot=plot, more_plots=pictures, schema=result.trials.schema
        )

    deps = [dg.AssetDep(DATASET.name, partition_mapping=experiment_of_the_model())]
    resources = frozenset({"training_processes"})
    return [partitioned_asset(deployment, HYPERPARAMETER_STUDY, search, deps=deps, resources=resources, pool=GPU_POOL)]


def _leave(work: Work, model: str) -> Facts:
    """An ablation is trained with what was found for its model; so that a job over all models passes, it says so."""
    note = f"not searched: an ablation is trained with the values of {model}"
    work.writer.json("best", {})
    work.writer.rows(0)
    work.writer.note("note", note)
    return Facts(texts={"note": note})


def _write(work: Work, result: StudyResult) -> None:
    work.writer.table("trials", result.trials)
    work.writer.table("daily_losses", result.daily_losses)
    work.writer.table("curves", result.curves)
    work.writer.json("best", result.best_parameters)
    work.writer.rows(result.trials.height)
    work.writer.note("note", result.note)
    work.writer.note("best_value", result.best_value)
    work.writer.note("best_trial", result.best_trial)


def _track(work: Work, result: StudyResult, parameters: StudyParameters) -> None:
    judged = [name for name in parameters.objectives if name != "log_loss"]
    for row in result.trials.iter_rows(named=True):
        work.run.nested(
            f"trial_{row['index']}",
            tags={
                "stage": HYPERPARAMETER_STUDY.stage,
                "trial_number": str(row["index"]),
                "trial_state": row["state"],
                **({"failure": row["failure"]} if row["failure"] else {}),
            },
            parameters=_searched(row, judged),
            numbers={
                ("validation_log_loss" if name == "loss" else name): row[name]
                for name in ("loss", *judged)
                if row[name] is not None
            },
            status=_STATUS[row["state"]],
        )
    if result.best_trial is not None:
        work.run.set_tags({"best_trial_number": str(result.best_trial)})


def _searched(row: Mapping[str, Any], judged: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {*FIXED, *judged} and value is not None}
