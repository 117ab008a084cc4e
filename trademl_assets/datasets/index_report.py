"""What a recipe says about its sample index: blocks, horizons, classes and how well they are supported."""

from itertools import product
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.sample_index import SampleIndex, of_horizon, of_target, state_edges
from trademl_assets.datasets.splits import Block, effective_samples, in_hindsight
from trademl_assets.grid.gaps import OBSERVED


def describe_labels(index: SampleIndex) -> dict[str, Any]:
    """Recipe entries about what is labelled, and its classes.

    `target` (the primary one), `targets`; `classes` (their number), `class_names`, `edge_unit`; `boundaries_bps` (null
    where classes are no intervals of the return in bps) and `class_edges` of every target and horizon in that unit;
    `class_distribution` over the primary horizon; `horizons`: of each its samples and distribution, all targets
    together; `by_target`: of each target the same with the names of its classes, and its independent labels of every
    part.
    """
    horizons = _describe_horizons(index.table, index)
    return {
        "target": index.targets[0],
        "targets": list(index.targets),
        "classes": len(index.class_names),
        "class_names": list(index.class_names),
        "edge_unit": index.edge_unit,
        **state_edges(index.edges, index.edge_unit),
        "class_distribution": horizons[0]["class_distribution"],
        "horizons": horizons,
        "by_target": [_describe_target(index, target) for target in index.targets],
    }


def _describe_target(index: SampleIndex, target: str) -> dict[str, Any]:
    rows = of_target(index.table, target)
    primary = of_horizon(rows, index.horizons[0]).filter("on_stride")
    effective: dict[str, float] = {}
    for (part, _), in_block in primary.group_by("part", "block", maintain_order=True):
        effective[str(part)] = effective.get(str(part), 0.0) + _effective(in_block)
    horizons = [
        each | {"class_names": list(index.names[target][each["horizon_seconds"]])}
        for each in _describe_horizons(rows, index)
    ]
    return {"instrument": target, "effective_samples": effective, "horizons": horizons}


def _describe_horizons(rows: pl.DataFrame, index: SampleIndex) -> list[dict[str, Any]]:
    return [
        {
            "horizon_seconds": horizon,
            "samples": _by_part(of_horizon(rows, horizon)),
            "class_distribution": class_distribution(of_horizon(rows, horizon), len(index.class_names)),
        }
        for horizon in index.horizons
    ]


def describe_blocks(index: SampleIndex, ingredients: Ingredients) -> list[dict[str, object]]:
    """Of every block: part, bounds (microseconds UTC), samples, those on the stride, n_eff = covered span / horizon.

    Also its name, empty but for degradation blocks, whether it lies before later training (`hindsight`), and the share
    of its steps at which the targets were observed (`coverage`). Samples are those of the primary horizon, of all
    targets. Labels of several targets at the same time count once in n_eff: prices move together.
    """
    described: list[dict[str, object]] = []
    for number, block in enumerate(ingredients.blocks):
        rows = index.primary.filter(pl.col("block") == number)
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
                "coverage": _coverage(ingredients, block),
            }
        )
    return described


def _coverage(ingredients: Ingredients, block: Block) -> float:
    """Share of a block's steps at which a target was observed, the mean over the targets."""
    first, last = np.searchsorted(ingredients.series.instants_us, (block.first_us, block.last_us))
    columns = [ingredients.labelling(target).target_position for target in ingredients.parameters.targets]
    return float((ingredients.series.state[first:last, columns] == OBSERVED).mean())


def class_distribution(rows: pl.DataFrame, classes: int) -> dict[str, list[int]]:
    """Part -> number of on-stride samples of each class; empty lists where there are no classes."""
    rows = rows.filter(pl.col("on_stride"))
    return {
        str(part): np.bincount(
            rows.filter(pl.col("part") == part)["label"].drop_nulls().to_numpy(), minlength=classes
        ).tolist()
        for part in rows["part"].unique(maintain_order=True)
    }


def support_warnings(index: SampleIndex, minimum: int) -> list[str]:
    """One sentence for every class, target and horizon with fewer than `minimum` training samples."""
    warnings = []
    for target, horizon in product(index.targets, index.horizons):
        of_whom = f" of {target}" if len(index.targets) > 1 else ""
        over = f" over {horizon} s" if len(index.horizons) > 1 else ""
        rows = of_horizon(of_target(index.table, target), horizon)
        warnings += [
            f"class {number} ({index.names[target][horizon][number]}){of_whom} has {support} training samples on the "
            f"decision stride{over}, fewer than {minimum}"
            for number, support in enumerate(class_distribution(rows, len(index.class_names))["train"])
            if support < minimum
        ]
    return warnings


def _by_part(rows: pl.DataFrame) -> dict[str, int]:
    counted = rows.filter("on_stride").group_by("part", maintain_order=True).len()
    return {str(part): int(count) for part, count in counted.iter_rows()}


def _effective(rows: pl.DataFrame) -> float:
    return effective_samples(rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())
