"""Candles written through the store, and the parameters of a dataset on them, as YAML would give them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from trademl_assets.datasets.build import SCHEMA_VERSION, DatasetParts, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.series import GridFrame
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets_tests.candles.made_bars import at, walk
from trademl_assets_tests.datasets.conftest import PROVENANCE
from trademl_assets_tests.datasets.examples import stated

NAMES = ("ONE", "TWO")
FRAME = GridFrame(cadence_seconds=60, max_gap_seconds=180, instruments=NAMES)
DAY = date(2024, 3, 4)


def write_candles(store: ArtifactStore, tables: dict[str, pl.DataFrame]) -> None:
    """Write every month of every instrument; a month that one of them has is there for all."""
    months = sorted({month for table in tables.values() for month in table["ts"].dt.strftime("%Y-%m").unique()})
    for name, table in tables.items():
        for month in months:
            rows = table.filter(pl.col("ts").dt.strftime("%Y-%m") == month)
            with store.write("candles", f"{month}|{name}", schema_version=1, provenance=PROVENANCE) as writer:
                writer.table("data", rows)
                writer.rows(rows.height)


def candle_values(**changes: Any) -> dict[str, Any]:
    """A dataset of ONE and TWO over three days."""
    bars = {"kind": "bars", "lookback": "PT50M", "parameters": {"reference_volumes": dict.fromkeys(NAMES, 10.0)}}
    example = stated()
    return {
        **example,
        "series_from": "candles",
        "target": "ONE",
        "pooled_with": [],
        "instruments": list(NAMES),
        "first_day": DAY.isoformat(),
        "last_day": (DAY + timedelta(days=2)).isoformat(),
        "labels": {**example["labels"], "horizons_seconds": [600], "max_mid_age_seconds": 0.0},
        "split": {
            **example["split"],
            "blocks": [
                {"part": "train", "length": "P2D"},
                {"part": "validation", "length": "PT6H"},
                {"part": "calibration", "length": "PT6H"},
                {"part": "test", "length": "PT12H"},
            ],
        },
        "streams": {
            "book": None,
            "price": {"lookback": "PT50M"},
            "mask": {"lookback": "PT50M"},
            "clock": {"lookback": "PT50M", "columns": ["hour", "rolling_volatility"], "encoding": "cyclical"},
            "long_term": None,
            "additional": {"bars": bars},
        },
        **changes,
    }


def three_days() -> dict[str, pl.DataFrame]:
    """Bars of both instruments that end on the days; ONE lacks an hour of the second day, TWO two minutes of it."""
    first = at("2024-03-03T23:59:00")
    one, two = (walk(first, 3 * 1440, seed) for seed in (1, 2))
    noon = 1440 + 720
    return {
        "ONE": one.filter(~pl.int_range(pl.len()).is_between(noon, noon + 59)),
        "TWO": two[:noon].vstack(two[noon + 2 :]),
    }


def made_store(root: Path) -> ArtifactStore:
    store = ArtifactStore.at(root)
    write_candles(store, three_days())
    return store


def write_experiment(
    store: ArtifactStore, experiment: str, parameters: DatasetParameters, frame: GridFrame = FRAME
) -> DatasetParts:
    parts = build_dataset(store, parameters, frame)
    provenance = Provenance(code_version="1", config_fingerprint=parameters.fingerprint(), upstream=parts.upstream)
    with store.write("dataset", experiment, schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
        write_dataset(writer, parts)
    return parts
