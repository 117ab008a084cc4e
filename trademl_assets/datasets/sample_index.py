"""The sample index: a row for every decision, target and horizon that has a valid label inside its block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import (
    EdgeUnit,
    LabelKind,
    Outcomes,
    find_boundaries,
    find_classes,
    find_outcomes,
)
from trademl_assets.datasets.labels import decision_steps, horizon_sigma
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.partial_steps import too_partial
from trademl_assets.datasets.splits import NO_BLOCK, assign_blocks
from trademl_assets.datasets.uniqueness import mean_uniqueness
from trademl_assets.datasets.weights import TrainingLabels, training_weights
from trademl_assets.foundation.errors import ConfigError, DataQualityError

INSTANT = pl.Datetime("us", "UTC")
Floats = NDArray[np.float64]
Edges = Mapping[str, Mapping[int, Floats]]
"""Class edges by target and by horizon in seconds."""


@dataclass(frozen=True)
class SampleIndex:
    """The index table, the classes it was labelled with, and what was left out.

    Attributes:
        table: one row a decision, target and horizon, in time order, targets and horizons in their stated order.
        edges: by target and horizon in seconds, (C - 1,) class edges in `edge_unit`; empty where that is none.
        edge_unit: what the edges cut.
        names: of the C classes, by target and horizon, as many for all; none: `label` is null.
        counts: rows left out, by reason.
    """

    table: pl.DataFrame
    edges: Edges
    edge_unit: EdgeUnit
    names: Mapping[str, Mapping[int, tuple[str, ...]]]
    counts: dict[str, int]

    @property
    def targets(self) -> tuple[str, ...]:
        """Labelled instruments, the primary one first."""
        return tuple(self.edges)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in seconds, the primary one first."""
        return tuple(self.edges[self.targets[0]])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the primary target over the primary horizon."""
        return self.names[self.targets[0]][self.horizons[0]]

    @property
    def primary(self) -> pl.DataFrame:
        """The rows of the primary horizon, of all targets."""
        return of_horizon(self.table, self.horizons[0])


def of_horizon(index: pl.DataFrame, horizon_seconds: int) -> pl.DataFrame:
    """The rows of one horizon of an index."""
    return index.filter(pl.col("horizon_seconds") == horizon_seconds)


def of_target(index: pl.DataFrame, instrument: str) -> pl.DataFrame:
    """The rows of one labelled instrument of an index."""
    return index.filter(pl.col("instrument") == instrument)


def make_index(ingredients: Ingredients, given: Edges | None = None) -> SampleIndex:
    """Place decisions, label them of every target over every horizon, assign each label to its block, weigh it.

    Columns: sample, t0, t1, step, instrument, horizon_seconds, label (class; null where there are none), return_bps,
    sigma_bps (trailing short sigma times the root of the horizon's steps), part, block, on_stride, uniqueness (of a
    training label among those of its target and horizon, otherwise 1), weight (mean one over the training labels of a
    horizon, of all targets), regime (of the previous day).

    Args:
        ingredients: what it is made from.
        given: class edges of every target and horizon; None sets them from the training decisions.

    Raises:
        ConfigError: horizons or targets make different numbers of classes.
        DataQualityError: a part of the split is left without a sample of a target.
    """
    stated, kind = ingredients.parameters, ingredients.parameters.labels.build()
    edges: dict[str, dict[int, Floats]] = {target: {} for target in stated.targets}
    tables, counts = [], []
    for target, horizon in product(stated.targets, stated.labels.horizons_seconds):
        labelled = ingredients.labelling(target)
        decided = _decide(labelled, kind, horizon)
        _refuse_empty_parts(labelled, horizon, decided)
        edges[target][horizon] = decided.fit_edges(kind, target) if given is None else given[target][horizon]
        tables.append(_tabulate(labelled, kind, horizon, decided, edges[target][horizon]))
        counts.append(decided.counts)
    names = {
        target: {horizon: kind.class_names(each) for horizon, each in cut.items()} for target, cut in edges.items()
    }
    different = {each for of_horizons in names.values() for each in of_horizons.values()}
    if len({len(each) for each in different}) > 1:
        raise ConfigError(
            f"label kind {type(kind).__name__} makes classes {sorted(different)} for its horizons and targets -> as "
            "many each"
        )
    table = _weigh(pl.concat(tables), stated)
    if len(tables) > 1:
        table = table.sort("t0", maintain_order=True)
    table = table.with_columns(sample=pl.int_range(pl.len(), dtype=pl.Int64))
    return SampleIndex(table, edges, kind.edge_unit, names, _add_counts(counts))


def class_edges(ingredients: Ingredients) -> dict[str, Any]:
    """Class edges as a recipe states them, also where a part other than training is left without a sample."""
    stated, kind = ingredients.parameters, ingredients.parameters.labels.build()
    edges = {
        target: {
            horizon: _decide(ingredients.labelling(target), kind, horizon).fit_edges(kind, target)
            for horizon in stated.labels.horizons_seconds
        }
        for target in stated.targets
    }
    return state_edges(edges, kind.edge_unit)


def state_edges(edges: Edges, edge_unit: EdgeUnit) -> dict[str, Any]:
    """Recipe entries: `class_edges` by target and horizon; `boundaries_bps`, the primary ones where they are bps."""
    stated = {target: {str(horizon): each.tolist() for horizon, each in cut.items()} for target, cut in edges.items()}
    primary = next(iter(next(iter(stated.values())).values()))
    return {"boundaries_bps": primary if edge_unit == "return_bps" else None, "class_edges": stated}


def stated_edges(recipe: Mapping[str, Any]) -> dict[str, dict[int, Floats]]:
    """The class edges that a recipe states, by target and horizon; of the primary ones those that models read."""
    edges = {
        target: {int(horizon): np.asarray(each, dtype=np.float64) for horizon, each in cut.items()}
        for target, cut in recipe["class_edges"].items()
    }
    if recipe["boundaries_bps"] is not None:
        primary = int(recipe["labels"]["horizons_seconds"][0])
        edges[recipe["target"]][primary] = np.asarray(recipe["boundaries_bps"], dtype=np.float64)
    return edges


@dataclass(frozen=True)
class _Decisions:
    """The n decisions that become samples of a horizon, and what was left out, counted by reason."""

    steps: NDArray[np.int64]
    outcomes: Outcomes
    block: NDArray[np.int16]
    part: NDArray[np.str_]
    on_stride: NDArray[np.bool_]
    counts: dict[str, int]

    @property
    def training(self) -> NDArray[np.bool_]:
        return np.asarray(self.part == "train")

    def fit_edges(self, kind: LabelKind, instrument: str) -> Floats:
        return find_boundaries(kind, self.outcomes.at(self.training & self.on_stride), instrument)


def _decide(ingredients: Ingredients, kind: LabelKind, horizon_seconds: int) -> _Decisions:
    parameters, series = ingredients.parameters, ingredients.series
    steps, on_stride = _candidates(ingredients)
    outcomes = find_outcomes(kind, ingredients, steps, horizon_seconds)
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
    return _Decisions(steps[chosen], outcomes.at(chosen), block, part, on_stride[chosen], counts)


def _candidates(ingredients: Ingredients) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n,) steps at which decisions may fall, and whether they are on the stride of all parts."""
    frame, labels = ingredients.frame, ingredients.parameters.labels
    every, stride = (
        decision_steps(
            ingredients.start_step,
            ingredients.end_step,
            frame.steps_per_day,
            frame.cadence_seconds,
            every_seconds=seconds,
            phase_seconds=labels.decision_phase_seconds,
        )
        for seconds in (labels.training_phase_seconds, labels.decision_stride_seconds)
    )
    return every, np.isin(every, stride, assume_unique=True)


