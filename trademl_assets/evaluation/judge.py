"""The judgement on a calibrated model: a verdict on the test block, with the figures that carry it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.evaluation.ageing import AgeingParameters
from trademl_assets.evaluation.best_possible import judge_against_optimum
from trademl_assets.evaluation.bootstrap import metric_intervals
from trademl_assets.evaluation.comparison import ComparisonParameters
from trademl_assets.evaluation.honesty import judge_cells, judge_conformal
from trademl_assets.evaluation.judgement import DayGain, Judgement, PartScores, stronger_reference, volatility_skills
from trademl_assets.evaluation.money import MoneyParameters
from trademl_assets.evaluation.references import baseline_losses
from trademl_assets.evaluation.regimes import score_regimes
from trademl_assets.evaluation.resampling import Resampling
from trademl_assets.evaluation.skill import judge_skills, measure_dependence
from trademl_assets.evaluation.verdict import decide
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.scoring import metrics
from trademl_assets.scoring.baselines import BaselineParameters
from trademl_assets.scoring.bins import equal_width_edges
from trademl_assets.scoring.calibration import Calibration, CalibrationParameters
from trademl_assets.scoring.calibration_gate import GateParameters
from trademl_assets.scoring.conformal import ConformalParameters
from trademl_assets.scoring.excess import excess_calibration_error
from trademl_assets.scoring.predictions import class_columns, independent_labels

Floats = NDArray[np.float64]
HELD_OUT = ("validation", "calibration", "test")
STAGES: tuple[Literal["before", "after"], ...] = ("before", "after")


class EvaluationParameters(Parameters):
    """How models are calibrated and judged.

    A verdict needs `minimum_effective_test` independent test labels and `minimum_blocks` bootstrap blocks; a block
    lasts the longer of `block_horizons` horizons and `minimum_block` on average. Skill needs the lower end of the
    interval (`interval_confidence`, two-sided) above 0 and a Diebold-Mariano p below `significance_level`; the least
    detectable skill is the one that would be seen with chance `power`. A planted
    market whose optimum gains less than `minimum_attainable_nats` has no share of the best possible.
    """

    calibration: CalibrationParameters
    calibration_gate: GateParameters
    conformal: ConformalParameters
    baselines: BaselineParameters
    minimum_effective_test: float = Field(gt=0)
    minimum_blocks: float = Field(gt=0)
    block_horizons: float = Field(gt=0)
    minimum_block: timedelta = Field(ge=timedelta(0))
    interval_confidence: float = Field(gt=0, lt=1)
    significance_level: float = Field(gt=0, lt=1)
    power: float = Field(gt=0, lt=1)
    bootstrap_replicates: int = Field(ge=100)
    excess_replicates: int = Field(ge=100)
    minimum_attainable_nats: float = Field(gt=0)
    ageing: AgeingParameters
    money: MoneyParameters
    comparison: ComparisonParameters
    seed: int = Field(ge=0)

    @property
    def resampling(self) -> Resampling:
        """The block bootstrap behind intervals."""
        return Resampling(
            block_horizons=self.block_horizons,
            minimum_block=self.minimum_block,
            replicates=self.bootstrap_replicates,
            confidence=self.interval_confidence,
            seed=self.seed,
        )


def judge_model(
    predictions: pl.DataFrame,
    index: pl.DataFrame,
    boundaries_bps: Sequence[float] | Floats | None,
    calibration: Calibration,
    parameters: EvaluationParameters,
    *,
    class_names: Sequence[str],
    optimum: Mapping[str, Floats] | None = None,
    more_baselines: Mapping[str, Floats] | None = None,
) -> Judgement:
    """Judge a model on the test part of its calibrated predictions.

    Args:
        predictions: Table of `calibrate_predictions`.
        index: Sample index of the dataset, for the baselines: on_stride, part, t0, t1, label, sigma_bps.
        boundaries_bps: (C - 1,) class edges; None where the classes are not cut by the return.
        calibration: What was fitted on the calibration part.
        parameters: Limits and sizes.
        class_names: (C,) names of the classes.
        optimum: For a planted market: `optimum`, `returns_only`, `volatility`, each (N, C) at the test decisions in the
            order of `decisions(predictions)`.
        more_baselines: Further baselines by name, as (N, C) probabilities at the same decisions; None for none.

    Raises:
        EvaluationError: There is no test part, or shapes do not fit.
    """
    rows = decisions(predictions)
    probabilities = {stage: class_columns(rows, stage) for stage in STAGES}
    labels = rows["label"].to_numpy().astype(np.int64)
    spans = (rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())
    dependence = measure_dependence(*spans, parameters.block_horizons, parameters.minimum_block)
    losses = metrics.log_losses(probabilities["after"], labels)
    baselines = baseline_losses(
        rows,
        index,
        labels,
        classes=len(class_names),
        boundaries_bps=boundaries_bps,
        parameters=parameters.baselines,
        more=more_baselines,
    )
    skills = judge_skills(
        losses,
        baselines,
        dependence,
        replicates=parameters.bootstrap_replicates,
        confidence=parameters.interval_confidence,
        power=parameters.power,
        seed=parameters.seed,
    )
    parts = tuple(_score_part(predictions, part, boundaries_bps) for part in HELD_OUT if _has(predictions, part))
    verdict, sentence = decide(
        calibration,
        parts[-1].effective_samples,
        dependence.blocks,
        volatility_skills(skills),
        minimum_effective_test=parameters.minimum_effective_test,
        minimum_blocks=parameters.minimum_blocks,
        significance_level=parameters.significance_level,
        confidence=parameters.interval_confidence,
    )
    best = None
    if optimum is not None:
        best = judge_against_optimum(
            probabilities["after"],
            labels,
            spans[0],
            optimum,
            minimum_attainable_nats=parameters.minimum_attainable_nats,
            replicates=parameters.bootstrap_replicates,
            confidence=parameters.interval_confidence,
            seed=parameters.seed,
        )
    confusion = metrics.confusion_matrix(probabilities["after"], labels)
    gains = baselines[stronger_reference(skills).baseline] - losses
    return Judgement(
        verdict=verdict,
        sentence=sentence,
        class_names=tuple(class_names),
        parts=parts,
        skills=skills,
        days=_daily_gains(rows, gains),
        intervals=metric_intervals(
            probabilities["after"],
            labels,
            dependence.block_samples,
            replicates=parameters.bootstrap_replicates,
            confidence=parameters.interval_confidence,
            seed=parameters.seed,
            boundaries_bps=boundaries_bps,
        ),
        excess={
            stage: excess_calibration_error(
                probabilities[stage],
                labels,
                spans,
                replicates=parameters.excess_replicates,
                confidence=parameters.interval_confidence,
                seed=parameters.seed,
            )
            for stage in STAGES
        },
        classes=_class_scores(probabilities["after"], labels, confusion),
        confusion=confusion.tolist(),
        calibration=calibration.as_dict(),
        dependence=dependence,
        confidence=parameters.interval_confidence,
        best=best,
        cells=judge_cells(rows, parameters.calibration_gate, parameters.seed),
        sets=judge_conformal(predictions, parameters.conformal, parameters.seed),
        regimes=score_regimes(rows, gains, boundaries_bps),
    )


def decisions(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the test rows in time order, those that are judged.

    Raises:
        EvaluationError: There are none.
    """
    rows = predictions.filter(pl.col("part") == "test").sort("t0", "sample")
    if rows.is_empty():
        raise EvaluationError("no predictions for the test part -> predict the test block, too")
    return rows


