"""The report page: one self-contained HTML text with its pictures inside, equal for equal input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from trademl_assets.evaluation import plots
from trademl_assets.evaluation.ageing import Ageing
from trademl_assets.evaluation.ageing_plots import draw_ageing
from trademl_assets.evaluation.judge import decisions
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.money_plots import draw_money
from trademl_assets.evaluation.money_results import Money
from trademl_assets.evaluation.pages import as_urls, render_page
from trademl_assets.evaluation.report_sections import (
    CLASS_METRICS,
    METRICS,
    ageing_lines,
    cell_table,
    class_accuracies,
    class_rows,
    detectable,
    findings,
    interval_rows,
)
from trademl_assets.evaluation.search_honesty import SearchHonesty

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class LineageRow:
    """One artifact the model stands on: asset, partition (or a span of them), content hash, code version."""

    asset: str
    partition: str
    content_hash: str
    code_version: str


@dataclass(frozen=True)
class ReportMaterial:
    """What the report shows beside the judgement.

    Attributes:
        experiment: Its name.
        model: Its name.
        target: Labelled instrument.
        horizon: Horizon as a reader would say it, such as "30 min".
        class_distribution: Part -> decisions of every class.
        learning_curves: Of every member.
        trials: Table of the study, empty where nothing was searched.
        study_pictures: Of the study, by name.
        study_note: What the study did, one sentence.
        search: Whether its choice was luck.
        lineage: Artifacts from the model down to its sources.
        configuration: The effective configuration as text, secrets as references.
    """

    experiment: str
    model: str
    target: str
    horizon: str
    class_distribution: Mapping[str, Sequence[int]]
    learning_curves: Sequence[plots.LearningCurve]
    trials: pl.DataFrame
    study_pictures: Mapping[str, bytes]
    study_note: str
    search: SearchHonesty
    lineage: Sequence[LineageRow]
    configuration: str


def render_report(
    judgement: Judgement, predictions: pl.DataFrame, material: ReportMaterial, *, ageing: Ageing, money: Money
) -> str:
    """Return the page.

    Args:
        judgement: On the model.
        predictions: Table of `calibrate_predictions`, for the reliability diagrams.
        material: Everything else.
        ageing: How the model ages.
        money: What acting on its probabilities earns.
    """
    return render_page(
        "report.html.j2",
        judgement=judgement,
        material=material,
        ageing=ageing,
        ageing_lines=ageing_lines(ageing),
        money=money,
        detectable=detectable(judgement),
        findings=findings(judgement, ageing, money),
        cells=cell_table(judgement),
        intervals=interval_rows(judgement),
        class_metrics=tuple(CLASS_METRICS.values()),
        class_intervals=class_rows(judgement),
        images=as_urls(
            _draw(judgement, decisions(predictions), material)
            | {"ageing": draw_ageing(ageing), "money": draw_money(money)}
        ),
        metrics=[(name, title) for name, title in METRICS.items() if name in judgement.test.after],
        block_hours=judgement.dependence.block_seconds / SECONDS_PER_HOUR,
        level=f"{judgement.confidence:.0%}",
        trials=material.trials.to_dicts(),
        study_images=as_urls(material.study_pictures),
        class_accuracies=class_accuracies(judgement.confusion),
    )


def _draw(judgement: Judgement, rows: pl.DataFrame, material: ReportMaterial) -> dict[str, bytes]:
    """Pictures of the judgement by name."""
    names, reference = judgement.class_names, judgement.reference
    independent = judgement.test.effective_samples / judgement.test.samples
    drawn = {
        "reliability": plots.draw_reliability(rows, independent),
        "class_reliability": plots.draw_class_reliability(rows, names, independent),
        "confusion": plots.draw_confusion(judgement.confusion, names),
        "skills": plots.draw_skills(judgement.skills, judgement.confidence),
        "daily": plots.draw_daily_gain(
            [found.day for found in judgement.days], [found.gain for found in judgement.days], reference.baseline
        ),
        "classes": plots.draw_class_distribution(material.class_distribution, names),
    }
    if material.learning_curves:
        drawn["learning"] = plots.draw_learning_curves(material.learning_curves)
    return drawn
