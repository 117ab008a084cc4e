"""calibrated_model, model_evaluation, leaderboard: honest probabilities, their worth, which model is best."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from trademl_assets.datasets.sample_index import of_horizon
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.evaluation.ablations import DIVERGENCES, tabulate_divergences
from trademl_assets.evaluation.boosted_reference import boosted_baseline
from trademl_assets.evaluation.changes import Changes
from trademl_assets.evaluation.changes_text import change_rows
from trademl_assets.evaluation.comparison import compare_models, decision_losses
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.leaderboard import SHOWN, describe_ranking, rank_models
from trademl_assets.evaluation.leaderboard_page import render_leaderboard
from trademl_assets.evaluation.plots import draw_ranking, draw_reliability, draw_skills
from trademl_assets.evaluation.regimes import regime_rows
from trademl_assets.evaluation.report import render_report
from trademl_assets.evaluation.search_honesty import SearchHonesty
from trademl_assets.orchestration.ablations import best_forecasts
from trademl_assets.orchestration.ageing_and_money import measure_worth
from trademl_assets.orchestration.assets.ablations import read_ablations
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import (
    ABLATION_STUDY,
    CALIBRATED_MODEL,
    DATASET,
    LEADERBOARD,
    MODEL_EVALUATION,
    TRAINED_MODEL,
)
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.evaluation_history import keep_evaluation, latest_changes
from trademl_assets.orchestration.mappings import experiment_of_the_model
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.model_checks import FIT_TO_SERVE, VERDICT
from trademl_assets.orchestration.partitions import join_key, split_key
from trademl_assets.orchestration.report_material import gather_material
from trademl_assets.scoring.calibration import Calibration
from trademl_assets.scoring.predictions import calibrate_predictions, independent_labels
from trademl_assets.training.results import sidecar_name


def build_evaluation_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    return [_calibrated_model(deployment), _model_evaluation(deployment), _leaderboard(deployment)]


def _calibrated_model(deployment: Deployment) -> dg.AssetsDefinition:
    parameters = deployment.configuration.evaluation.calibration

    def calibrate(work: Work) -> Facts:
        index, _ = _read_dataset(work)
        logits = work.store.read_table(TRAINED_MODEL.name, work.key, "predictions")
        calibrated = calibrate_predictions(logits, index, parameters, _class_weights(work))
        work.writer.table("predictions", calibrated.table)
        work.writer.json("calibration", calibrated.calibration.as_dict())
        work.writer.rows(calibrated.table.height)
        rows = calibrated.table.filter(pl.col("part") == "calibration")
        fitted = calibrated.calibration
        work.run.log_text(json.dumps(fitted.as_dict(), indent=1, sort_keys=True), f"model/{work.key}/calibration.json")
        work.run.log_parameters({"temperature_scaling_T": fitted.temperature, "kind": fitted.kind})
        numbers = {
            "temperature": fitted.temperature,
            "effective_samples": fitted.effective_samples,
            "log_loss_before": fitted.log_loss_before,
            "log_loss_after": fitted.log_loss_after,
        }
        numbers |= {f"log_loss_of_{name}_on_unseen_folds": loss for name, loss in fitted.candidates.items()}
        said = {"kind": fitted.kind, "fitted": fitted.description, "mark": fitted.mark, "note": fitted.note}
        texts = {name: text for name, text in said.items() if text}
        plot = draw_reliability(rows, independent_labels(rows) / rows.height)
        return Facts(numbers=numbers, texts=texts, plot=plot, schema=calibrated.table.schema)

    deps = [dg.AssetDep(DATASET.name, partition_mapping=experiment_of_the_model()), dg.AssetDep(TRAINED_MODEL.name)]
    return partitioned_asset(deployment, CALIBRATED_MODEL, calibrate, deps=deps)


def _model_evaluation(deployment: Deployment) -> dg.AssetsDefinition:
    def judge(work: Work) -> Facts:
        predictions = work.store.read_table(CALIBRATED_MODEL.name, work.key, "predictions")
        index, recipe = _read_dataset(work)
        optimum = best_forecasts(
            deployment.configuration, work.resource("sources").optimum, work.key, predictions, recipe
        )
        judgement = judge_model(
            predictions,
            index,
            recipe["boundaries_bps"],
            Calibration.from_dict(work.store.read_json(CALIBRATED_MODEL.name, work.key, "calibration")),
            deployment.configuration.evaluation,
            class_names=recipe["class_names"],
            optimum=optimum,
            more_baselines=boosted_baseline(
                open_dataset(work.store, split_key(work.key)[0]),
                index,
                predictions,
                deployment.configuration.evaluation,
            ),
        )
        worth = measure_worth(deployment, work.store, predictions, index, recipe)
        material = gather_material(deployment, work.store, work.key)
        report = render_report(judgement, predictions, material, ageing=worth.ageing, money=worth.money)
        work.writer.json("judgement", judgement.as_dict())
        worth.write(work.writer)
        work.writer.json("search", material.search.as_dict())
        work.writer.table("losses", _losses(deployment, predictions, index, recipe))
        if optimum is not None:
            work.writer.table(DIVERGENCES, tabulate_divergences(predictions, optimum))
        work.writer.text("report", report, hashed=False)
        work.writer.rows(judgement.test.samples)
        work.writer.note(VERDICT, judgement.verdict)
        work.writer.note(FIT_TO_SERVE, judgement.fit_to_serve)
        work.afterwards(lambda: keep_evaluation(deployment, work.store, work.key))
        work.run.log_text(report, "report.html")
        work.run.log_numbers(_scores(judgement))
        work.run.set_tags({VERDICT: judgement.verdict, FIT_TO_SERVE: str(judgement.fit_to_serve)})
        plot = draw_skills(judgement.skills, judgement.confidence)
        texts = {VERDICT: judgement.verdict, "sentence": judgement.sentence} | worth.texts()
        texts[FIT_TO_SERVE] = "yes" if judgement.fit_to_serve else "no"
        links, files = {"report": work.run.page_of("report.html")}, {"report_file": "report"}
        numbers = _numbers(judgement) | worth.numbers()
        return Facts(
            numbers=numbers,
            texts=texts,
            links=links,
            files=files,
            plot=plot,
            more_plots=worth.plots(),
            tables={"regimes": regime_rows(judgement.regimes)},
        )

    deps = [
        dg.AssetDep(DATASET.name, partition_mapping=experiment_of_the_model()),
        dg.AssetDep(TRAINED_MODEL.name),
        dg.AssetDep(CALIBRATED_MODEL.name),
    ]
    return partitioned_asset(deployment, MODEL_EVALUATION, judge, deps=deps, resources=frozenset({"sources"}))


def _leaderboard(deployment: Deployment) -> dg.AssetsDefinition:
    models, parameters = sorted(deployment.configuration.all_models), deployment.configuration.evaluation
    studied = bool(deployment.configuration.ablations)

    def rank(work: Work) -> Facts:
        keys = {model: join_key(work.key, model) for model in models}
        read = work.store.read_json
        judgements = {
            model: Judgement.from_dict(read(MODEL_EVALUATION.name, key, "judgement")) for model, key in keys.items()
        }
        searches = {
            model: SearchHonesty.from_dict(read(MODEL_EVALUATION.name, key, "search")) for model, key in keys.items()
        }
        comparison = compare_models(
            {model: work.store.read_table(MODEL_EVALUATION.name, key, "losses") for model, key in keys.items()},
            max(judgement.dependence.block_samples for judgement in judgements.values()),
            parameters.comparison.set_level,
            replicates=parameters.bootstrap_replicates,
            seed=parameters.seed,
        )
        table = rank_models(judgements, comparison, searches)
        said = describe_ranking(table, comparison)
        changes = _changes(deployment, work, table["model"].to_list())
        page = render_leaderboard(
            work.key,
            table,
            said,
            changes,
            ablations=read_ablations(work.store, work.key) if studied else None,
            confidence=parameters.interval_confidence,
        )
        work.writer.table("data", table)
        work.writer.text("page", page, hashed=False)
        work.writer.rows(table.height)
        work.run.log_text(table.write_csv(), "leaderboard.csv")
        work.run.log_text(page, "leaderboard.html")
        work.run.log_text(_as_json(changes), "changes.json")
        work.run.set_tags({"ranking": said})
        return Facts(
            texts={"best": str(table["model"][0]), "ranking": said},
            links={"page": work.run.page_of("leaderboard.html")},
            files={"page_file": "page"},
            plot=draw_ranking(table),
            tables={"models": _short(table), "changes": change_rows(changes)},
            schema=table.schema,
        )

    deps = [dg.AssetDep(MODEL_EVALUATION.name, partition_mapping=experiment_of_the_model())]
    deps += [dg.AssetDep(ABLATION_STUDY.name)] if studied else []
    return partitioned_asset(deployment, LEADERBOARD, rank, deps=deps)


def _changes(deployment: Deployment, work: Work, models: Sequence[str]) -> dict[str, Changes]:
    """What changed since the evaluation before; one that a kill left without its version is kept first."""
    for model in models:
        keep_evaluation(deployment, work.store, join_key(work.key, model))
    return latest_changes(deployment, work.store, work.key, models)


def _as_json(changes: Mapping[str, Changes]) -> str:
    return json.dumps({model: found.as_dict() for model, found in changes.items()}, indent=1, sort_keys=True)


def _short(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of the columns that are shown, rounded, with a dash for nothing."""
    rounded = table.select(SHOWN).with_columns(pl.col(pl.Float64).round(4)).to_dicts()
    return [{name: "-" if value is None else value for name, value in row.items()} for row in rounded]


