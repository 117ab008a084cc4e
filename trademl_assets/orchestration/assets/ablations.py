"""ablation_study: what an experiment's models lose where they may read less."""

from typing import Any

import dagster as dg
import polars as pl

from trademl_assets.evaluation.ablation_plots import draw_ablations
from trademl_assets.evaluation.ablations import (
    DIVERGENCES,
    AblationStudy,
    Compared,
    describe_ablations,
    study_ablations,
)
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import ABLATION_STUDY, MODEL_EVALUATION
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import experiment_of_the_model
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import join_key
from trademl_assets.storage.commit import ArtifactStore

STUDY = "study"
"""What there is beside the table: the reference, how many decisions, the confidence."""
SHOWN = {
    "model": "model",
    "verdict": "verdict",
    "share": "share of the best possible",
    "ceiling": "that its reading allows",
    "gain": "gain, nats",
    "lost": "lost against the whole, nats",
    "lost_low": "at least",
    "lost_high": "at most",
    "share_lost": "share lost",
    "share_lost_low": "at least (share)",
    "share_lost_high": "at most (share)",
}
"""Columns of the short table beside the picture, and what they are called there."""


def read_ablations(store: ArtifactStore, experiment: str) -> AblationStudy | None:
    """Return an experiment's study as it was made; None where there is none, or only one that tells less."""
    manifest = store.manifest(ABLATION_STUDY.name, experiment)
    if manifest is None or STUDY not in manifest.files:
        return None
    facts = store.read_json(ABLATION_STUDY.name, experiment, STUDY)
    return AblationStudy(store.read_table(ABLATION_STUDY.name, experiment), **facts)


def build_ablation_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    parameters = deployment.configuration.evaluation
    followed = {name: each.of for name, each in deployment.configuration.ablations.items()}

    def compare(work: Work) -> Facts:
        compared, blocks = {}, []
        for model in sorted({*followed, *followed.values()}):
            key = join_key(work.key, model)
            judgement = Judgement.from_dict(work.store.read_json(MODEL_EVALUATION.name, key, "judgement"))
            blocks.append(judgement.dependence.block_samples)
            compared[model] = Compared(
                judgement.verdict,
                work.store.read_table(MODEL_EVALUATION.name, key, "losses"),
                _divergences(work, key),
            )
        study = study_ablations(
            compared,
            followed,
            max(blocks),
            minimum_attainable_nats=parameters.minimum_attainable_nats,
            replicates=parameters.bootstrap_replicates,
            confidence=parameters.interval_confidence,
            seed=parameters.seed,
        )
        plot, said = draw_ablations(study), describe_ablations(study)
        work.writer.table("data", study.table)
        work.writer.rows(study.table.height)
        work.writer.json(STUDY, study.facts())
        work.writer.note("said", said)
        work.run.log_text(study.table.write_csv(), "ablations.csv")
        work.run.set_tags({"ablations": said})
        return Facts(
            numbers=_numbers(study.table),
            texts={"said": said, "reference": study.reference},
            plot=plot,
            tables={"ablations": _short(study.table)},
            schema=study.table.schema,
        )

    deps = [dg.AssetDep(MODEL_EVALUATION.name, partition_mapping=experiment_of_the_model())]
    return [partitioned_asset(deployment, ABLATION_STUDY, compare, deps=deps)]


def _divergences(work: Work, key: str) -> pl.DataFrame | None:
    known = DIVERGENCES in work.store.require(MODEL_EVALUATION.name, key).files
    return work.store.read_table(MODEL_EVALUATION.name, key, DIVERGENCES) if known else None


def _numbers(table: pl.DataFrame) -> dict[str, float]:
    wanted = ("gain", "lost", "share", "ceiling")
    return {
        f"{row['model']}_{name}": row[name]
        for row in table.iter_rows(named=True)
        for name in wanted
        if row[name] is not None
    }


def _short(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of the columns that are shown, rounded, with a dash for nothing."""
    rounded = table.select(pl.col(name).alias(shown) for name, shown in SHOWN.items())
    rows = rounded.with_columns(pl.col(pl.Float64).round(4)).to_dicts()
    return [{name: "-" if value is None else value for name, value in row.items()} for row in rows]
