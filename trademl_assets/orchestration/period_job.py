"""evaluate_period_job: a trained model judged on days of its own, with nothing fitted anew."""

from dataclasses import replace
from datetime import date

import dagster as dg

from trademl_assets.datasets.windows import open_dataset
from trademl_assets.evaluation.boosted_reference import boosted_baseline
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.period import require_unseen
from trademl_assets.evaluation.plots import draw_skills
from trademl_assets.evaluation.report import render_report
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.orchestration.ageing_and_money import Worth, measure_worth
from trademl_assets.orchestration.batch import STORE, TRACKING
from trademl_assets.orchestration.catalog import CALIBRATED_MODEL, DATASET, TRAINED_MODEL, Entry
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import Facts, materialization
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.orchestration.period_prediction import PERIOD_ASSET, Period, predict_period, read_calibration
from trademl_assets.orchestration.report_material import gather_material
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets.storage.manifest import Manifest
from trademl_assets.training.launch import Runner

PERIOD_EVALUATION = Entry(
    name=PERIOD_ASSET,
    group="evaluation",
    space="trials",
    stage="model_training",
    kinds=frozenset({"polars", "html"}),
    code_version="2",
    schema_version=1,
    run_name="{target}_{horizon}_{model}_period_v{version}",
    description="A trained model judged on days of its own: predictions, verdict, ageing, money, report.",
)
PROCESSES = "training_processes"
_MODEL_PARTS = 2


class PeriodConfig(dg.Config):
    """What is judged on which days; `hindsight` allows days that the model was made with."""

    model: str
    first_day: str
    last_day: str
    hindsight: bool = False


def build_period_job(deployment: Deployment) -> dg.JobDefinition:
    """Make the job."""

    @dg.op(name="evaluate_period", required_resource_keys={STORE, TRACKING, PROCESSES})
    def evaluate(context: dg.OpExecutionContext, config: PeriodConfig) -> None:
        store: ArtifactStore = getattr(context.resources, STORE)
        period = _read_period(store, config)
        tracking, names = getattr(context.resources, TRACKING), deployment.names
        name = f"{names.run_name(PERIOD_EVALUATION, [period.key])}_{period.first_day}_to_{period.last_day}"
        tags = names.tags(PERIOD_EVALUATION, [period.key]) | {"hindsight": str(period.hindsight)}
        with tracking.stage_run(PERIOD_EVALUATION, name, tags, context.run_id) as run:
            runner = getattr(context.resources, PROCESSES).runner(context)
            manifest, facts, report = evaluate_period(deployment, store, period, context.run_id, runner=runner)
            run.log_text(report, "report.html")
            run.log_numbers(facts.numbers)
            run.log_partitions([manifest])
            run.set_tags({"verdict": facts.texts["verdict"]})
            facts = replace(facts, links={"report": run.page_of("report.html")})
        folder = str(store.layout.partition_folder(manifest.asset, manifest.partition))
        context.log_event(
            materialization(manifest, manifest.partition, facts, folder, parents={}, code_version=manifest.code_version)
        )

    @dg.job(
        name="evaluate_period_job",
        description="A trained model judged on days of its own, without training: give model as experiment|model, "
        "first_day and last_day. Days that the model was made with need hindsight: true.",
    )
    def job() -> None:
        evaluate()

    return job


def evaluate_period(
    deployment: Deployment, store: ArtifactStore, period: Period, run_id: str, *, runner: Runner | None = None
) -> tuple[Manifest, Facts, str]:
    """Predict a period by a stored model, calibrate as stored, judge, and commit it all; also returns the report page.

    Args:
        deployment: The deployment.
        store: Where model and days lie.
        period: The model and the days.
        run_id: Run that is recorded.
        runner: Runs the process that predicts.

    Raises:
        MissingPartitionError: The model, or a day of the period, was never made.
        CorruptArtifactError: The dataset is another one than the model was trained on.
        TrainingError: The process that predicts ended without predictions.
    """
    experiment, model = split_key(period.key)
    recipe = store.read_json(DATASET.name, experiment, "recipe")
    parameters = deployment.configuration.evaluation
    predicted = predict_period(deployment, store, period, recipe, runner=runner)
    material, upstream = predicted.material, dict(predicted.upstream)
    opened = open_dataset(store, experiment)
    judgement = judge_model(
        material.predictions,
        material.index,
        recipe["boundaries_bps"],
        read_calibration(store, period.key),
        parameters,
        class_names=recipe["class_names"],
        more_baselines=boosted_baseline(
            opened,
            material.index,
            material.predictions,
            parameters,
            period=predicted.summaries,
        ),
    )
    worth = measure_worth(
        deployment, store, material.predictions, material.index, material.recipe, book_recipe=predicted.recipe
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