def _tabulate(
    ingredients: Ingredients, kind: LabelKind, horizon_seconds: int, decided: _Decisions, edges: Floats
) -> pl.DataFrame:
    steps, outcomes, training = decided.steps, decided.outcomes, decided.training
    t0 = ingredients.series.instants_us[steps]
    classes = find_classes(kind, outcomes, edges) if kind.class_names(edges) else None
    uniqueness = np.ones(len(steps))
    uniqueness[training] = mean_uniqueness(t0[training], outcomes.t1_us[training])
    regimes = np.asarray(ingredients.clock_inputs().previous_regime, dtype=object)
    label = pl.repeat(None, len(steps), dtype=pl.Int8, eager=True) if classes is None else pl.Series(classes)
    return pl.DataFrame(
        {
            "sample": np.arange(len(steps), dtype=np.int64),
            "t0": pl.Series(t0).cast(INSTANT),
            "t1": pl.Series(outcomes.t1_us).cast(INSTANT),
            "step": steps,
            "instrument": pl.repeat(ingredients.labelled, len(steps), dtype=pl.String, eager=True),
            "horizon_seconds": pl.repeat(horizon_seconds, len(steps), dtype=pl.Int32, eager=True),
            "label": label,
            "return_bps": outcomes.return_bps,
            "sigma_bps": horizon_sigma(ingredients, steps, horizon_seconds),
            "part": pl.Series(decided.part.tolist(), dtype=pl.String),
            "block": decided.block,
            "on_stride": decided.on_stride,
            "uniqueness": uniqueness,
            "regime": pl.Series(regimes[steps // ingredients.frame.steps_per_day].tolist(), dtype=pl.String),
        }
    )


def _weigh(table: pl.DataFrame, parameters: DatasetParameters) -> pl.DataFrame:
    """Weigh the training labels of each horizon, those of all targets together."""
    weight, training = np.ones(table.height), (table["part"] == "train").to_numpy()
    for horizon in parameters.labels.horizons_seconds:
        rows = np.flatnonzero(training & (table["horizon_seconds"] == horizon).to_numpy())
        chosen = table[rows]
        classes = None if chosen["label"].null_count() else chosen["label"].to_numpy()
        learnt = TrainingLabels(chosen["t0"].to_physical().to_numpy(), classes, chosen["uniqueness"].to_numpy())
        weight[rows] = training_weights(learnt, parameters.weights.parts)
    weights = pl.Series("weight", weight.astype(np.float32))
    table = table.with_columns(pl.col("uniqueness").cast(pl.Float32))
    return table.insert_column(table.get_column_index("regime"), weights)


def _add_counts(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {reason: sum(each[reason] for each in counts) for reason in counts[0]}


def _refuse_empty_parts(ingredients: Ingredients, horizon_seconds: int, decided: _Decisions) -> None:
    for block in ingredients.blocks:
        if not (decided.part == block.part).any():
            raise DataQualityError(
                f"part {block.part!r} of {ingredients.labelled} has no sample of {horizon_seconds} s between "
                f"{ingredients.days[0]} and {ingredients.days[-1]}; left out: {decided.counts}; lengthen its block, "
                "shorten the horizon, or look for gaps in the grid"
            )
