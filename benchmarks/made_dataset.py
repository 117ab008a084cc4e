"""A dataset of seven assets at ten seconds, written as the platform writes it, with random values."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.datasets.inputs import DATASET_ASSET, GRID_ASSET
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.calendar import day_start
from trademl_assets.storage.commit import ArtifactStore, Provenance

FIRST_DAY = date(2020, 1, 1)
CADENCE_SECONDS = 10
STEPS_PER_DAY = 8640
LEVELS = 60
ASSETS = 7
LOOKBACK_STEPS = STEPS_PER_DAY
DECISION_STEPS = 180
"""Steps between decisions: half an hour."""
HORIZON_SECONDS = 1800

PROVENANCE = Provenance(code_version="1", config_fingerprint="benchmark", upstream={})


def day_after(number: int) -> date:
    """Return day `number` of the dataset."""
    return FIRST_DAY + timedelta(days=number)


def grid_day(number: int) -> dict[str, np.ndarray]:
    """Return the streams of a grid day: book (8640, 60, 28) and mask (8640, 28), float16."""
    rng = np.random.default_rng(number)
    values = rng.integers(0, 15_000, (STEPS_PER_DAY, LEVELS + 1, ASSETS * 4), dtype=np.uint16).view(np.float16)
    return {"book": np.ascontiguousarray(values[:, :-1]), "mask": np.ascontiguousarray(values[:, -1])}


def write_grid(store: ArtifactStore, number: int) -> str:
    """Write a grid day; return its content hash."""
    partition = day_after(number).isoformat()
    with store.write(GRID_ASSET, partition, schema_version=1, provenance=PROVENANCE) as writer:
        writer.arrays("arrays", grid_day(number))
    return store.require(GRID_ASSET, partition).content_hash


def stream(
    step_shape: Sequence[int], dtype: str, *, lies_in: str, lookback_steps: int = LOOKBACK_STEPS
) -> dict[str, Any]:
    """Describe a stream as a recipe does."""
    return {
        "columns": [],
        "step_shape": list(step_shape),
        "dtype": dtype,
        "lookback_steps": lookback_steps,
        "lies_in": lies_in,
        "grid_columns": None,
    }


def recipe_of(days: int, upstream: dict[str, str]) -> dict[str, Any]:
    """Return what a dataset states of itself, as far as reading asks for it."""
    return {
        "cadence_seconds": CADENCE_SECONDS,
        "days": [day_after(number).isoformat() for number in range(days)],
        "streams": {
            "book": stream([LEVELS, ASSETS * 4], "float16", lies_in=GRID_ASSET),
            "mask": stream([ASSETS * 4], "float16", lies_in=GRID_ASSET),
            "price": stream([ASSETS * 5], "float32", lies_in=DATASET_ASSET),
        },
        "scaling": {},
        "upstream": upstream,
    }


def index_of(days: int, every_steps: int) -> pl.DataFrame:
    """Return a sample index with a decision every so many steps, from the second day on."""
    steps = np.arange(STEPS_PER_DAY, days * STEPS_PER_DAY, every_steps)
    rng = np.random.default_rng(0)
    t0 = pl.Series(steps * (CADENCE_SECONDS * 1_000_000)).cast(pl.Duration("us")) + day_start(FIRST_DAY)
    return pl.DataFrame(
        {
            "sample": np.arange(len(steps)),
            "t0": t0,
            "t1": t0 + timedelta(seconds=HORIZON_SECONDS),
            "step": steps,
            "instrument": pl.repeat("ASSET0", len(steps), eager=True),
            "label": rng.integers(0, 8, len(steps), dtype=np.int64),
            "return_bps": rng.normal(0, 30, len(steps)),
            "sigma_bps": rng.uniform(10, 50, len(steps)),
            "part": pl.repeat("train", len(steps), eager=True),
            "block": np.zeros(len(steps), np.int64),
            "on_stride": np.ones(len(steps), np.bool_),
            "weight": np.ones(len(steps)),
            "regime": pl.repeat("bull", len(steps), eager=True),
            "horizon_seconds": pl.repeat(HORIZON_SECONDS, len(steps), dtype=pl.Int32, eager=True),
        }
    )


def made_dataset(store: ArtifactStore, days: int, stated: Mapping[str, Any] | None = None) -> Dataset:
    """Write grid days and a dataset over them with a decision every half hour, and open it.

    Args:
        store: Where to write.
        days: How many.
        stated: What its recipe states beyond what reading asks for.
    """
    upstream = {f"{GRID_ASSET}/{day_after(number).isoformat()}": write_grid(store, number) for number in range(days)}
    price = np.random.default_rng(1).standard_normal((days * STEPS_PER_DAY, ASSETS * 5), dtype=np.float32)
    with store.write(DATASET_ASSET, "benchmark", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("index", index_of(days, DECISION_STEPS))
        writer.arrays("streams", {"price": price})
        writer.json("recipe", recipe_of(days, upstream) | dict(stated or {}))
    return open_dataset(store, "benchmark")