def _daily_gains(rows: pl.DataFrame, gains: Floats) -> tuple[DayGain, ...]:
    daily = (
        pl.DataFrame({"day": rows["t0"].dt.date(), "gain": gains})
        .group_by("day", maintain_order=True)
        .agg(pl.len().alias("samples"), pl.col("gain").mean())
    )
    return tuple(DayGain(row["day"].isoformat(), row["samples"], row["gain"]) for row in daily.iter_rows(named=True))


def _has(predictions: pl.DataFrame, part: str) -> bool:
    return bool((predictions["part"] == part).any())


def _score_part(predictions: pl.DataFrame, part: str, boundaries_bps: Sequence[float] | Floats | None) -> PartScores:
    rows = predictions.filter(pl.col("part") == part).sort("t0", "sample")
    labels = rows["label"].to_numpy()
    scores = {
        stage: metrics.evaluate(class_columns(rows, stage), labels, boundaries_bps=boundaries_bps) for stage in STAGES
    }
    return PartScores(
        part=part,
        samples=rows.height,
        effective_samples=independent_labels(rows),
        first=rows["t0"][0].isoformat(),
        last=rows["t1"].to_list()[-1].isoformat(),
        before=scores["before"],
        after=scores["after"],
    )


def _class_scores(probabilities: Floats, labels: NDArray[np.int64], confusion: Floats) -> dict[str, list[float]]:
    edges = equal_width_edges()
    errors = [
        metrics.reliability_curve(column, (labels == number).astype(np.float64), edges).expected_error()
        for number, column in enumerate(probabilities.T)
    ]
    return {name: values.tolist() for name, values in metrics.class_scores(confusion).items()} | {"ece": errors}
