"""Valid random books, and named corruptions of one of their snapshots with what they must change in the report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.order_book.quality import QualityParameters
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets_tests.order_book.books import MIDNIGHT, QUALITY

STEP_SECONDS = 10
TOLERANT = QUALITY.model_copy(
    update={
        "max_invalid_share": 1.0,
        "max_crossed_share": 1.0,
        "max_one_sided_share": 1.0,
        "max_out_of_order_share": 1.0,
        "max_out_of_order_seconds": 86_400.0,
    }
)
STUCK_STEPS = int(TOLERANT.stuck_feed_seconds) // STEP_SECONDS
RETRY = 1_000


def random_book(seed: int, snapshots: int = 30, levels: int = 4, lead_in: int = 3) -> pl.DataFrame:
    """A valid book, a snapshot every ten seconds from `lead_in` of them before midnight on; nothing is flagged.

    Sides differ in depth from snapshot to snapshot; a level behind the deepest may be padded with quantity 0.
    """
    random = np.random.default_rng(seed)
    mid = 1_000 + np.cumsum(random.integers(-1, 2, snapshots))[:, None]
    ticks = np.arange(levels)
    shape = (snapshots, levels)
    columns: dict[str, np.ndarray] = {}
    for side, sign in (("bid", -1), ("ask", 1)):
        ladder = 3 + ticks + np.cumsum(random.integers(0, 3, shape), axis=1)
        depth = random.integers(1, levels + 1, snapshots)[:, None]
        quantity = np.where(ticks < depth, random.uniform(0.1, 5.0, shape), 0.0)
        absent = (ticks > depth) | ((ticks == depth) & (random.random((snapshots, 1)) < 0.5))
        columns[f"{side}_price"] = np.where(absent, np.nan, (mid + sign * ladder) / 10)
        columns[f"{side}_quantity"] = np.where(absent, np.nan, quantity)
    first = MIDNIGHT - timedelta(seconds=STEP_SECONDS * lead_in)
    instants = [first + timedelta(seconds=STEP_SECONDS * n) for n in range(snapshots)]
    rows = {
        "ts": [instant for instant in instants for _ in range(levels)],
        "batch_id": np.repeat(np.arange(snapshots), levels),
        "level": np.tile(ticks, snapshots),
        **{name: values.ravel() for name, values in columns.items()},
    }
    return pl.DataFrame(rows, schema=dict(TALL_SCHEMA)).with_columns(
        pl.col("bid_price", "bid_quantity", "ask_price", "ask_quantity").fill_nan(None)
    )


@dataclass(frozen=True)
class Corruption:
    """One named fault.

    Attributes:
        spoil: Makes the fault in the snapshot at an instant.
        changes: Fields of the report that change, by how much.
        drops: Whether the snapshot is dropped.
    """

    spoil: Callable[[pl.DataFrame, datetime], pl.DataFrame]
    changes: Mapping[str, int] = field(default_factory=dict)
    drops: bool = False


def at(instant: datetime, level: int | None = None) -> pl.Expr:
    here = pl.col("ts") == instant
    return here if level is None else here & (pl.col("level") == level)


def put(column: str, value: float | None, level: int = 0) -> Callable[[pl.DataFrame, datetime], pl.DataFrame]:
    def spoil(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
        kind = TALL_SCHEMA[column]
        return tall.with_columns(
            pl.when(at(instant, level)).then(pl.lit(value, kind)).otherwise(pl.col(column)).alias(column)
        )

    return spoil


def put_expression(column: str, value: pl.Expr, level: int | None = 0) -> Any:
    def spoil(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
        return tall.with_columns(pl.when(at(instant, level)).then(value).otherwise(pl.col(column)).alias(column))

    return spoil


def repeat_row(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    return pl.concat([tall, tall.filter(at(instant)).tail(1)]).sort("ts", "level", maintain_order=True)


def empty_side(side: str) -> Callable[[pl.DataFrame, datetime], pl.DataFrame]:
    def spoil(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
        names = [f"{side}_price", f"{side}_quantity"]
        return tall.with_columns(pl.when(at(instant)).then(None).otherwise(pl.col(name)).alias(name) for name in names)

    return spoil


def swap_levels(side: str) -> Callable[[pl.DataFrame, datetime], pl.DataFrame]:
    """Level 1 becomes a level, a tick better than the best."""
    sign = 1 if side == "bid" else -1

    def spoil(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
        best = tall.filter(at(instant, 0))[f"{side}_price"][0]
        if best is None:
            return tall
        return put(f"{side}_quantity", 1.0, 1)(put(f"{side}_price", best + sign * 0.1, 1)(tall, instant), instant)

    return spoil


def equal_levels(side: str) -> Callable[[pl.DataFrame, datetime], pl.DataFrame]:
    def spoil(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
        best = tall.filter(at(instant, 0))[f"{side}_price"][0]
        return put(f"{side}_quantity", 1.0, 1)(put(f"{side}_price", best, 1)(tall, instant), instant)

    return spoil


def scale_prices(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    return tall.with_columns(
        pl.when(at(instant)).then(pl.col(name) * 2).otherwise(pl.col(name)).alias(name)
        for name in ("bid_price", "ask_price")
    )


def send_again(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    """A retry of the feed: the same levels under a greater sequence number, with other quantities."""
    mine = tall.filter(at(instant))
    latest = mine.filter(pl.col("batch_id") == pl.col("batch_id").max())
    again = latest.with_columns(pl.col("batch_id") + RETRY, pl.col("bid_quantity", "ask_quantity") * 1.5)
    return pl.concat([tall, again]).sort("ts", "level", maintain_order=True)


def come_late(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    """The snapshot arrives after all others."""
    return pl.concat([tall.filter(~at(instant)), tall.filter(at(instant))])


def freeze(tall: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    """The snapshots after it repeat its book, one longer than a living feed would."""
    book = tall.filter(at(instant)).drop("ts", "batch_id")
    later = tall.filter(pl.col("ts") > instant).select("ts", "batch_id").unique("ts", maintain_order=True)
    repeats = later.head(STUCK_STEPS + 1).join(book, how="cross").select(tall.columns)
    return pl.concat([tall.filter(~pl.col("ts").is_in(repeats["ts"].implode())), repeats]).sort("ts", "level")


NAN, INFINITY = float("nan"), float("inf")
DROPPED = {
    "repeated row": (repeat_row, "duplicate_snapshots"),
    "bid price is NaN": (put("bid_price", NAN), "invalid_snapshots"),
    "ask price is NaN": (put("ask_price", NAN), "invalid_snapshots"),
    "bid price is infinite": (put("bid_price", INFINITY), "invalid_snapshots"),
    "ask price is infinite": (put("ask_price", INFINITY), "invalid_snapshots"),
    "bid price is zero": (put("bid_price", 0.0), "invalid_snapshots"),
    "ask price is negative": (put("ask_price", -1.0), "invalid_snapshots"),
    "bid quantity is NaN": (put("bid_quantity", NAN), "invalid_snapshots"),
    "ask quantity is infinite": (put("ask_quantity", INFINITY), "invalid_snapshots"),
    "bid quantity is negative": (put("bid_quantity", -0.1), "invalid_snapshots"),
    "price without quantity": (put("ask_quantity", None), "invalid_snapshots"),
    "quantity without price": (put("bid_price", None), "invalid_snapshots"),
    "negative level": (put_expression("level", pl.lit(-1, pl.Int32)), "invalid_snapshots"),
    "best bid is empty": (put("bid_quantity", 0.0), "one_sided_snapshots"),
    "no asks": (empty_side("ask"), "one_sided_snapshots"),
    "no bids": (empty_side("bid"), "one_sided_snapshots"),
    "best level missing": (lambda tall, instant: tall.filter(~at(instant, 0)), "one_sided_snapshots"),
    "best bid above best ask": (
        put_expression("bid_price", pl.col("ask_price") + 0.1),
        "crossed_snapshots",
    ),
    "deep bid above the best": (swap_levels("bid"), "non_monotonic_snapshots"),
    "deep ask below the best": (swap_levels("ask"), "non_monotonic_snapshots"),
    "two bids of one price": (equal_levels("bid"), "non_monotonic_snapshots"),
    "two asks of one price": (equal_levels("ask"), "non_monotonic_snapshots"),
}
CORRUPTIONS: dict[str, Corruption] = {
    **{
        name: Corruption(spoil, {cause: 1, "kept_snapshots": -1}, drops=True)
        for name, (spoil, cause) in DROPPED.items()
    },
    "locked": Corruption(
        put_expression("ask_price", pl.col("bid_price")), {"locked_snapshots": 1, "flagged_snapshots": 1}
    ),
}
FAULTS_OF_ROWS = {"sent again": send_again, "late": come_late, "fat finger": scale_prices, "stuck": freeze}


def tolerant(**changes: Any) -> QualityParameters:
    return TOLERANT.model_copy(update=changes)
