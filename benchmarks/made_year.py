"""A dataset of seven assets over a year: a few grid days, laid down again and again under other dates."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from benchmarks.made_dataset import ASSETS, PROVENANCE, STEPS_PER_DAY, day_after, index_of, recipe_of, write_grid
from benchmarks.made_network import RECIPE
from trademl_assets.datasets.inputs import DATASET_ASSET, GRID_ASSET
from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import MANIFEST_FILE

DISTINCT_DAYS = 8
VALIDATION_DAYS = 2


def write_year(store: ArtifactStore, training_days: int) -> None:
    """Write the grid: a day to look back on, then training and validation; files of a few days serve for all."""
    days = 1 + training_days + VALIDATION_DAYS
    for number in range(min(DISTINCT_DAYS, days)):
        write_grid(store, number)
    for number in range(DISTINCT_DAYS, days):
        _lay_down(store, number % DISTINCT_DAYS, number)


def write_labels(store: ArtifactStore, experiment: str, training_days: int, every_steps: int) -> None:
    """Write a dataset over the grid with a decision every so many steps, training first, then validation."""
    days = 1 + training_days + VALIDATION_DAYS
    names = [day_after(number).isoformat() for number in range(days)]
    upstream = {f"{GRID_ASSET}/{name}": store.require(GRID_ASSET, name).content_hash for name in names}
    turn = 1 + training_days
    index = index_of(days, every_steps).with_columns(
        part=pl.when(pl.col("step") < turn * STEPS_PER_DAY).then(pl.lit("train")).otherwise(pl.lit("validation")),
        block=(pl.col("step") >= turn * STEPS_PER_DAY).cast(pl.Int64),
    )
    price = np.random.default_rng(1).standard_normal((days * STEPS_PER_DAY, ASSETS * 5), dtype=np.float32)
    with store.write(DATASET_ASSET, experiment, schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("index", index)
        writer.arrays("streams", {"price": price})
        writer.json("recipe", recipe_of(days, upstream) | RECIPE | {"blocks": _blocks(turn, days)})


def _blocks(turn: int, days: int) -> list[dict[str, Any]]:
    edges = [to_microseconds(day_start(day_after(number))) for number in (0, turn, days)]
    parts = zip(("train", "validation"), edges[:-1], edges[1:], strict=True)
    return [{"part": part, "first_us": first, "last_us": last} for part, first, last in parts]


def _lay_down(store: ArtifactStore, source: int, number: int) -> None:
    """Give a written grid day another date as well, without writing its numbers again."""
    written, day = store.require(GRID_ASSET, day_after(source).isoformat()), day_after(number).isoformat()
    target = store.layout.partition_folder(GRID_ASSET, day)
    target.mkdir()
    for entry in written.files.values():
        os.link(store.layout.partition_folder(GRID_ASSET, written.partition) / entry.file, target / entry.file)
    (target / MANIFEST_FILE).write_text(replace(written, partition=day).to_json())
