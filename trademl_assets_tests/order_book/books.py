"""Small books for tests: valid tall rows, as a source hands them out."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from trademl_assets.order_book.compression import CompressionParameters, DistanceBins
from trademl_assets.order_book.quality import QualityParameters
from trademl_assets.sources.contract import TALL_SCHEMA, InstrumentParameters

DAY = date(2024, 1, 1)
MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
INSTRUMENT = InstrumentParameters(
    name="BTCUSDT", venue="binance", market="spot", symbol="BTCUSDT", tick_size=0.1, reference_quantity=2.0
)


def compression(near: int, *edges: float, threshold: int = 0) -> CompressionParameters:
    bins = DistanceBins(by="distance", upper_edges_bps=edges)
    return CompressionParameters(near_market_levels=near, min_nonzero_threshold=threshold, bins=bins)


COMPRESSION = compression(2, 10.0, 20.0, 40.0)
QUALITY = QualityParameters(
    max_invalid_share=0.5,
    max_crossed_share=0.5,
    max_one_sided_share=0.5,
    max_out_of_order_share=0.5,
    max_out_of_order_seconds=600.0,
    max_lead_in_seconds=120,
    gap_seconds=60.0,
    stuck_feed_seconds=60.0,
    min_coverage_seconds=0.0,
    outlier_robust_z=12.0,
    fat_finger_seconds=60.0,
    rejected_day="refuse",
)


def tall_rows(instants, bids, asks):
    """Rows of snapshots at `instants`; `bids` and `asks` list, for each, (price, quantity) or None per level."""
    rows = []
    for batch, (instant, bid_levels, ask_levels) in enumerate(zip(instants, bids, asks, strict=True)):
        for level in range(max(len(bid_levels), len(ask_levels))):
            bid = bid_levels[level] if level < len(bid_levels) else None
            ask = ask_levels[level] if level < len(ask_levels) else None
            rows.append((instant, batch, level, *(bid or (None, None)), *(ask or (None, None))))
    return pl.DataFrame(rows, schema=dict(TALL_SCHEMA), orient="row")


def steady_day(snapshots=20, levels=4, step_seconds=10.0, first=MIDNIGHT):
    """A valid book that hardly moves: bids below 100, asks above, a tick of 0.1 between levels."""
    instants = [first + timedelta(seconds=step_seconds * number) for number in range(snapshots)]
    bids = [[(99.9 - 0.1 * k + 0.01 * (n % 3), 1.0 + k) for k in range(levels)] for n in range(snapshots)]
    asks = [[(100.1 + 0.1 * k + 0.01 * (n % 3), 2.0 + k) for k in range(levels)] for n in range(snapshots)]
    return tall_rows(instants, bids, asks)
