"""Compressed snapshots of seven instruments to one grid day in the layout that models read."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from benchmarks.market import planted_days
from benchmarks.measure import OURS, Benchmark
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, day_start
from trademl_assets.grid.alignment import GridParameters, align_assets
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, InstrumentParameters

INSTRUMENTS = 7
STAGGER = timedelta(milliseconds=37)
"""How much earlier each instrument's snapshots are than those of the one before."""

Instruments = dict[str, InstrumentParameters]


def benchmark(_folder: Path) -> Benchmark:
    """Make a day of snapshots and the ways to align it."""
    planted = planted_days()
    snapshots, instruments = seven_instruments()
    grid = planted.configuration.grid.model_copy(update={"required_instruments": tuple(instruments)})
    wide = {name: pandas_frame(frame) for name, frame in snapshots.items()}
    values = [frame[name].to_numpy() for frame in snapshots.values() for name in SNAPSHOT_ARRAYS]
    targets = [np.empty_like(value) for value in values]
    return Benchmark(
        name="align_day",
        contenders={
            OURS: lambda: align_assets(snapshots, instruments, planted.day, grid).arrays,
            "pandas_merge_asof": lambda: merge_asof_stacked(wide, instruments, planted.day, grid),
            "polars_join_asof": lambda: join_asof_wide(snapshots, instruments, planted.day, grid),
            "memcpy": lambda: copy_all(targets, values),
        },
        promises={"pandas_merge_asof": 1 / 5, "polars_join_asof": 0.5, "memcpy": 10.0},
        agree=agree,
        rounds=15,
    )


def seven_instruments() -> tuple[dict[str, pl.DataFrame], Instruments]:
    """Return snapshots and instruments: the planted ones in turn, each with memory and instants of its own."""
    planted = planted_days()
    configured = list(planted.configuration.market.instruments_by_name().values())
    lead_in = planted.configuration.grid.max_gap_seconds
    frames = [planted.source.snapshots(one, planted.day, lead_in) for one in configured]
    snapshots, instruments = {}, {}
    for number in range(INSTRUMENTS):
        chosen = number % len(configured)
        name = f"{configured[chosen].name}_{number}"
        earlier = frames[chosen].with_columns(pl.col("ts") - number * STAGGER)
        copies = [pl.Series(one, earlier[one].to_numpy().copy(), dtype=earlier[one].dtype) for one in SNAPSHOT_ARRAYS]
        snapshots[name] = earlier.with_columns(copies).rechunk()
        instruments[name] = configured[chosen].model_copy(update={"name": name})
    return snapshots, instruments


def pandas_frame(frame: pl.DataFrame) -> pd.DataFrame:
    """Return the snapshots as pandas has them: a column for each number, sorted by `ts`."""
    numbers = np.concatenate([frame[name].to_numpy() for name in SNAPSHOT_ARRAYS], axis=1)
    wide = pd.DataFrame(numbers, columns=[str(column) for column in range(numbers.shape[1])])
    scalars = {name: frame[name].to_numpy() for name in ("mid", "spread_bps", "microprice_bps")}
    instants = pd.to_datetime(frame["ts"].to_physical().to_numpy(), unit="us").as_unit("us")
    return wide.assign(ts=instants, seen=instants, **scalars)


def merge_asof_stacked(
    wide: Mapping[str, pd.DataFrame], instruments: Mapping[str, InstrumentParameters], day: date, grid: GridParameters
) -> dict[str, NDArray[Any]]:
    """Book, prices, ages and mids by one merge_asof an instrument and a stack, without returns over gaps and checks."""
    start = pd.Timestamp(day_start(day)).tz_localize(None).as_unit("us")
    instants = pd.DataFrame({"ts": start + pd.to_timedelta(np.arange(grid.steps_per_day) * grid.cadence_seconds, "s")})
    instants["ts"] = instants["ts"].astype("datetime64[us]")
    books, prices, ages, mids = [], [], [], []
    for name, instrument in instruments.items():
        joined = pd.merge_asof(
            instants, wide[name], on="ts", direction="backward", tolerance=pd.Timedelta(seconds=grid.max_gap_seconds)
        )
        slots = (wide[name].shape[1] - 5) // len(SNAPSHOT_ARRAYS)
        numbers = joined.iloc[:, 1 : 1 + slots * len(SNAPSHOT_ARRAYS)].to_numpy()
        fields = [numbers[:, field * slots : (field + 1) * slots] for field in range(len(SNAPSHOT_ARRAYS))]
        books += [
            encode(values, field, instrument.reference_quantity)
            for field, values in zip(SNAPSHOT_ARRAYS, fields, strict=True)
        ]
        mids.append(joined["mid"].to_numpy())
        prices.append(np.diff(np.log(mids[-1]), prepend=np.nan) * 1e4)
        prices += [joined[column].to_numpy() for column in ("spread_bps", "microprice_bps")]
        ages.append((joined["ts"] - joined["seen"]).dt.total_seconds().to_numpy())
    return {
        "book": np.stack(books, axis=2),
        "price": np.stack(prices, axis=1).astype(np.float32),
        "age": (np.stack(ages, axis=1) / grid.max_gap_seconds).astype(np.float16),
        "mid": np.stack(mids, axis=1),
    }


def join_asof_wide(
    snapshots: Mapping[str, pl.DataFrame],
    instruments: Mapping[str, InstrumentParameters],
    day: date,
    grid: GridParameters,
) -> dict[str, NDArray[Any]]:
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
        fields = {field: wide[f"{field}_{name}"].to_numpy() for field in SNAPSHOT_ARRAYS}
        books += [encode(values, field, instrument.reference_quantity) for field, values in fields.items()]
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


def encode(values: NDArray[np.float32], field: str, reference_quantity: float) -> NDArray[np.float16]:
    """Half precision of distances, or of log1p of quantities over the reference."""
    if field.endswith("quantity"):
        ratios = (values / np.float32(reference_quantity)).astype(np.float64)
        return np.nan_to_num(np.log1p(ratios), nan=0.0).astype(np.float16)
    return np.nan_to_num(values, nan=0.0).astype(np.float16)


def copy_all(targets: list[NDArray[Any]], values: list[NDArray[Any]]) -> None:
    """Move the numbers once, into memory that is already there: nobody can be faster."""
    for target, value in zip(targets, values, strict=True):
        np.copyto(target, value)


def agree(results: Mapping[str, Any]) -> None:
    """Books and mids are equal bit by bit."""
    for peer in ("pandas_merge_asof", "polars_join_asof"):
        for name in ("book", "mid"):
            np.testing.assert_array_equal(results[peer][name], results[OURS][name], err_msg=f"{peer}: {name}")
