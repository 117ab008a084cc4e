"""Compressed snapshots of three instruments to one grid day."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.market import planted_days
from benchmarks.measure import OURS, Benchmark
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds
from trademl_assets.grid.alignment import GridParameters, align_assets
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, InstrumentParameters


def benchmark(_folder: Path) -> Benchmark:
    """Make a day of snapshots and the ways to align it."""
    planted = planted_days()
    grid, instruments = planted.configuration.grid, planted.configuration.market.instruments_by_name()
    snapshots = {
        name: planted.source.snapshots(instrument, planted.day, grid.max_gap_seconds)
        for name, instrument in instruments.items()
    }
    values = [frame[name].to_numpy() for frame in snapshots.values() for name in SNAPSHOT_ARRAYS]
    targets = [np.empty_like(value) for value in values]
    return Benchmark(
        name="align_day",
        contenders={
            OURS: lambda: align_assets(snapshots, instruments, planted.day, grid).arrays,
            "polars_join_asof": lambda: join_asof_wide(snapshots, instruments, planted.day, grid),
            "memcpy": lambda: copy_all(targets, values),
        },
        promises={"polars_join_asof": 1.5, "memcpy": 50.0},
        agree=agree,
        rounds=15,
    )


def join_asof_wide(
    snapshots: Mapping[str, pl.DataFrame],
    instruments: Mapping[str, InstrumentParameters],
    day: date,
    grid: GridParameters,
) -> dict[str, np.ndarray]:
    """Book, prices, ages and mids by one wide as-of join; returns over gaps and checks, which ours makes, left out."""
    start, end = day_bounds(day)
    step = timedelta(seconds=grid.cadence_seconds)
    wide = pl.DataFrame({"ts": pl.datetime_range(start, end, step, closed="left", eager=True)})
    for name, frame in snapshots.items():
        values = frame.drop("batch_id", "locked").with_columns(seen=pl.col("ts"))
        values = values.rename({column: f"{column}_{name}" for column in values.columns if column != "ts"})
        wide = wide.join_asof(values, on="ts", strategy="backward", tolerance=timedelta(seconds=grid.max_gap_seconds))
    books, prices, ages, mids = [], [], [], []
    for name, instrument in instruments.items():
        for column in SNAPSHOT_ARRAYS:
            values = wide[f"{column}_{name}"].to_numpy()
            if column.endswith("quantity"):
                values = np.log1p(values / np.float32(instrument.reference_quantity))
            books.append(np.nan_to_num(values, nan=0.0).astype(np.float16))
        mids.append(wide[f"mid_{name}"].to_numpy())
        prices.append(np.diff(np.log(mids[-1]), prepend=np.nan) * 1e4)
        prices += [wide[f"{column}_{name}"].to_numpy() for column in ("spread_bps", "microprice_bps")]
        ages.append((wide["ts"] - wide[f"seen_{name}"]).dt.total_microseconds().to_numpy())
    return {
        "book": np.stack(books, axis=2),
        "price": np.stack(prices, axis=1).astype(np.float32),
        "age": (np.stack(ages, axis=1) / (grid.max_gap_seconds * MICROSECONDS_PER_SECOND)).astype(np.float16),
        "mid": np.stack(mids, axis=1),
    }


def copy_all(targets: list[np.ndarray], values: list[np.ndarray]) -> None:
    """Move the numbers once, into memory that is already there: nobody can be faster."""
    for target, value in zip(targets, values, strict=True):
        np.copyto(target, value)


def agree(results: Mapping[str, Any]) -> None:
    """Books and mids are equal bit by bit."""
    for name in ("book", "mid"):
        np.testing.assert_array_equal(results["polars_join_asof"][name], results[OURS][name], err_msg=name)
