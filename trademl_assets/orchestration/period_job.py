"""evaluate_period_job: a trained model judged on days of its own, with nothing fitted anew."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from trademl_assets.datasets.build import SCHEMA_VERSION, write_dataset
from trademl_assets.datasets.period import build_period
from trademl_assets.datasets.sample_index import of_horizon
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.evaluation.boosted_reference import Summaries, boosted_baseline, summarise
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.period import PeriodMaterial, gather_period, require_unseen
from trademl_assets.evaluation.plots import draw_skills
from trademl_assets.evaluation.report import render_report
from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError
from trademl_assets.orchestration.ageing_and_money import Worth, measure_worth
from trademl_assets.orchestration.batch import STORE, TRACKING
from trademl_assets.orchestration.catalog import CALIBRATED_MODEL, DATASET, TRAINED_MODEL, Entry
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import Facts, materialization
from trademl_assets.orchestration.partitions import join_key, split_key
from trademl_assets.orchestration.report_material import gather_material
from trademl_assets.scoring.baselines import BaselineParameters
from trademl_assets.scoring.calibration import Calibration
from trademl_assets.scoring.temperature import apply_temperature, ensemble_logits
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets.storage.manifest import Manifest

PERIOD_EVALUATION = Entry(
    name="period_evaluation",
    group="evaluation",
    space="trials",
    stage="model_training",
    kinds=frozenset({"polars", "html"}),
    code_version="2",
    schema_version=1,
    run_name="{target}_{horizon}_{model}_period_v{version}",
    description="A trained model judged on days of its own: predictions, verdict, ageing, money, report.",
)
_MODEL_PARTS = 2


class PeriodConfig(dg.Config):
    """What is judged on which days; `hindsight` allows days that the model was made with."""

    model: str
    first_day: str
    last_day: str
    hindsight: bool = False


@dataclass(frozen=True)
class Period:
    """A model, days, and whether training data lies after them or on them."""

    key: str
    first_day: date
    last_day: date
    hindsight: bool

    @property
    def partition(self) -> str:
        """Key of the partition that the judgement is written to."""
        return join_key(self.key, f"{self.first_day}_{self.last_day}")


def build_period_job(deployment: Deployment) -> dg.JobDefinition:
    """Make the job."""

    @dg.op(name="evaluate_period", required_resource_keys={STORE, TRACKING})
    def evaluate(context: dg.OpExecutionContext, config: PeriodConfig) -> None:
        store: ArtifactStore = getattr(context.resources, STORE)
        period = _read_period(store, config)
        tracking, names = getattr(context.resources, TRACKING), deployment.names
        name = f"{names.run_name(PERIOD_EVALUATION, [period.key])}_{period.first_day}_to_{period.last_day}"
        tags = names.tags(PERIOD_EVALUATION, [period.key]) | {"hindsight": str(period.hindsight)}
        with tracking.stage_run(PERIOD_EVALUATION, name, tags, context.run_id) as run:
            manifest, facts, report = evaluate_period(deployment, store, period, context.run_id)
            run.log_text(report, "report.html")
            run.log_numbers(facts.numbers)
            run.log_partitions([manifest])
            run.set_tags({"verdict": facts.texts["verdict"]})
            facts = replace(facts, links={"report": run.page_of("report.html")})
        folder = str(store.layout.partition_folder(manifest.asset, manifest.partition))
        context.log_event(materialization(manifest, manifest.partition, facts, folder, {}))

    @dg.job(
        name="evaluate_period_job",
        description="A trained model judged on days of its own, without training: give model as experiment|model, "
        "first_day and last_day. Days that the model was made with need hindsight: true.",
    )
    def job() -> None:
        evaluate()

    return job


def evaluate_period(
    deployment: Deployment, store: ArtifactStore, period: Period, run_id: str
) -> tuple[Manifest, Facts, str]:
    """Predict a period by a stored model, calibrate as stored, judge, and commit it all; also returns the report page.

    Raises:
        MissingPartitionError: The model, or a day of the period, was never made.
        CorruptArtifactError: The dataset is another one than the model was trained on.
    """
    experiment, model = split_key(period.key)
    recipe = store.read_json(DATASET.name, experiment, "recipe")
    parameters = deployment.configuration.evaluation
    material, summaries, book_recipe, upstream = _predict(store, period, recipe, parameters.baselines)
    judgement = judge_model(
        material.predictions,
        material.index,
        recipe["boundaries_bps"],
        _calibration(store, period.key),
        parameters,
        class_names=recipe["class_names"],
        more_baselines=boosted_baseline(
            open_dataset(store, experiment), material.index, material.predictions, parameters, period=summaries
        ),
    )
    worth = measure_worth(
        deployment, store, material.predictions, material.index, material.recipe, book_recipe=book_recipe
    )
    shown = f"{model}, {period.first_day} to {period.last_day}" + (", in hindsight" if period.hindsight else "")
    page = replace(gather_material(deployment, store, period.key), model=shown)
    report = render_report(judgement, material.predictions, page, ageing=worth.ageing, money=worth.money)
    for asset, key in ((DATASET, experiment), (TRAINED_MODEL, period.key), (CALIBRATED_MODEL, period.key)):
        upstream |= store.upstream(asset.name, [key])
    provenance = Provenance(PERIOD_EVALUATION.code_version, parameters.fingerprint(), upstream, run_id)
    name, version = PERIOD_EVALUATION.name, PERIOD_EVALUATION.schema_version
    with store.write(name, period.partition, schema_version=version, provenance=provenance) as writer:
        writer.table("predictions", material.predictions)
        writer.json("judgement", judgement.as_dict())
        worth.write(writer)
        writer.text("report", report, hashed=False)
        writer.rows(judgement.test.samples)
        writer.note("verdict", judgement.verdict)
        writer.note("hindsight", period.hindsight)
    return store.require(name, period.partition), _facts(judgement, worth, period), report


def _read_period(store: ArtifactStore, config: PeriodConfig) -> Period:
    if len(split_key(config.model)) != _MODEL_PARTS:
        raise ConfigError(f"model {config.model!r} is no model -> write experiment|model")
    try:
        first, last = date.fromisoformat(config.first_day), date.fromisoformat(config.last_day)
    except ValueError as error:
        raise ConfigError(f"{config.first_day!r}, {config.last_day!r} are no days -> write 2024-01-31") from error
    recipe = store.read_json(DATASET.name, split_key(config.model)[0], "recipe")
    return Period(config.model, first, last, require_unseen(recipe, first, last, hindsight=config.hindsight))


def _predict(
    store: ArtifactStore, period: Period, recipe: dict[str, Any], baselines: BaselineParameters
) -> tuple[PeriodMaterial, Summaries | None, Mapping[str, Any], dict[str, str]]:
    """Predictions of the period beside what they are judged against; its windows in a few numbers, recipe, sources."""
    from trademl_assets.training.artifact import load_trained_model  # noqa: PLC0415 -- torch is slow to import

    experiment = split_key(period.key)[0]
    trained = store.require(TRAINED_MODEL.name, period.key)
    present = store.require(DATASET.name, experiment).content_hash
    if trained.upstream[f"{DATASET.name}/{experiment}"] != present:
        raise CorruptArtifactError(
            f"{TRAINED_MODEL.name}/{period.key} was trained on another version of dataset {experiment!r}: its classes "
            "and scales are not known any more -> train it again"
        )
    model = load_trained_model(store, period.key)
    parts = build_period(store, recipe, period.first_day, period.last_day)
    scratch = f"{experiment}.{period.first_day}.{period.last_day}"  # streams of the period, gone once it is predicted
    try:
        with store.write(
            DATASET.name, scratch, schema_version=SCHEMA_VERSION, provenance=Provenance("scratch", "", parts.upstream)
        ) as writer:
            write_dataset(writer, replace(parts, recipe=_with_counts(parts.recipe)))
        dataset = open_dataset(store, scratch)
        members = model.member_logits(dataset, "test")
        chosen = dataset.index[members[0].positions]
        boosting = baselines.boosting
        summaries = None if boosting is None else summarise(dataset, chosen, boosting.summaries)
    finally:
        store.delete(DATASET.name, scratch)
    logits = ensemble_logits(np.stack([member.logits for member in members]))
    horizon = recipe["labels"]["horizons_seconds"][0]
    material = gather_period(
        recipe,
        of_horizon(store.read_table(DATASET.name, experiment, "index"), horizon),
        store.read_table(CALIBRATED_MODEL.name, period.key, "predictions"),
        of_horizon(parts.index, horizon),
        block={**parts.recipe["blocks"][0], "hindsight": period.hindsight},
        samples=chosen["sample"].to_numpy(),
        logits=logits,
        calibration=_calibration(store, period.key),
        before=apply_temperature(logits, 1.0),
    )
    if summaries is not None:
        numbered = material.predictions.filter(pl.col("part") == "test")["sample"].to_numpy().min()
        offset = int(numbered - chosen["sample"].to_numpy().min())
        summaries = replace(summaries, samples=summaries.samples + offset)
    return material, summaries, parts.recipe, dict(parts.upstream)


def _with_counts(recipe: dict[str, Any]) -> dict[str, Any]:
    return {**recipe, "blocks": [{**block, "on_stride": 0} for block in recipe["blocks"]]}


def _calibration(store: ArtifactStore, key: str) -> Calibration:
    return Calibration.from_dict(store.read_json(CALIBRATED_MODEL.name, key, "calibration"))


def _facts(judgement: Judgement, worth: Worth, period: Period) -> Facts:
    after = judgement.test.after
    numbers = {f"period_{name}": after[name] for name in ("log_loss", "brier", "accuracy", "weighted_f1", "ece")}
    numbers |= {"skill": judgement.reference.difference, "effective_samples": judgement.test.effective_samples}
    texts = {"verdict": judgement.verdict, "sentence": judgement.sentence, **worth.texts()}
    if period.hindsight:
        texts["hindsight"] = "training data lies on or after these days: this is no forecast"
    plot = draw_skills(judgement.skills, judgement.confidence)
    return Facts(
        numbers=numbers | worth.numbers(),
        texts=texts,
        files={"report_file": "report"},
        plot=plot,
        more_plots=worth.plots(),
    )