def _losses(
    deployment: Deployment, predictions: pl.DataFrame, index: pl.DataFrame, recipe: Mapping[str, Any]
) -> pl.DataFrame:
    return decision_losses(
        predictions,
        index,
        classes=len(recipe["class_names"]),
        boundaries_bps=recipe["boundaries_bps"],
        parameters=deployment.configuration.evaluation.baselines,
    )


def _read_dataset(work: Work) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The dataset's index over the primary horizon, which models are trained and judged on, and its recipe."""
    experiment = split_key(work.key)[0]
    recipe = work.store.read_json(DATASET.name, experiment, "recipe")
    index = work.store.read_table(DATASET.name, experiment, "index")
    return of_horizon(index, recipe["labels"]["horizons_seconds"][0]), recipe


def _class_weights(work: Work) -> list[float] | None:
    """Weights that the training loss gave the classes, as the members' sidecars tell; None for none."""
    summary = work.store.read_json(TRAINED_MODEL.name, work.key, "summary")
    sidecar = work.store.read_json(TRAINED_MODEL.name, work.key, sidecar_name(summary["members"][0]["seed"]))
    weights: list[float] | None = sidecar.get("class_weights")
    return weights


def _scores(judgement: Judgement) -> dict[str, float]:
    """Every score of every held-out part after calibration, and those of the classes on the test part."""
    found = {f"{part.part}_{name}": value for part in judgement.parts for name, value in part.after.items()}
    for name, values in judgement.classes.items():
        found |= {f"test_{name}_class_{number}": value for number, value in enumerate(values)}
    return found


def _numbers(judgement: Judgement) -> dict[str, float]:
    after = judgement.test.after
    numbers = {f"test_{name}": after[name] for name in ("log_loss", "brier", "accuracy", "weighted_f1", "ece")}
    numbers |= {"skill": judgement.reference.difference, "effective_samples": judgement.test.effective_samples}
    if judgement.best is not None:
        numbers |= {"share_of_best": judgement.best.share, "share_of_returns_only": judgement.best.returns_only_share}
        numbers |= {} if judgement.best.ceiling is None else {"share_of_its_ceiling": judgement.best.ceiling}
    return numbers
