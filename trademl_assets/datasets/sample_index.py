"""The sample index: one row for every decision that has a valid label inside its block."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import (
    LABELS,
    LabelKind,
    Outcomes,
    find_boundaries,
    find_classes,
    find_outcomes,
)
from trademl_assets.datasets.labels import decision_steps
from trademl_assets.datasets.partial_steps import too_partial
from trademl_assets.datasets.splits import NO_BLOCK, assign_blocks, effective_samples, in_hindsight
from trademl_assets.datasets.weights import sample_weights
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
    parameters, frame = ingredients.parameters, ingredients.frame
    decided = _decide(ingredients)
    steps, block, part, on_stride = decided.steps, decided.block, decided.part, decided.on_stride
    _refuse_empty_parts(ingredients, part, decided.counts)
    edges = decided.fit_edges()
    t0 = ingredients.series.instants_us[steps]
    horizon_steps = parameters.labels.horizon_seconds // frame.cadence_seconds
    regimes = np.asarray(ingredients.clock_inputs().previous_regime, dtype=object)
    table = pl.DataFrame(
        {
            "sample": np.arange(len(steps), dtype=np.int64),
            "t0": pl.Series(t0).cast(INSTANT),
            "t1": pl.Series(decided.outcomes.t1_us).cast(INSTANT),
            "step": steps,
            "instrument": pl.repeat(parameters.target, len(steps), dtype=pl.String, eager=True),
            "label": find_classes(decided.kind, decided.outcomes, edges),
            "return_bps": decided.outcomes.return_bps,
            "sigma_bps": ingredients.sigma.short[steps, ingredients.target_position] * np.sqrt(horizon_steps),
            "part": pl.Series(part.tolist(), dtype=pl.String),
            "block": block,
            "on_stride": on_stride,
            "weight": sample_weights(t0, part == "train", parameters.weights),
            "regime": pl.Series(regimes[steps // frame.steps_per_day].tolist(), dtype=pl.String),
        }
    )
    return SampleIndex(table, edges, decided.counts)


def class_edges(ingredients: Ingredients) -> NDArray[np.float64]:
    """Class edges as `make_index` fits them, also where a part other than training is left without a sample."""
    return _decide(ingredients).fit_edges()


@dataclass(frozen=True)
class _Decisions:
    """The n decisions that become samples, and what was left out, counted by reason."""

    kind: LabelKind
    steps: NDArray[np.int64]
    outcomes: Outcomes
    block: NDArray[np.int64]
    part: NDArray[np.str_]
    on_stride: NDArray[np.bool_]
    counts: dict[str, int]

    def fit_edges(self) -> NDArray[np.float64]:
        return find_boundaries(self.kind, self.outcomes.at((self.part == "train") & self.on_stride))


def _decide(ingredients: Ingredients) -> _Decisions:
    parameters, series, frame = ingredients.parameters, ingredients.series, ingredients.frame
    labels, cadence = parameters.labels, frame.cadence_seconds
    steps = decision_steps(
        ingredients.start_step, ingredients.end_step, frame.steps_per_day, cadence, labels.training_phase_seconds
    )
    on_stride = (steps % frame.steps_per_day) * cadence % labels.decision_stride_seconds == 0
    kind: LabelKind = LABELS.get(labels.kind)(labels.parameters)
    outcomes = find_outcomes(kind, ingredients, steps)
    t0 = series.instants_us[steps]
    first_us = ingredients.blocks[0].first_us + parameters.minimum_history // timedelta(microseconds=1)
    remaining = on_stride | ingredients.training[steps]
    counts = {"candidates": int(remaining.sum())}
    for reason, refused in (
        ("before_minimum_history", t0 < first_us),
        ("mid_not_observed", ~outcomes.valid),
        ("partially_filled", too_partial(ingredients, steps)),
    ):
        counts[reason] = int((remaining & refused).sum())
        remaining &= ~refused
    assignment = assign_blocks(
        t0[remaining], outcomes.t1_us[remaining], ingredients.blocks, parameters.split.embargo_seconds
    )
    counts |= {"outside_blocks": assignment.outside, "purged": assignment.purged, "embargoed": assignment.embargoed}
    chosen = np.flatnonzero(remaining)[assignment.block != NO_BLOCK]
    block = assignment.block[assignment.block != NO_BLOCK]
    part = np.asarray([stated.part for stated in ingredients.blocks])[block]
    return _Decisions(kind, steps[chosen], outcomes.at(chosen), block, part, on_stride[chosen], counts)


def describe_blocks(index: SampleIndex, ingredients: Ingredients) -> list[dict[str, object]]:
    """Of every block: part, bounds (microseconds UTC), samples, those on the stride, n_eff = covered span / horizon.

    Also its name, empty but for degradation blocks, and whether it lies before later training (`hindsight`).
    """
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
                "name": block.name,
                "hindsight": in_hindsight(block, ingredients.blocks),
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


def _refuse_empty_parts(ingredients: Ingredients, part: NDArray[np.str_], counts: dict[str, int]) -> None:
    for block in ingredients.blocks:
        if not (part == block.part).any():
            raise DataQualityError(
                f"part {block.part!r} of {ingredients.parameters.target} has no sample between "
                f"{ingredients.days[0]} and {ingredients.days[-1]}; left out: {counts}; lengthen its block, "
                "shorten the horizon, or look for gaps in the grid"
            )
