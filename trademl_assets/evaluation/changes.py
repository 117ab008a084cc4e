"""What changed between two evaluations: scores on the decisions that both made, configuration, data, code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.evaluation.bootstrap import bootstrap_metrics
from trademl_assets.evaluation.report_sections import METRICS
from trademl_assets.evaluation.resampling import Resampling
from trademl_assets.evaluation.skill import measure_dependence
from trademl_assets.evaluation.versions import EvaluationVersion
from trademl_assets.scoring import metrics
from trademl_assets.scoring.predictions import class_columns

PLACE = ("t0", "instrument")
_BOUNDLESS = ("mce", "mce_equal_mass")
"""Metrics whose resampled differences say nothing: a maximum over bins."""


@dataclass(frozen=True)
class MetricChange:
    """A metric of both on the decisions that both made: after minus before, its paired interval where there is one."""

    metric: str
    title: str
    before: float
    after: float
    difference: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class KeyChange:
    """A configured key and its values; None where one of them has no such key."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class AssetChange:
    """Partitions of an upstream asset that one has with another content, or that only one has; their keys."""

    asset: str
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """What changed from one evaluation to another.

    Attributes:
        before: Name of the first.
        after: Name of the second.
        verdicts: Of both.
        metrics: Changes of the scores; without decisions in common those of each on its own.
        pairing: On which decisions, and why not paired where they are not.
        confidence: Of the intervals.
        configuration: Keys that differ.
        upstream: Assets of which partitions differ.
        code: Asset -> code versions of both.
    """

    before: str
    after: str
    verdicts: tuple[str, str]
    metrics: tuple[MetricChange, ...]
    pairing: str
    confidence: float
    configuration: tuple[KeyChange, ...]
    upstream: tuple[AssetChange, ...]
    code: Mapping[str, tuple[str, str]]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    def metric(self, name: str) -> MetricChange:
        """Return the change of a metric."""
        return next(each for each in self.metrics if each.metric == name)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing that an evaluation follows from differs."""
        return not (self.configuration or self.upstream or self.code)


def compare_versions(before: EvaluationVersion, after: EvaluationVersion, resampling: Resampling) -> Changes:
    """Say what changed from one evaluation to another.

    The same blocks of the decisions that both made are drawn for both, so that what the market did cancels in the
    difference.

    Args:
        before: The first.
        after: The second.
        resampling: Sizes of the block bootstrap.
    """
    found, pairing = _scores(before, after, resampling)
    return Changes(
        before=before.name,
        after=after.name,
        verdicts=(before.judgement.verdict, after.judgement.verdict),
        metrics=found,
        pairing=pairing,
        confidence=resampling.confidence,
        configuration=_changed_keys(before.configuration, after.configuration),
        upstream=_changed_upstream(_own_names_left_out(before), _own_names_left_out(after)),
        code=_changed_code(before.chain, after.chain),
    )


def _scores(
    before: EvaluationVersion, after: EvaluationVersion, resampling: Resampling
) -> tuple[tuple[MetricChange, ...], str]:
    """Changes of the metrics, and on which decisions."""
    different = _other_labels(before, after)
    if different:
        return _unpaired(before, after), f"not paired: {different}; each is scored on its own test part"
    joined = before.decisions.join(after.decisions, on=PLACE, how="inner", suffix="_of_after").sort(*PLACE)
    shared = joined.filter(pl.col("label") == pl.col("label_of_after"))
    if shared.is_empty():
        return _unpaired(before, after), "not paired: no decision in common; each is scored on its own test part"
    counts = (before.decisions.height, after.decisions.height)
    pairing = f"{shared.height} decisions that both made, of {counts[0]} before and {counts[1]} after"
    if joined.height > shared.height:
        pairing += f"; {joined.height - shared.height} left out whose label changed"
    return _paired(shared, before, resampling), pairing


def _other_labels(before: EvaluationVersion, after: EvaluationVersion) -> str:
    """Why the labels of two evaluations cannot be compared, empty where they can."""
    if before.horizon_seconds != after.horizon_seconds:
        return f"the horizon was {before.horizon_seconds} s and is {after.horizon_seconds} s"
    names = [version.judgement.class_names for version in (before, after)]
    if names[0] != names[1]:
        return f"the classes were {', '.join(names[0])} and are {', '.join(names[1])}"
    return ""


def _unpaired(before: EvaluationVersion, after: EvaluationVersion) -> tuple[MetricChange, ...]:
    first, second = before.judgement.test.after, after.judgement.test.after
    return tuple(
        MetricChange(name, title, first[name], second[name], second[name] - first[name], None, None)
        for name, title in METRICS.items()
        if name in first and name in second
    )


def _paired(shared: pl.DataFrame, version: EvaluationVersion, resampling: Resampling) -> tuple[MetricChange, ...]:
    classes = len(version.judgement.class_names)
    sides = (
        class_columns(shared.select(f"after_{number}" for number in range(classes)), "after"),
        np.stack([shared[f"after_{number}_of_after"].to_numpy() for number in range(classes)], axis=1),
    )
    labels = shared["label"].to_numpy().astype(np.int64)
    spans = (shared["t0"].to_physical().to_numpy(), shared["t1"].to_physical().to_numpy())
    dependence = measure_dependence(*spans, resampling.block_horizons, resampling.minimum_block)
    values = [metrics.evaluate(side, labels, boundaries_bps=version.boundaries_bps) for side in sides]
    drawn = [
        bootstrap_metrics(
            side,
            labels,
            dependence.block_samples,
            replicates=resampling.replicates,
            seed=resampling.seed,
            boundaries_bps=version.boundaries_bps,
        )
        for side in sides
    ]
    found = []
    for name, title in METRICS.items():
        if name not in values[0] or name not in values[1]:
            continue
        first, second = (each[name] for each in values)
        low, high = None, None
        if name in drawn[0] and name in drawn[1] and name not in _BOUNDLESS:
            low, high = resampling.interval(drawn[1][name] - drawn[0][name])
        found.append(MetricChange(name, title, first, second, second - first, low, high))
    return tuple(found)


def _changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[KeyChange, ...]:
    keys = sorted({*before, *after})
    return tuple(KeyChange(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key))


def _own_names_left_out(version: EvaluationVersion) -> pl.DataFrame:
    """The chain of a version with its experiment and model called so, so that two models can be compared.

    An ablation stands on the search of another model of its experiment.
    """
    experiment, place = version.key.split("|")[0], pl.col("partition")
    of_model = pl.when(place.str.starts_with(f"{experiment}|")).then(pl.lit("model")).otherwise(place)
    called = pl.when(place == experiment).then(pl.lit("experiment")).otherwise(of_model)
    return version.chain.with_columns(called.alias("partition"))


def _changed_upstream(before: pl.DataFrame, after: pl.DataFrame) -> tuple[AssetChange, ...]:
    joined = before.join(after, on=["asset", "partition"], how="full", coalesce=True, suffix="_of_after")
    first, second = pl.col("content_hash"), pl.col("content_hash_of_after")
    state = pl.when(first.is_null()).then(pl.lit("added")).when(second.is_null()).then(pl.lit("removed"))
    state = state.when(first != second).then(pl.lit("changed"))
    rows = joined.with_columns(state=state).drop_nulls("state").sort("asset", "partition")
    found: dict[str, dict[str, list[str]]] = {}
    for asset, partition, how in rows.select("asset", "partition", "state").iter_rows():
        found.setdefault(asset, {"changed": [], "added": [], "removed": []})[how].append(partition)
    return tuple(AssetChange(asset, *map(tuple, states.values())) for asset, states in found.items())


def _changed_code(before: pl.DataFrame, after: pl.DataFrame) -> dict[str, tuple[str, str]]:
    versions = [_code_versions(chain) for chain in (before, after)]
    return {
        asset: (versions[0][asset], versions[1][asset])
        for asset in sorted({*versions[0]} & {*versions[1]})
        if versions[0][asset] != versions[1][asset]
    }


def _code_versions(chain: pl.DataFrame) -> dict[str, str]:
    grouped = chain.drop_nulls("code_version").group_by("asset").agg(pl.col("code_version").unique().sort())
    return {asset: ", ".join(versions) for asset, versions in grouped.iter_rows()}
