"""The slow controls of a dataset: no skill on shuffled labels and on random walks, skill where it was planted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.controls import (
    ControlMaterial,
    ControlRows,
    WalkFunction,
    plant_signal,
    shuffle_labels_by_day,
    walk_randomly,
)
from trademl_assets.datasets.parameters import ControlParameters
from trademl_assets.evaluation.control_learner import fit_honestly
from trademl_assets.evaluation.judge import EvaluationParameters
from trademl_assets.evaluation.significance import bootstrap_means, interval
from trademl_assets.evaluation.skill import Dependence, measure_dependence
from trademl_assets.scoring.baselines import class_prior
from trademl_assets.scoring.metrics import log_losses

Floats = NDArray[np.float64]
Expected = Literal["no skill", "skill"]
LEAST_SKILL = 1e-9
"""Nats below which skill is rounding."""
SHUFFLED, WALK, PLANTED = "block-shuffled labels", "random walk", "planted signal"
CONTROL_SCHEMA = {
    "control": pl.String(),
    "instrument": pl.String(),
    "horizon_seconds": pl.Int32(),
    "expected": pl.String(),
    "result": pl.String(),
    "skill_nats": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "draws": pl.Int32(),
    "validation_rows": pl.Int32(),
}
"""One row a control, target and horizon; `result` is "holds", "violated" or "not audited"."""


@dataclass(frozen=True)
class ControlResult:
    """What came of one control on one target over one horizon.

    Attributes:
        control: Its name.
        instrument: The target.
        horizon_seconds: The horizon.
        expected: `no skill` holds where the interval's lower end is not above 0, `skill` where it is.
        skill_nats: Mean log-loss of the class prior minus that of the learner on validation rows, over all draws.
        low, high: Its stationary-block-bootstrap interval.
        draws: How often the control was drawn.
        validation_rows: Rows judged, of one draw; 0 where there was too little to learn from or to judge on.
    """

    control: str
    instrument: str
    horizon_seconds: int
    expected: Expected
    skill_nats: float | None
    low: float | None
    high: float | None
    draws: int
    validation_rows: int

    @property
    def result(self) -> Literal["holds", "violated", "not audited"]:
        """Whether it came out as expected."""
        if self.low is None:
            return "not audited"
        return "holds" if (self.low > LEAST_SKILL) == (self.expected == "skill") else "violated"

    def as_row(self) -> dict[str, Any]:
        """A row of `CONTROL_SCHEMA`."""
        return {name: getattr(self, name) for name in CONTROL_SCHEMA}


def run_controls(
    material: ControlMaterial, evaluation: EvaluationParameters, walk: WalkFunction = walk_randomly
) -> pl.DataFrame:
    """Learn on every control dataset and judge it on validation rows.

    Args:
        material: The dataset.
        evaluation: Blocks and replicates of the bootstrap, and smoothing of the class prior.
        walk: Makes the dataset of random walks.

    Returns:
        Rows of `CONTROL_SCHEMA`.
    """
    stated = material.ingredients.parameters
    controls, rng = stated.audit.controls, np.random.default_rng(stated.audit.seed)
    walks = [walk(material, rng) for _ in range(controls.draws)]
    results = []
    for target, horizon in product(stated.targets, stated.labels.horizons_seconds):
        rows = material.rows(horizon, controls.training_rows_at_most, target)
        walked = [each.rows(horizon, controls.training_rows_at_most, target) for each in walks]
        shuffled = [shuffle_labels_by_day(rows, rng) for _ in range(controls.draws)]
        planted = [plant_signal(rows, controls.planted_correlation, rng)]
        cases: Sequence[tuple[str, Expected, list[ControlRows]]] = (
            (SHUFFLED, "no skill", shuffled),
            (WALK, "no skill", walked),
            (PLANTED, "skill", planted),
        )
        results += [
            judge_control(name, horizon, expected, drawn, evaluation=evaluation, parameters=controls)
            for name, expected, drawn in cases
        ]
    return pl.DataFrame([result.as_row() for result in results], schema=CONTROL_SCHEMA)


def judge_control(
    control: str,
    horizon_seconds: int,
    expected: Expected,
    drawn: Sequence[ControlRows],
    *,
    evaluation: EvaluationParameters,
    parameters: ControlParameters,
) -> ControlResult:
    """Learn on each draw and judge the learner against the class prior; draws count alike."""
    instrument = drawn[0].instrument
    blocks = [_dependence(rows, evaluation, parameters) for rows in drawn if rows.complete]
    if len(blocks) < len(drawn) or min(each.blocks for each in blocks) < parameters.minimum_blocks:
        return ControlResult(control, instrument, horizon_seconds, expected, None, None, None, len(drawn), 0)
    gains = [learn_gains(rows, evaluation, parameters) for rows in drawn]
    replicates = [
        bootstrap_means(gain[:, None], each.block_samples, evaluation.bootstrap_replicates, evaluation.seed)
        for gain, each in zip(gains, blocks, strict=True)
    ]
    low, high = interval(np.mean(replicates, axis=0)[:, 0], parameters.confidence)
    skill = float(np.mean([gain.mean() for gain in gains]))
    return ControlResult(control, instrument, horizon_seconds, expected, skill, low, high, len(drawn), len(gains[0]))


def learn_gains(rows: ControlRows, evaluation: EvaluationParameters, parameters: ControlParameters) -> Floats:
    """Log-loss of the class prior minus that of the learner, (m,) of the validation rows."""
    train, held = rows.training, ~rows.training
    pseudo_counts = evaluation.baselines.pseudo_counts
    model = fit_honestly(
        rows.features[train],
        rows.labels[train],
        (rows.t0_us[train], rows.t1_us[train]),
        rows.classes,
        groups=rows.groups,
        penalties=parameters.penalties,
        pseudo_counts=pseudo_counts,
    )
    prior = class_prior(rows.labels[train], rows.classes, pseudo_counts)
    of_prior = log_losses(np.broadcast_to(prior, (int(held.sum()), rows.classes)), rows.labels[held])
    return of_prior - log_losses(model.predict(rows.features[held]), rows.labels[held])


def _dependence(rows: ControlRows, evaluation: EvaluationParameters, parameters: ControlParameters) -> Dependence:
    held = ~rows.training
    return measure_dependence(rows.t0_us[held], rows.t1_us[held], evaluation.block_horizons, parameters.block)
