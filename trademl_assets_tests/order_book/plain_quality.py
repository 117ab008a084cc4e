"""The quality rules once more, row by row in plain Python, to compare with."""

import math
import statistics
from collections import defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise

import polars as pl

from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.order_book.quality import QualityParameters

SIDES = (("bid_price", "bid_quantity", -1), ("ask_price", "ask_quantity", 1))
FLAGS = ("locked_snapshots", "outlier_mids", "fat_finger_mids", "stuck_snapshots")


def plain_quality(tall: pl.DataFrame, day: date, parameters: QualityParameters) -> tuple[pl.DataFrame, dict]:
    """Rows kept, sorted, and the report as a dictionary, for rows that refuse no day."""
    rows = tall.rows(named=True)
    late, lateness = _late(rows)
    books, superseded = _books(rows)
    start, end = day_bounds(day)
    found = defaultdict(list)
    kept: list[tuple[datetime, list[dict]]] = []
    since = start
    for ts in sorted(books):
        cause = _cause(books[ts])
        if cause:
            found[f"{cause}_snapshots"].append(ts)
            continue
        if not kept or not _same(kept[-1][1], books[ts]) or (ts - kept[-1][0]).total_seconds() > parameters.gap_seconds:
            since = ts
        if (ts - since).total_seconds() > parameters.stuck_feed_seconds:
            found["stuck_snapshots"].append(ts)
        if books[ts][0]["bid_price"] == books[ts][0]["ask_price"]:
            found["locked_snapshots"].append(ts)
        kept.append((ts, books[ts]))
    found["outlier_mids"], found["fat_finger_mids"] = _prices(kept, parameters)

    today = [ts for ts, _ in kept if ts >= start]
    marks = [start, *today, end]
    silences = [(before, after, (after - before) / timedelta(seconds=1)) for before, after in pairwise(marks)]
    gaps = [(before, seconds) for before, _, seconds in silences if seconds > parameters.gap_seconds]
    living = [silence for silence in silences if silence[2] <= parameters.gap_seconds]
    stuck = sum(seconds for _, after, seconds in living if after in found["stuck_snapshots"])
    covered = sum(seconds for _, after, seconds in living if after not in found["stuck_snapshots"])
    flagged = len({ts for name in FLAGS for ts in found[name]})
    names = [
        *(f"{cause}_snapshots" for cause in ("duplicate", "invalid", "one_sided", "crossed", "non_monotonic")),
        *FLAGS,
    ]
    report = {
        "rows": len(rows),
        "snapshots": len(books),
        "kept_snapshots": len(kept),
        **{name: len(found[name]) for name in names},
        "flagged_snapshots": flagged,
        "out_of_order_rows": late,
        "most_late_seconds": lateness,
        "superseded_rows": superseded,
        "gaps": len(gaps),
        "longest_gap_seconds": max(seconds for _, _, seconds in silences),
        "longest_gaps": [
            [before.isoformat(), seconds]
            for before, seconds in sorted(sorted(gaps, key=lambda gap: -gap[1])[:10], key=lambda gap: gap[0])
        ],
        "stuck_seconds": stuck,
        "coverage_seconds": covered,
        "quality_index": (
            covered
            / 86_400
            * (len(kept) - flagged)
            / len(books)
            * (1 - late / len(rows))
            * (1 - superseded / len(rows))
            if books
            else 0.0
        ),
        "by_hour": {
            name: [sum(ts >= start and ts.hour == hour for ts in found[name]) for hour in range(24)]
            for name in names
            if any(ts >= start for ts in found[name])
        },
        "reason": None
        if today
        else "every snapshot of the day was dropped"
        if any(ts >= start for ts in books)
        else "the source has no rows on the day",
        "rejected": None,
    }
    return pl.DataFrame([row for _, book in kept for row in book], schema=tall.schema, orient="row"), report


def _late(rows: list[dict]) -> tuple[int, float]:
    latest, count, lateness = None, 0, 0.0
    for row in rows:
        key = (row["ts"], row["level"])
        if latest is not None and key < latest:
            count += 1
            lateness = max(lateness, (latest[0] - key[0]).total_seconds())
        else:
            latest = key
    return count, lateness


def _books(rows: list[dict]) -> tuple[dict[datetime, list[dict]], int]:
    by_instant: dict[datetime, list[dict]] = defaultdict(list)
    for row in rows:
        by_instant[row["ts"]].append(row)
    superseded = 0
    for ts, mine in by_instant.items():
        mine.sort(key=lambda row: row["level"])
        if len({row["level"] for row in mine}) < len(mine):
            greatest = max(row["batch_id"] for row in mine)
            by_instant[ts] = [row for row in mine if row["batch_id"] == greatest]
            superseded += len(mine) - len(by_instant[ts])
    return by_instant, superseded


def _cause(book: list[dict]) -> str:
    levels = [row["level"] for row in book]
    if len(set(levels)) < len(levels):
        return "duplicate"
    if min(levels) < 0 or any(_impossible(row[price], row[quantity]) for row in book for price, quantity, _ in SIDES):
        return "invalid"
    if levels[0] != 0 or not (book[0]["bid_quantity"] or 0) > 0 or not (book[0]["ask_quantity"] or 0) > 0:
        return "one_sided"
    if book[0]["bid_price"] > book[0]["ask_price"]:
        return "crossed"
    for price, quantity, sign in SIDES:
        ladder = [sign * row[price] for row in book if (row[quantity] or 0) > 0]
        if any(after <= before for before, after in pairwise(ladder)):
            return "non_monotonic"
    return ""


def _impossible(price: float | None, quantity: float | None) -> bool:
    if price is None or quantity is None:
        return (price is None) != (quantity is None)
    return not (math.isfinite(price) and math.isfinite(quantity) and price > 0 and quantity >= 0)


def _same(one: list[dict], other: list[dict]) -> bool:
    names = ("level", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
    return [[row[name] for name in names] for row in one] == [[row[name] for name in names] for row in other]


def _prices(kept: list, parameters: QualityParameters) -> tuple[list[datetime], list[datetime]]:
    if len(kept) < 2:
        return [], []
    instants = [ts for ts, _ in kept]
    best = [(book[0]["bid_price"], book[0]["ask_price"]) for _, book in kept]
    logs = [math.log((bid + ask) / 2) for bid, ask in best]
    returns = [after - before for before, after in pairwise(logs)]
    middle = statistics.median(returns)
    deviations = sorted(abs(each - middle) for each in returns)
    place = 0.9 * (len(deviations) - 1)
    below, above = deviations[math.floor(place)], deviations[math.ceil(place)]
    usual = (below + (above - below) * (place - math.floor(place))) / 1.6449
    spread = statistics.median((ask - bid) / (ask + bid) for bid, ask in best)
    limit = parameters.outlier_robust_z * max(usual, spread)
    steps = [(after - before).total_seconds() for before, after in pairwise(instants)]
    outlying = [
        n + 1 for n, each in enumerate(returns) if abs(each - middle) > limit and steps[n] <= parameters.gap_seconds
    ]
    fingers: list[int] = []
    resumed = 0
    for jump in outlying:
        if jump < resumed:
            continue
        for back in range(jump + 1, len(logs)):
            if (instants[back] - instants[jump]).total_seconds() > parameters.fat_finger_seconds:
                break
            if abs(logs[back] - logs[jump - 1]) <= limit:
                fingers += range(jump, back)
                resumed = back + 1
                break
    return [instants[n] for n in outlying], [instants[n] for n in fingers]
