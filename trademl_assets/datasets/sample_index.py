"""The sample index: one row for every decision that has a valid label inside its block."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.labels import classify, decision_steps, fit_boundaries, forward_returns, valid_mids
from trademl_assets.datasets.splits import NO_BLOCK, Assignment, assign_blocks, effective_samples
from trademl_assets.datasets.weights import sample_weights
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import DataQualityError

INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class SampleIndex:
    """The index table, the class edges it was labelled with, and what was left out, counted by reason."""

    table: pl.DataFrame
    edges_bps: NDArray[np.float64]
    counts: dict[str, int]


def make_index(ingredients: Ingredients) -> SampleIndex:
    """Place decisions, label them, assign them to blocks, weigh them.

    Columns: sample, t0, t1, step, instrument, label, return_bps, sigma_bps (trailing short sigma times the root of the
    horizon's steps), part, block, on_stride, weight, regime (of the previous day).

    Raises:
        DataQualityError: a part of the split is left without a sample.
    """
    parameters, series, frame = ingredients.parameters, ingredients.series, ingredients.frame
    labels, target = parameters.labels, ingredients.target_position
    cadence = frame.cadence_seconds
    steps = decision_steps(
        ingredients.start_step, ingredients.end_step, frame.steps_per_day, cadence, labels.training_phase_seconds
    )
    on_stride = (steps % frame.steps_per_day) * cadence % labels.decision_stride_seconds == 0
    horizon_steps = labels.horizon_seconds // cadence
    valid = valid_mids(series, target, labels.max_mid_age_seconds)
    returns = forward_returns(series.mid[:, target], valid, steps, horizon_steps)
    t0 = series.instants_us[steps]
    t1 = t0 + labels.horizon_seconds * MICROSECONDS_PER_SECOND
    candidates = on_stride | ingredients.training[steps]
    early = candidates & (t0 < ingredients.blocks[0].first_us + parameters.minimum_history // timedelta(microseconds=1))
    unseen = candidates & ~early & np.isnan(returns)
    kept = candidates & ~early & ~unseen
    assignment = assign_blocks(t0[kept], t1[kept], ingredients.blocks, parameters.split.embargo_seconds)
    counts = _count(candidates, early, unseen, assignment)
    chosen = np.flatnonzero(kept)[assignment.block != NO_BLOCK]
    block = assignment.block[assignment.block != NO_BLOCK]
    part = np.asarray([stated.part for stated in ingredients.blocks])[block]
    _refuse_empty_parts(ingredients, part, counts)
    training = part == "train"
    edges = fit_boundaries(returns[chosen][training & on_stride[chosen]], labels.boundaries)
    regimes = np.asarray(ingredients.clock_inputs().previous_regime, dtype=object)
    table = pl.DataFrame(
        {
            "sample": np.arange(len(chosen), dtype=np.int64),
            "t0": pl.Series(t0[chosen]).cast(INSTANT),
            "t1": pl.Series(t1[chosen]).cast(INSTANT),
            "step": steps[chosen],
            "instrument": pl.repeat(parameters.target, len(chosen), dtype=pl.String, eager=True),
            "label": classify(returns[chosen], edges),
            "return_bps": returns[chosen],
            "sigma_bps": ingredients.sigma.short[steps[chosen], target] * np.sqrt(horizon_steps),
            "part": pl.Series(part.tolist(), dtype=pl.String),
            "block": block,
            "on_stride": on_stride[chosen],
            "weight": sample_weights(t0[chosen], training, parameters.weights),
            "regime": pl.Series(regimes[steps[chosen] // frame.steps_per_day].tolist(), dtype=pl.String),
        }
    )
    return SampleIndex(table, edges, counts)


def describe_blocks(index: SampleIndex, ingredients: Ingredients) -> list[dict[str, object]]:
    """Of every block: part, bounds (microseconds UTC), samples, those on the stride, n_eff = covered span / horizon."""
    described: list[dict[str, object]] = []
    for number, block in enumerate(ingredients.blocks):
        rows = index.table.filter(pl.col("block") == number)
        described.append(
            {
                "part": block.part,
                "first_us": block.first_us,
                "last_us": block.last_us,
                "samples": rows.height,
                "on_stride": int(rows["on_stride"].sum()),
                "effective_samples": _effective(rows.filter(pl.col("on_stride"))),
            }
        )
    return described


def class_distribution(index: SampleIndex) -> dict[str, list[int]]:
    """Part -> number of on-stride samples of each class."""
    classes = len(index.edges_bps) + 1
    rows = index.table.filter(pl.col("on_stride"))
    return {
        str(part): np.bincount(rows.filter(pl.col("part") == part)["label"].to_numpy(), minlength=classes).tolist()
        for part in rows["part"].unique(maintain_order=True)
    }


def support_warnings(distribution: dict[str, list[int]], minimum: int) -> list[str]:
    """One sentence for every class with fewer than `minimum` training samples."""
    return [
        f"class {number} has {support} training samples on the decision stride, fewer than {minimum}"
        for number, support in enumerate(distribution["train"])
        if support < minimum
    ]


def _effective(rows: pl.DataFrame) -> float:
    return effective_samples(rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())


def _count(
    candidates: NDArray[np.bool_], early: NDArray[np.bool_], unseen: NDArray[np.bool_], assignment: Assignment
) -> dict[str, int]:
    return {
        "candidates": int(candidates.sum()),
        "before_minimum_history": int(early.sum()),
        "mid_not_observed": int(unseen.sum()),
        "outside_blocks": assignment.outside,
        "purged": assignment.purged,
        "embargoed": assignment.embargoed,
    }


def _refuse_empty_parts(ingredients: Ingredients, part: NDArray[np.str_], counts: dict[str, int]) -> None:
    for block in ingredients.blocks:
        if not (part == block.part).any():
            raise DataQualityError(
                f"part {block.part!r} of {ingredients.parameters.target} has no sample between "
                f"{ingredients.days[0]} and {ingredients.days[-1]}; left out: {counts}; lengthen its block, "
                "shorten the horizon, or look for gaps in the grid"
            )
