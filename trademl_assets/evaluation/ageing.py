"""How a frozen model ages: its gain over knowing the volatility alone, by the time since it was trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.evaluation.half_life import SECONDS_PER_DAY, DailyGains, HalfLife, fit_half_life
from trademl_assets.evaluation.references import VOLATILITY_REFERENCES, baseline_losses
from trademl_assets.evaluation.resampling import Resampling
from trademl_assets.evaluation.skill import measure_dependence
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.scoring import metrics
from trademl_assets.scoring.baselines import BaselineParameters
from trademl_assets.scoring.predictions import class_columns, independent_labels

Floats = NDArray[np.float64]
AGED_PARTS = ("test", "degradation")
"""Parts that neither training nor calibration has seen."""
MICROSECONDS_PER_DAY = SECONDS_PER_DAY * MICROSECONDS_PER_SECOND
DAY = timedelta(days=1)


class AgeingParameters(Parameters):
    """How ageing is measured.

    The curve has a point for every `period` since the end of training. A figure from fewer than `minimum_effective`
    independent labels, or `minimum_blocks` bootstrap blocks, is shown and not judged. Half-lives are looked for between
    `shortest_half_life` (all skill is gone at once) and `longest_half_life` (no decay) at `half_life_steps` points. A
    model should be trained again when `retrain_at_share` of its gain is left.
    """

    period: timedelta = Field(gt=timedelta(0))
    minimum_effective: float = Field(gt=0)
    minimum_blocks: float = Field(gt=0)
    shortest_half_life: timedelta = Field(gt=timedelta(0))
    longest_half_life: timedelta = Field(gt=timedelta(0))
    half_life_steps: int = Field(ge=2)
    retrain_at_share: float = Field(gt=0, lt=1)


@dataclass(frozen=True)
class AgedGain:
    """Gain over the reference in one stretch of age, block or regime.

    Attributes:
        name: Of the block or regime; empty for a stretch of age.
        part: Part of the split; empty where several are together.
        first, last: First decision and last label end, ISO 8601, UTC.
        first_age_days, last_age_days: Age of the first and last decision since the end of training; negative where they
            lie before it.
        hindsight: Whether training data lies after them: such figures are no forecast of how a model ages.
        samples: Decisions.
        effective_samples: Independent labels among them.
        judged: Whether they are enough.
        gain: Mean log-loss of the reference minus that of the model, nats a decision.
        low, high: Its stationary-block-bootstrap interval.
        scores: Metrics after calibration; of blocks only.
    """

    name: str
    part: str
    first: str
    last: str
    first_age_days: float
    last_age_days: float
    hindsight: bool
    samples: int
    effective_samples: float
    judged: bool
    gain: float
    low: float
    high: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Ageing:
    """How one model ages.

    Attributes:
        trained_until: End of its training, ISO 8601, UTC.
        reference: The harder to beat of the forecasts that know the volatility alone.
        curve: Frozen-model ageing: points by age, of decisions that no training data follows.
        blocks: Every test and degradation block in time order, those in hindsight marked.
        regimes: By market regime of the previous day, of the same decisions as the curve.
        half_life: What decay they support; None where no decision follows the training.
        weight_half_lives: Sentences on half-lives of training weights against that of the skill.
        confidence: Of all intervals.
    """

    trained_until: str
    reference: str
    curve: tuple[AgedGain, ...]
    blocks: tuple[AgedGain, ...]
    regimes: tuple[AgedGain, ...]
    half_life: HalfLife | None
    weight_half_lives: tuple[str, ...]
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    def numbers(self) -> dict[str, float]:
        """Return `test_<metric>_<block>` of every named block, and the half-life where one was found."""
        found = {
            f"test_{metric}_{block.name}": value
            for block in self.blocks
            if block.part == "degradation"
            for metric, value in {"gain": block.gain, **block.scores}.items()
        }
        half_life = self.half_life
        if half_life is not None and half_life.days is not None and half_life.verdict == "decays":
            found["half_life_days"] = half_life.days
        return found


def measure_ageing(
    predictions: pl.DataFrame,
    index: pl.DataFrame,
    recipe: Mapping[str, Any],
    *,
    parameters: AgeingParameters,
    baselines: BaselineParameters,
    resampling: Resampling,
) -> Ageing:
    """Measure how a model ages on test and degradation blocks.

    Args:
        predictions: Table of `calibrate_predictions` with the rows of these parts.
        index: Sample index of the dataset's primary horizon, with `block`.
        recipe: Of the dataset: `blocks`, `boundaries_bps`, `classes`, `parameters`.
        parameters: Sizes and limits.
        baselines: Of the references.
        resampling: Of the intervals.

    Raises:
        EvaluationError: There is nothing to age on, or no training block.
    """
    rows = predictions.filter(pl.col("part").is_in(AGED_PARTS)).sort("t0", "sample")
    if rows.is_empty():
        raise EvaluationError("no predictions for test or degradation blocks -> predict them, too")
    rows = rows.join(index.select("sample", "block"), on="sample", how="left", maintain_order="left")
    training = [block["last_us"] for block in recipe["blocks"] if block["part"] == "train"]
    if not training:
        raise EvaluationError("the dataset's recipe has no training block -> ageing counts from its end")
    labels = rows["label"].to_numpy().astype(np.int64)
    losses = baseline_losses(
        rows,
        index,
        labels,
        classes=int(recipe["classes"]),
        boundaries_bps=recipe["boundaries_bps"],
        parameters=baselines,
    )
    reference = min((name for name in VOLATILITY_REFERENCES if name in losses), key=lambda name: losses[name].mean())
    own = metrics.log_losses(class_columns(rows, "after"), labels)
    hindsight = [bool(recipe["blocks"][number]["hindsight"]) for number in rows["block"]]
    age = (rows["t0"].to_physical().to_numpy() - max(training)) / MICROSECONDS_PER_DAY
    rows = rows.with_columns(
        gain=pl.Series(losses[reference] - own),
        age_days=pl.Series(age),
        hindsight=pl.Series(hindsight, dtype=pl.Boolean),
    )
    ahead = rows.filter(~pl.col("hindsight"))
    measure = _Measure(parameters, resampling)
    half_life = measure.half_life(ahead, max(training)) if ahead.height else None
    by_regime = ahead.sort("regime", "t0", "sample").group_by("regime", maintain_order=True)
    return Ageing(
        trained_until=from_microseconds(max(training)).isoformat(),
        reference=reference,
        curve=tuple(measure.by_age(ahead)),
        blocks=tuple(measure.by_block(rows, recipe)),
        regimes=tuple(measure.of(group, name=str(name)) for (name,), group in by_regime),
        half_life=half_life,
        weight_half_lives=() if half_life is None else tuple(_weights(recipe, half_life)),
        confidence=resampling.confidence,
    )


@dataclass(frozen=True)
class _Measure:
    parameters: AgeingParameters
    resampling: Resampling

    def of(
        self, rows: pl.DataFrame, *, name: str = "", part: str = "", scores: Mapping[str, float] | None = None
    ) -> AgedGain:
        effective, gain = independent_labels(rows), rows["gain"].to_numpy()
        low, high = self.resampling.interval_of_mean(gain, _spans(rows))
        sizes = self.resampling
        horizon_blocks = measure_dependence(*_spans(rows), sizes.block_horizons, sizes.minimum_block)
        blocks = rows.height / horizon_blocks.block_samples
        return AgedGain(
            name=name,
            part=part,
            first=rows["t0"][0].isoformat(),
            last=rows["t1"].to_list()[-1].isoformat(),
            first_age_days=float(rows["age_days"][0]),
            last_age_days=float(rows["age_days"].to_list()[-1]),
            hindsight=bool(rows["hindsight"].any()),
            samples=rows.height,
            effective_samples=effective,
            judged=effective >= self.parameters.minimum_effective and blocks >= self.parameters.minimum_blocks,
            gain=float(gain.mean()),
            low=low,
            high=high,
            scores={} if scores is None else scores,
        )

    def by_age(self, rows: pl.DataFrame) -> Iterator[AgedGain]:
        number = (pl.col("age_days") // (self.parameters.period / DAY)).alias("number")
        for _, group in rows.group_by(number, maintain_order=True):
            yield self.of(group)

    def by_block(self, rows: pl.DataFrame, recipe: Mapping[str, Any]) -> Iterator[AgedGain]:
        for (number,), group in rows.group_by("block", maintain_order=True):
            block = recipe["blocks"][number]
            scores = metrics.evaluate(
                class_columns(group, "after"), group["label"].to_numpy(), boundaries_bps=recipe["boundaries_bps"]
            )
            yield self.of(group, name=block["name"] or block["part"], part=block["part"], scores=scores)

    def half_life(self, rows: pl.DataFrame, trained_until_us: int) -> HalfLife:
        daily = (
            rows.group_by(pl.col("t0").dt.date(), maintain_order=True)
            .agg(pl.col("age_days").mean(), total=pl.col("gain").sum(), count=pl.len())
            .select(pl.exclude("t0").cast(pl.Float64))
        )
        age, total, count = (daily[name].to_numpy() for name in ("age_days", "total", "count"))
        gains = DailyGains(age, total, count, trained_until_us)
        spans, sizes = _spans(rows), self.resampling
        block = measure_dependence(*spans, sizes.block_horizons, sizes.minimum_block).block_seconds / SECONDS_PER_DAY
        return fit_half_life(
            gains,
            shortest_days=self.parameters.shortest_half_life / DAY,
            longest_days=self.parameters.longest_half_life / DAY,
            steps=self.parameters.half_life_steps,
            retrain_at_share=self.parameters.retrain_at_share,
            block_days=block,
            minimum_blocks=self.parameters.minimum_blocks,
            replicates=sizes.replicates,
            confidence=sizes.confidence,
            seed=sizes.seed,
        )


def _spans(rows: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy()


def _weights(recipe: Mapping[str, Any], found: HalfLife) -> Iterator[str]:
    """What the decay of the skill says about the half-lives that training weights were given."""
    for part in recipe["parameters"]["weights"]["parts"]:
        stated: Sequence[float] = (
            part.get("half_lives_days") or [part["half_life_days"]] if "age" in part["kind"] else ()
        )
        for days in stated:
            if found.verdict == "cannot be told":
                yield f"weights of half-life {days:g} days: the decay of the skill neither supports nor refutes them"
                continue
            above, below = days >= (found.low_days or 0.0), days <= (found.high_days or np.inf)
            fits = "fits" if above and below else "is shorter than" if not above else "is longer than"
            yield f"weights of half-life {days:g} days: that {fits} what the decay of the skill supports"
