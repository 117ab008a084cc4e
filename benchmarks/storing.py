"""A symbol-day on disk: checked snapshots committed with a manifest, against a dense cube in a compressed npz."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.market import planted_days
from benchmarks.measure import OURS, Benchmark
from trademl_assets.order_book.compression import compress_day
from trademl_assets.order_book.quality import clean_tall_rows
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance

COLUMNS = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
ASSET, PARTITION = "book_snapshots", "day"


def benchmark(folder: Path) -> Benchmark:
    """Make a day of clean tall rows in a Parquet file, and the two ways to keep it."""
    planted = planted_days()
    market, limits = planted.configuration.market, planted.configuration.order_book
    instrument = market.instruments[1]
    tall, _ = clean_tall_rows(
        planted.source.extract(instrument, planted.day, 0), instrument.name, planted.day, limits.quality
    )
    path, npz = folder / "tall.parquet", folder / "cube.npz"
    tall.write_parquet(path)
    store = ArtifactStore.at(folder / "store")

    def commit() -> pl.DataFrame:
        compressed = compress_day(pl.read_parquet(path), instrument, planted.day, limits.compression, None)
        provenance = Provenance(code_version="1", config_fingerprint="", upstream={})
        with store.write(ASSET, PARTITION, schema_version=1, provenance=provenance) as writer:
            writer.table("data", compressed.snapshots)
            writer.rows(compressed.snapshots.height)
        return store.read_table(ASSET, PARTITION)

    near = limits.compression.near_market_levels
    return Benchmark(
        name="store_day",
        contenders={OURS: commit, "cube_savez_compressed": lambda: save_cube(path, npz)},
        promises={"cube_savez_compressed": 0.125},
        agree=lambda results: agree(results, near),
        rounds=5,
    )


def save_cube(path: Path, npz: Path) -> np.ndarray:
    """(snapshots, levels, 4) float64: group by instant, reshape, fill what is missing with zeros, save compressed."""
    tall = pd.read_parquet(path)
    instants, row = np.unique(tall["ts"].to_numpy(), return_inverse=True)
    level = tall["level"].to_numpy()
    cube = np.zeros((len(instants), int(level.max()) + 1, len(COLUMNS)))
    cube[row, level] = np.nan_to_num(tall[list(COLUMNS)].to_numpy())
    np.savez_compressed(npz, ts=instants, book=cube)
    return cube


def agree(results: Mapping[str, Any], near: int) -> None:
    """Compare the quantities of the near levels; the cube does not tell a missing level from an empty one."""
    snapshots, cube = results[OURS], results["cube_savez_compressed"]
    for position, name in ((1, "bid_quantity"), (3, "ask_quantity")):
        mine = np.nan_to_num(snapshots[name].to_numpy()[:, :near])
        np.testing.assert_allclose(mine, cube[:, :near, position], rtol=1e-6, err_msg=name)
