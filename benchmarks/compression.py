"""Tall rows of one symbol-day to compressed snapshots, from the Parquet file on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.market import planted_days
from benchmarks.measure import OURS, Benchmark
from trademl_assets.order_book.compression import CompressionParameters, compress_day
from trademl_assets.order_book.quality import clean_tall_rows

SIDES = (("bid", -1.0), ("ask", 1.0))


def benchmark(folder: Path) -> Benchmark:
    """Make a day of clean tall rows and the ways to compress it."""
    planted = planted_days()
    market, limits = planted.configuration.market, planted.configuration.order_book
    instrument = market.instruments[1]
    tall, _ = clean_tall_rows(
        planted.source.extract(instrument, planted.day, 0), instrument.name, planted.day, limits.quality
    )
    path = folder / "tall.parquet"
    tall.write_parquet(path)
    kept = limits.compression
    return Benchmark(
        name="compress_day",
        contenders={
            OURS: lambda: compress_day(pl.read_parquet(path), instrument, planted.day, kept, None).snapshots,
            "polars_group_by": lambda: polars_group_by(path, kept),
            "pandas_pivot": lambda: pandas_pivot(path, kept),
            "parquet_read": lambda: pl.read_parquet(path),
        },
        promises={"polars_group_by": 0.25, "pandas_pivot": 0.25, "parquet_read": 2.2},
        agree=lambda results: agree(results, kept),
    )


def polars_group_by(path: Path, kept: CompressionParameters) -> dict[str, np.ndarray]:
    """Quantities and distances by snapshot and slot, NaN where a slot has no level: cut, group, pivot."""
    tall = pl.scan_parquet(path)
    best = tall.filter(pl.col("level") == 0)
    mids = best.select("ts", mid=(pl.col("bid_price") + pl.col("ask_price")) / 2)
    edges = pl.lit(pl.Series(kept.bins.edges, dtype=pl.Float64))
    slots = range(kept.slots)
    grouped = []
    for side, sign in SIDES:
        quantity, distance = pl.col(f"{side}_quantity"), sign * (pl.col(f"{side}_price") / pl.col("mid") - 1) * 1e4
        binned = edges.search_sorted(pl.col("distance"), side="right").cast(pl.Int32) + kept.near_market_levels
        near = pl.col("level") < kept.near_market_levels
        grouped.append(
            tall.join(mids, on="ts")
            .filter(quantity > 0)
            .select("ts", "level", quantity=quantity, distance=distance)
            .select("ts", "quantity", slot=pl.when(near).then("level").otherwise(binned), moment="distance")
            .with_columns(moment=pl.col("moment") * pl.col("quantity"))
            .filter(pl.col("slot") < kept.slots)
            .group_by("ts", "slot")
            .agg(pl.col("quantity", "moment").sum())
        )
    found = {}
    for (side, _), rows in zip(SIDES, pl.collect_all(grouped), strict=True):
        wide = rows.pivot(on="slot", on_columns=slots, index="ts", values=["quantity", "moment"]).sort("ts")  # noqa: PD010 -- polars
        quantities = wide.select(f"quantity_{slot}" for slot in slots).to_numpy()
        moments = wide.select(f"moment_{slot}" for slot in slots).to_numpy()
        found[f"{side}_quantity"] = quantities.astype(np.float32)
        found[f"{side}_distance_bps"] = (moments / quantities).astype(np.float32)
    return found


def pandas_pivot(path: Path, kept: CompressionParameters) -> dict[str, np.ndarray]:
    """The same in pandas."""
    tall = pd.read_parquet(path)
    mid = ((tall["bid_price"] + tall["ask_price"]) / 2).groupby(tall["ts"]).transform("first")
    edges = np.asarray(kept.bins.edges)
    found = {}
    for side, sign in SIDES:
        distance = sign * (tall[f"{side}_price"] - mid) / mid * 1e4
        binned = np.searchsorted(edges, distance, side="right") + kept.near_market_levels
        slot = np.where(tall["level"] < kept.near_market_levels, tall["level"], binned)
        rows = pd.DataFrame(
            {
                "ts": tall["ts"],
                "slot": slot,
                "quantity": tall[f"{side}_quantity"],
                "moment": distance * tall[f"{side}_quantity"],
            }
        )
        rows = rows[(rows["quantity"] > 0) & (rows["slot"] < kept.slots)]
        wide = rows.pivot_table(index="ts", columns="slot", values=["quantity", "moment"], aggfunc="sum")
        wide = wide.reindex(columns=pd.MultiIndex.from_product([["quantity", "moment"], range(kept.slots)]))
        quantity = wide["quantity"].to_numpy()
        found[f"{side}_quantity"] = quantity.astype(np.float32)
        found[f"{side}_distance_bps"] = (wide["moment"].to_numpy() / quantity).astype(np.float32)
    return found


def agree(results: Mapping[str, Any], kept: CompressionParameters) -> None:
    """Compare every slot; the peers do not tell an empty bin (0) from one beyond the observed depth (NaN)."""
    ours = results[OURS]
    for name in ("polars_group_by", "pandas_pivot"):
        for column, theirs in results[name].items():
            mine = ours[column].to_numpy().copy()
            if column.endswith("quantity"):
                mine[:, kept.near_market_levels :][mine[:, kept.near_market_levels :] == 0] = np.nan
            np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-5, err_msg=f"{name} {column}")
