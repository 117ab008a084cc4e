"""A real hour of ETHBTC rebuilt from its diff stream, looked at every second."""

import gzip
import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.market import PROJECT
from benchmarks.measure import OURS, Benchmark, SkippedError
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.sources.market import build_source

LEVELS = 200
DAY = date(2020, 11, 1)
MICROSECONDS_PER_MILLISECOND = 1000


def benchmark(_folder: Path) -> Benchmark:
    """Find the capture and make the ways to rebuild it.

    Raises:
        SkippedError: No market data here.
    """
    data = Path(os.environ.get("TRADEML_TEST_DATA", PROJECT.parent / "shared" / "data"))
    raw = data / "lob-binance-ethbtc-1000lvl" / "raw"
    if not raw.is_dir():
        raise SkippedError(f"no market data at {data}; set TRADEML_TEST_DATA")
    market = load_configuration(
        PROJECT / "configs" / "real_sample", {"TRADEML_VAR": "unused", "TRADEML_DATA": str(data)}
    ).market
    source, instrument = build_source(market, "depth_source"), market.instruments[0]
    return Benchmark(
        name="binance_rebuild",
        contenders={OURS: lambda: source.extract(instrument, DAY, 0), "sorted_dict": lambda: sorted_dict(raw)},
        promises={"sorted_dict": 0.8},
        agree=agree,
        rounds=7,
    )


def sorted_dict(raw: Path) -> pl.DataFrame:
    """A dict a side, sorted at every second; no sequence rules, no checks, prices as floats."""
    start = raw / "ETHBTC_2020-11-01T09-00-00_snapshot.json.gz"
    updates = raw / "ETHBTC_2020-11-01T09-00-00_update.json.gz"
    answer = json.loads(gzip.decompress(start.read_bytes()))
    sides = [{float(price): float(size) for price, size in answer[side]} for side in ("bids", "asks")]
    last_id = answer["lastUpdateId"]
    rows: list[tuple[Any, ...]] = []
    due = None
    for message in json.loads(gzip.decompress(updates.read_bytes())):
        clock = message["E"] * MICROSECONDS_PER_MILLISECOND
        if message["u"] <= last_id:
            due = -(-clock // MICROSECONDS_PER_SECOND) * MICROSECONDS_PER_SECOND
            continue
        if due is None:
            due = -(-clock // MICROSECONDS_PER_SECOND) * MICROSECONDS_PER_SECOND
        while due < clock:
            rows.extend(look(due, last_id, sides))
            due += MICROSECONDS_PER_SECOND
        for side, changes in zip(sides, (message["b"], message["a"]), strict=True):
            for price, size in changes:
                if float(size) == 0:
                    side.pop(float(price), None)
                else:
                    side[float(price)] = float(size)
        last_id = message["u"]
    return pl.DataFrame(
        rows, schema=["ts", "batch_id", "level", "bid_price", "bid_quantity", "ask_price", "ask_quantity"], orient="row"
    )


def look(instant: int, last_id: int, sides: list[dict[float, float]]) -> list[tuple[Any, ...]]:
    """Rows of the best levels."""
    bids = sorted(sides[0].items(), reverse=True)[:LEVELS]
    asks = sorted(sides[1].items())[:LEVELS]
    return [(instant, last_id, level, *bid, *ask) for level, (bid, ask) in enumerate(zip(bids, asks, strict=True))]


def agree(results: Mapping[str, Any]) -> None:
    """Every price and size is the same; ours may end a second later, after the last message."""
    ours = results[OURS].with_columns(pl.col("ts").cast(pl.Int64))
    theirs = results["sorted_dict"].cast(dict(ours.schema))
    both = ours.join(theirs.select("ts").unique(), on="ts", how="semi")
    if not both.equals(theirs) or ours.height - theirs.height > 2 * LEVELS:
        raise AssertionError(f"books differ: {ours.height} rows against {theirs.height}")
