"""The whole way from raw rows to the grid looks back only: rows after an instant change nothing at or before it.

Verdicts on whole days are exempt, since they may look at every row (`order_book.refusals.REFUSALS` lists them); the
limits here are such that no day is refused.
"""

import json

import numpy as np
import polars as pl
import pytest

from trademl_assets.grid.alignment import align_assets
from trademl_assets.order_book.population import count_populated_levels
from trademl_assets.order_book.sequence import OrderBookParameters, preprocess
from trademl_assets.order_book.steps import DayMaterial
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets_tests.grid.markets import DAY, MIDNIGHT_US, SECOND, grid_parameters, instruments

CADENCE, LEVELS, CUTS, GAP_EDGES = 60, 6, 60, 200
MARKET = instruments("AAA", "BBB")
GRID = grid_parameters(cadence_seconds=CADENCE, tolerance_milliseconds=40_000, max_gap_seconds=180)
SHARES = ("max_invalid_share", "max_crossed_share", "max_one_sided_share", "max_out_of_order_share")


def order_book() -> OrderBookParameters:
    limits = dict.fromkeys(SHARES, 1.0) | {
        "max_out_of_order_seconds": 1e6,
        "max_lead_in_seconds": 600,
        "gap_seconds": 120,
        "stuck_feed_seconds": 120,
        "min_coverage_seconds": 0,
        "outlier_robust_z": 12,
        "fat_finger_seconds": 120,
        "rejected_day": "refuse",
    }
    bins = {"by": "distance", "upper_edges_bps": [4.0, 8.0]}
    kept = {"near_market_levels": 2, "min_nonzero_threshold": 200, "bins": bins}
    steps = [
        {"step": "clean", "parameters": limits},
        {"step": "compress", "parameters": kept},
        {"step": "thin", "parameters": {"interval_seconds": 30}},
    ]
    certificate = {"depth_bands_bps": [10], "order_sizes": [1]} | dict.fromkeys(
        (f"max_{what}" for what in ("near_price_error_ticks", "bin_price_error_ticks", "depth_error_share")), None
    )
    stated = {
        "steps": steps,
        "certificate": {**certificate, "max_cost_error_bps": None},
        "coverage": {"minimum_coverage_share": 0, "allowed_missing_days": 0},
    }
    return OrderBookParameters.model_validate_json(json.dumps(stated))


def raw_rows(random: np.random.Generator, after: float = -180.0) -> pl.DataFrame:
    """Books at irregular instants later than `after`, with gaps, thin depth, and here and there a crossed book."""
    waits = np.where(random.random(4_000) < 0.03, random.uniform(0, 600, 4_000), random.exponential(20, 4_000))
    seconds = np.unique(np.round(np.cumsum(waits) - 180, 6))
    seconds = seconds[(seconds > after) & (seconds < 86_400)]
    count = len(seconds)
    mid = 100 + np.cumsum(random.normal(0, 0.02, count))
    steps = 0.01 * np.cumsum(random.integers(1, 4, (2, count, LEVELS)), axis=2)
    bid, ask = mid[:, None] - steps[0], mid[:, None] + steps[1]
    bid[random.random(count) < 0.02, 0] += 1.0
    sizes = random.exponential(2.0, (2, count, LEVELS))
    sizes[:, random.random(count) < 0.9, LEVELS - 1] = 0.0
    instants = MIDNIGHT_US + np.round(seconds * SECOND).astype(np.int64)
    columns = {
        "ts": pl.Series(np.repeat(instants, LEVELS), dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        "batch_id": np.repeat(np.arange(count), LEVELS),
        "level": np.tile(np.arange(LEVELS, dtype=np.int32), count),
        "bid_price": bid.ravel(),
        "bid_quantity": sizes[0].ravel(),
        "ask_price": ask.ravel(),
        "ask_quantity": sizes[1].ravel(),
    }
    return pl.DataFrame(columns, schema=dict(TALL_SCHEMA))


class Way:
    """From raw rows of both instruments to the arrays of the grid; the day before decides what is kept."""

    def __init__(self, random: np.random.Generator) -> None:
        self.steps = order_book().steps
        self.before = {name: count_populated_levels(raw_rows(random), DAY) for name in MARKET}

    def __call__(self, rows: dict[str, pl.DataFrame]) -> dict[str, np.ndarray]:
        snapshots = {}
        for name, instrument in MARKET.items():
            material = DayMaterial(instrument, DAY, self.before[name])
            snapshots[name] = preprocess(rows[name], "raw rows", self.steps, material)
        return align_assets(snapshots, MARKET, DAY, GRID).arrays


def cuts_of(state: np.ndarray, random: np.random.Generator) -> list[int]:
    """Random steps, and steps at which an instrument's state changes."""
    edges = np.flatnonzero((np.diff(state.astype(np.int8), axis=0) != 0).any(axis=1))
    assert len(edges) >= GAP_EDGES
    picked = random.choice(edges, GAP_EDGES, replace=False)
    return [*random.integers(1, len(state) - 1, CUTS).tolist(), *picked.tolist()]


def known_by(rows: pl.DataFrame, instant_us: int) -> pl.DataFrame:
    return rows.filter(pl.col("ts").dt.timestamp("us") <= instant_us)


@pytest.mark.parametrize("future", ["cut off", "replaced"])
def test_rows_after_an_instant_change_nothing_at_or_before_it(future: str) -> None:
    random = np.random.default_rng(17)
    way = Way(random)
    rows = {name: raw_rows(random) for name in MARKET}
    whole = way(rows)
    changed = 0
    for cut in cuts_of(whole["state"], random):
        instant = MIDNIGHT_US + cut * CADENCE * SECOND
        other = {name: known_by(frame, instant) for name, frame in rows.items()}
        if future == "replaced":
            drawn = {name: raw_rows(random, after=cut * CADENCE) for name in MARKET}
            other = {name: pl.concat([other[name], drawn[name]]) for name in MARKET}
        arrays = way(other)
        for name, array in whole.items():
            assert array[: cut + 1].tobytes() == arrays[name][: cut + 1].tobytes(), (name, cut)
        changed += whole["book"][cut + 1 :].tobytes() != arrays["book"][cut + 1 :].tobytes()
    assert changed > CUTS + GAP_EDGES - 5
