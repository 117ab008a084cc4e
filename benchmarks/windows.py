"""A window of 24 hours across midnight, gathered from two mapped grid days."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.market import planted_days
from benchmarks.measure import OURS, Benchmark
from trademl_assets.datasets.windows import Dataset
from trademl_assets.grid.alignment import align_assets
from trademl_assets.storage.commit import ArtifactStore, Provenance

GRID_ASSET = "aligned_grid"


def benchmark(folder: Path) -> Benchmark:
    """Store two grid days as the platform and as npz, and gather the same window from both."""
    planted = planted_days()
    grid, instruments = planted.configuration.grid, planted.configuration.market.instruments_by_name()
    store = ArtifactStore.at(folder / "store")
    archives = []
    for day in (planted.day_before, planted.day):
        snapshots = {
            name: planted.source.snapshots(instrument, day, grid.max_gap_seconds)
            for name, instrument in instruments.items()
        }
        arrays = align_assets(snapshots, instruments, day, grid).arrays
        provenance = Provenance(code_version="1", config_fingerprint="benchmark", upstream={})
        with store.write(GRID_ASSET, day.isoformat(), schema_version=1, provenance=provenance) as writer:
            writer.arrays("arrays", arrays)
        archives.append(folder / f"{day.isoformat()}.npz")
        np.savez_compressed(archives[-1], **arrays)
    steps = grid.steps_per_day
    first, last = steps // 2, steps // 2 + steps
    dataset = Dataset(
        "benchmark",
        recipe(planted.day_before, planted.day, arrays["book"], grid.cadence_seconds),
        pl.DataFrame(),
        store,
    )
    window = dataset.gather("book", first, last)
    reused, floor = np.empty_like(window), np.empty_like(window)
    return Benchmark(
        name="gather_window",
        contenders={
            OURS: lambda: dataset.gather("book", first, last, out=reused),
            "npz_concatenate": lambda: npz_concatenate(archives, first, last),
            "memcpy": lambda: np.copyto(floor, window),
        },
        promises={"npz_concatenate": 0.05, "memcpy": 2.0},
        agree=agree,
        rounds=21,
    )


def recipe(first_day: object, last_day: object, book: np.ndarray, cadence_seconds: int) -> dict[str, Any]:
    """What a dataset states about its book stream, as far as gathering asks for it."""
    stream = {"columns": [], "step_shape": list(book.shape[1:]), "dtype": book.dtype.name, "grid_columns": None}
    return {
        "cadence_seconds": cadence_seconds,
        "days": [str(first_day), str(last_day)],
        "streams": {"book": stream},
    }


def npz_concatenate(archives: list[Path], first: int, last: int) -> np.ndarray:
    """Load the days, join them, cut the window out."""
    days = []
    for archive in archives:
        with np.load(archive) as arrays:
            days.append(arrays["book"])
    return np.concatenate(days)[first:last]


def agree(results: Mapping[str, Any]) -> None:
    """The windows are equal bit by bit."""
    np.testing.assert_array_equal(results["npz_concatenate"], results[OURS])
