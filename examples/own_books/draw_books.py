# ruff: noqa: INP001 -- a script of its own, no module
"""Draws order books as CSV, to try the way from a database to the grid: `python draw_books.py FILE`.

The prices are a random walk, not a market. A book comes every minute, up to 0.6 s before it is full. One instrument is
silent for twenty minutes, and every 500th book is delivered twice, as feeds that try again do.
"""

import sys
from datetime import UTC, datetime

import numpy as np
import polars as pl

FIRST, DAYS = datetime(2024, 3, 4, tzinfo=UTC), 3
MINUTES = np.arange(DAYS * 1440)  # the last book before midnight already counts for the first day
SILENT_SYMBOL, SILENT_MINUTES = "SOLUSDT", range(1440 + 720, 1440 + 740)  # noon of the second day
DELIVERED_TWICE = 500
LEVELS = 20
MARKETS = {"BTCUSDT": (62_000.0, 0.1, 1.0), "ETHUSDT": (3_400.0, 0.01, 10.0), "SOLUSDT": (130.0, 0.001, 100.0)}
"""First price, tick and typical quantity."""


def books(symbol: str, seed: int) -> pl.DataFrame:
    """Rows of one instrument: a book every minute, a row every level."""
    price, tick, typical = MARKETS[symbol]
    random = np.random.default_rng(seed)
    shape = (len(MINUTES), LEVELS)
    mid = price * np.exp(np.cumsum(random.normal(0.0, 5e-4, shape[0])))[:, None]
    gaps = np.ceil(random.exponential(price * 1e-4 / tick, (2, *shape))).cumsum(
        axis=2
    )  # ticks, ascending from the best
    start = int(FIRST.timestamp()) * 1_000_000
    instants = start + MINUTES * 60_000_000 - random.integers(0, 600_000, shape[0])
    rows = pl.DataFrame(
        {
            "ts": np.repeat(instants, LEVELS),
            "symbol": symbol,
            "batch_id": np.repeat(MINUTES, LEVELS),
            "level": np.tile(np.arange(LEVELS), shape[0]),
            "bid_price": ((np.floor(mid / tick) - gaps[0]) * tick).ravel().round(6),
            "bid_quantity": (typical * random.lognormal(0.0, 0.8, shape)).ravel().round(6),
            "ask_price": ((np.floor(mid / tick) + gaps[1]) * tick).ravel().round(6),
            "ask_quantity": (typical * random.lognormal(0.0, 0.8, shape)).ravel().round(6),
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    if symbol == SILENT_SYMBOL:
        rows = rows.filter(~pl.col("batch_id").is_in(SILENT_MINUTES))
    return pl.concat([rows, rows.filter(pl.col("batch_id") % DELIVERED_TWICE == 0)])


if __name__ == "__main__":
    pl.concat([books(symbol, seed) for seed, symbol in enumerate(MARKETS)]).write_csv(sys.argv[1])
