"""Small markets for tests: compressed snapshots at chosen instants, and the instruments that they belong to."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from trademl_assets.foundation.calendar import to_microseconds
from trademl_assets.grid.alignment import GridParameters
from trademl_assets.sources.contract import InstrumentParameters, snapshot_schema

DAY = date(2024, 1, 1)
MIDNIGHT_US = to_microseconds(datetime(2024, 1, 1, tzinfo=UTC))
SLOTS = 3
SECOND = 1_000_000


def grid_parameters(**changes):
    """A grid of ten seconds; a snapshot counts as observed for 2 s and fills for 35 s."""
    stated = {
        "cadence_seconds": 10,
        "tolerance_milliseconds": 2_000,
        "max_gap_seconds": 35,
        "required_instruments": (),
        "min_assets_required": 1,
        "method": "forward_fill",
    }
    return GridParameters(**{**stated, **changes})


def instruments(*names, reference_quantity=2.0):
    """Configured instruments by name."""
    return {
        name: InstrumentParameters(
            name=name,
            venue="binance",
            market="spot",
            symbol=name,
            tick_size=0.1,
            reference_quantity=reference_quantity + number,
        )
        for number, name in enumerate(names)
    }


def snapshots_at(seconds, mids=None, seed=0):
    """Snapshots at seconds from midnight, contents random but reproducible, with some slots missing."""
    random = np.random.default_rng(seed)
    count = len(seconds)
    instants = MIDNIGHT_US + np.round(np.asarray(seconds, dtype=np.float64) * SECOND).astype(np.int64)

    def slots(low, high):
        values = random.uniform(low, high, (count, SLOTS)).astype(np.float32)
        values[random.random(values.shape) < 0.2] = np.nan
        return values

    columns = {
        "ts": pl.Series(instants, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        "batch_id": np.arange(count),
        "mid": np.asarray(mids, dtype=np.float64) if mids is not None else random.uniform(90, 110, count),
        "spread_bps": random.uniform(0.1, 5, count).astype(np.float32),
        "microprice_bps": random.uniform(-2, 2, count).astype(np.float32),
        "locked": np.zeros(count, bool),
        "bid_distance_bps": slots(0, 200),
        "bid_quantity": slots(0, 50),
        "ask_distance_bps": slots(0, 200),
        "ask_quantity": slots(0, 50),
    }
    return pl.DataFrame(columns, schema=snapshot_schema(SLOTS))
