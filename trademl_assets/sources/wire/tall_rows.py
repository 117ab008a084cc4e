"""Rows of a result as tall rows: units, order, sides, and repetitions that a feed's retries left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets.sources.formats.pairing import paired
from trademl_assets.sources.wire.binary_copy import Rows, Values
from trademl_assets.sources.wire.depth_table import DepthTable
from trademl_assets.sources.wire.statements import ASK, BID, UNITS_PER_SECOND, Wanted

ORDER = ("ts", "level", "batch_id")


@dataclass(frozen=True)
class Slice:
    """Tall rows of a range of time.

    Attributes:
        tall: Rows of `TALL_SCHEMA`.
        batches: Distinct batches; empty where the table has none.
        duplicates: Rows left out because they repeat another in every value.
    """

    tall: pl.DataFrame
    batches: frozenset[int]
    duplicates: int


def tall_slice(
    rows: Rows, columns: Sequence[Wanted], table: DepthTable, bounds: tuple[datetime, datetime], origin: str
) -> Slice:
    """Make tall rows of what the server sent.

    Args:
        rows: Columns in the order of `columns`.
        columns: What was asked for.
        table: What the columns mean.
        bounds: Half-open range of time that was asked for.
        origin: Instrument, day and table, for messages.

    Raises:
        SourceError: A row lacks its instant, batch, level or side, or these are not what was asked for.
    """
    found = dict(zip((column.name for column in columns), rows.columns, strict=True))
    _require_keys(found, columns, origin)
    values = {name: pl.Series(name, column.values) for name, column in found.items()}
    for name, column in found.items():
        if column.absent is not None:
            values[name] = values[name].set(pl.Series(column.absent), None)
    instants = _in_microseconds(found["ts"].values, table.time_unit)
    _require_within(instants, bounds, origin)
    values["ts"] = pl.Series("ts", instants).cast(TALL_SCHEMA["ts"])
    values["level"] = pl.Series("level", _from_zero(found["level"].values, table.first_level, origin))
    batches = found["batch_id"].values if table.batch else np.zeros(rows.height, dtype=np.int64)
    values["batch_id"] = pl.Series("batch_id", batches)
    frame = _ordered(pl.DataFrame(list(values.values())))
    if "side" in found:
        _require_sides(found["side"].values, origin)
        halves = [_without_repetitions(frame.filter(pl.col("side") == side).drop("side")) for side in (BID, ASK)]
        tall = _ordered(paired(*halves))
        kept = sum(half.height for half in halves)
    else:
        tall = _without_repetitions(frame)
        kept = tall.height
    return Slice(tall.select(*TALL_SCHEMA), _distinct(batches) if table.batch else frozenset(), rows.height - kept)


def _require_keys(found: dict[str, Values], columns: Sequence[Wanted], origin: str) -> None:
    for column in columns:
        absent = found[column.name].absent
        if column.is_key and absent is not None:
            raise SourceError(
                f"{origin}: {int(absent.sum())} rows without {column.name} -> mend the table, or select another column"
            )


def _in_microseconds(instants: NDArray[np.int64], unit: str) -> NDArray[np.int64]:
    if unit == "timestamp":
        return instants
    per_second = UNITS_PER_SECOND[unit]
    whole = instants.astype(np.int64)
    if per_second > MICROSECONDS_PER_SECOND:
        return whole // (per_second // MICROSECONDS_PER_SECOND)
    return whole * (MICROSECONDS_PER_SECOND // per_second)


def _require_within(instants: NDArray[np.int64], bounds: tuple[datetime, datetime], origin: str) -> None:
    first, end = map(to_microseconds, bounds)
    if len(instants) and not (first <= instants.min() and instants.max() < end):
        found = [from_microseconds(int(instant)).isoformat() for instant in (instants.min(), instants.max())]
        raise SourceError(
            f"{origin}: instants from {found[0]} to {found[1]} came for {bounds[0].isoformat()} to "
            f"{bounds[1].isoformat()} -> check the time zone of the server and table.time_unit"
        )


def _from_zero(levels: NDArray[np.int32], first_level: int, origin: str) -> NDArray[np.int32]:
    if len(levels) and levels.min() < first_level:
        raise SourceError(f"{origin}: level {levels.min()}, the best should be {first_level} -> check first_level")
    return (levels - first_level).astype(np.int32)


def _require_sides(sides: NDArray[np.int32], origin: str) -> None:
    if neither := int((~np.isin(sides, (BID, ASK))).sum()):
        raise SourceError(
            f"{origin}: {neither} rows are on neither side by the texts in table.layout -> check bid, ask and side"
        )


def _ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows sorted by `ORDER`, equal ones as they came."""
    return rows if _steps_are(rows, least=0) else rows.sort(ORDER, maintain_order=True)


def _without_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted rows without those that repeat another in every value.

    Rows that share the key alone stay, for the quality rules to judge, in the order of their values: the server may
    send them in any.
    """
    if _steps_are(rows, least=1):
        return rows
    kept = rows.unique(maintain_order=True)
    if _steps_are(kept, least=1):
        return kept
    return kept.sort(*ORDER, *(name for name in kept.columns if name not in ORDER))


def _steps_are(rows: pl.DataFrame, least: int) -> bool:
    """Whether each row's key is greater than the one before, or (`least` 0) equal to it."""
    ts, level, batch = (np.diff(rows[name].to_physical().to_numpy()) for name in ORDER)
    return bool(((ts > 0) | ((ts == 0) & ((level > 0) | ((level == 0) & (batch >= least))))).all())


def _distinct(batches: NDArray[np.int64]) -> frozenset[int]:
    """Distinct batches; rows of one follow each other, so runs are told apart first."""
    starts = np.flatnonzero(np.diff(batches)) + 1
    return frozenset(np.unique(batches[np.concatenate([[0], starts])]).tolist()) if len(batches) else frozenset()
