"""What a recipe says about its sample index: blocks, horizons, classes and how well they are supported."""

from typing import Any

import numpy as np
import polars as pl

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.sample_index import SampleIndex, of_horizon, state_edges
from trademl_assets.datasets.splits import effective_samples, in_hindsight


def describe_labels(index: SampleIndex) -> dict[str, Any]:
    """Recipe entries about classes.

    `classes` (their number), `class_names`, `edge_unit`; `boundaries_bps` (null where classes are no intervals of the
    return in bps) and `class_edges` of every horizon in that unit; `class_distribution` over the primary horizon;
    `horizons`: of each its samples and distribution.
    """
    distributions = {horizon: class_distribution(index, horizon) for horizon in index.horizons}
    return {
        "classes": len(index.class_names),
        "class_names": list(index.class_names),
        "edge_unit": index.edge_unit,
        **state_edges(index.edges, index.edge_unit),
        "class_distribution": distributions[index.horizons[0]],
        "horizons": [
            {
                "horizon_seconds": horizon,
                "samples": _by_part(of_horizon(index.table, horizon)),
                "class_distribution": distributions[horizon],
            }
            for horizon in index.horizons
        ],
    }


def describe_blocks(index: SampleIndex, ingredients: Ingredients) -> list[dict[str, object]]:
    """Of every block: part, bounds (microseconds UTC), samples, those on the stride, n_eff = covered span / horizon.

    Also its name, empty but for degradation blocks, and whether it lies before later training (`hindsight`). Samples
    are those of the primary horizon.
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
            }
        )
    return described


def class_distribution(index: SampleIndex, horizon_seconds: int) -> dict[str, list[int]]:
    """Part -> number of on-stride samples of each class, over a horizon; empty lists where there are no classes."""
    rows = of_horizon(index.table, horizon_seconds).filter(pl.col("on_stride"))
    classes = len(index.class_names)
    return {
        str(part): np.bincount(
            rows.filter(pl.col("part") == part)["label"].drop_nulls().to_numpy(), minlength=classes
        ).tolist()
        for part in rows["part"].unique(maintain_order=True)
    }


def support_warnings(index: SampleIndex, minimum: int) -> list[str]:
    """One sentence for every class and horizon with fewer than `minimum` training samples."""
    warnings = []
    for horizon in index.horizons:
        over = f" over {horizon} s" if len(index.horizons) > 1 else ""
        warnings += [
            f"class {number} ({index.class_names[number]}) has {support} training samples on the decision "
            f"stride{over}, fewer than {minimum}"
            for number, support in enumerate(class_distribution(index, horizon)["train"])
            if support < minimum
        ]
    return warnings


def _by_part(rows: pl.DataFrame) -> dict[str, int]:
    counted = rows.filter("on_stride").group_by("part", maintain_order=True).len()
    return {str(part): int(count) for part, count in counted.iter_rows()}


def _effective(rows: pl.DataFrame) -> float:
    return effective_samples(rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())
