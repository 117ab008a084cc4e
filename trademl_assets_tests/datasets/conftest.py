"""A tiny planted grid written through the store: four days at 60 s, three instruments, gaps and filled mids."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import SCHEMA_VERSION, DatasetParts, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.series import GridFrame
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets_tests.datasets.examples import DAYS, FIRST, parameters_of, stated

LEVELS = 5
FRAME = GridFrame(cadence_seconds=60, max_gap_seconds=300, instruments=("LEAD", "EXTRA", "FOLLOW"))
PROVENANCE = Provenance(code_version="1", config_fingerprint="f", upstream={})
OBSERVED, FILLED, MISSING = 0, 1, 2


def grid_day(day: date, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, day.toordinal()])
    steps, assets = FRAME.steps_per_day, len(FRAME.instruments)
    mid = 100.0 * np.exp(np.cumsum(rng.normal(0, 3e-4, (steps, assets)), axis=0))
    state = np.zeros((steps, assets), np.uint8)
    state[200:203] = FILLED
    state[500:540, 2] = MISSING
    mid[200:203] = mid[199]
    mid[500:540, 2] = np.nan
    age = rng.uniform(0, 0.5, (steps, assets))
    age[200:203] = [[60.0], [120.0], [180.0]]
    mask = np.zeros((steps, assets, 4), np.float16)
    mask[..., :3] = np.eye(3)[state]
    mask[..., 3] = age / FRAME.max_gap_seconds
    price = np.zeros((steps, assets, 4), np.float32)
    price[..., 2:] = rng.exponential(1.0, (steps, assets, 2))
    book = rng.normal(2.0, 1.0, (steps, LEVELS, assets, 4)).astype(np.float16)
    return {
        "book": book.reshape(steps, LEVELS, -1),
        "price": price.reshape(steps, -1),
        "mask": mask.reshape(steps, -1),
        "mid": mid,
        "state": state,
        "usable": (state != MISSING).all(axis=1).astype(np.uint8),
    }


def write_grid_day(store: ArtifactStore, day: date, seed: int = 0) -> None:
    with store.write("aligned_grid", day.isoformat(), schema_version=1, provenance=PROVENANCE) as writer:
        writer.arrays("arrays", grid_day(day, seed))
        writer.rows(FRAME.steps_per_day)


def write_daily_facts(store: ArtifactStore, day: date) -> None:
    rng = np.random.default_rng(day.toordinal())
    names = ("mean_bps", "std_bps", "skew", "kurtosis", "volume", "volatility_bps", "close")
    table = pl.DataFrame({"day": [day] * 3, "instrument": list(FRAME.instruments)}).with_columns(
        *(pl.Series(name, rng.exponential(1.0, 3)) for name in names), steps=pl.lit(1440, pl.Int64)
    )
    with store.write("daily_aggregates", day.isoformat(), schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", table)
        writer.rows(3)
    regime = ("bull", "bear", "sideways", "high_volatility")[day.toordinal() % 4]
    with store.write("market_regime", day.isoformat(), schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", pl.DataFrame({"day": [day], "regime": [regime]}))
        writer.rows(1)


@pytest.fixture(scope="session")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """Four grid days and seven days of daily facts; read-only by agreement."""
    return make_store(tmp_path_factory.mktemp("store"))


def make_store(root: Path) -> ArtifactStore:
    store = ArtifactStore.at(root)
    for number in range(DAYS):
        write_grid_day(store, FIRST + timedelta(days=number))
    for number in range(-3, DAYS):
        write_daily_facts(store, FIRST + timedelta(days=number))
    return store


@pytest.fixture
def parameters() -> DatasetParameters:
    return parameters_of(stated())


def write_experiment(store: ArtifactStore, experiment: str, parameters: DatasetParameters) -> DatasetParts:
    parts = build_dataset(store, parameters, FRAME)
    provenance = Provenance(code_version="1", config_fingerprint=parameters.fingerprint(), upstream=parts.upstream)
    with store.write("dataset", experiment, schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
        write_dataset(writer, parts)
    return parts


@pytest.fixture(scope="session")
def example_parts(filled_store: ArtifactStore) -> DatasetParts:
    """The example dataset, also written as experiment `example`."""
    return write_experiment(filled_store, "example", parameters_of(stated()))
