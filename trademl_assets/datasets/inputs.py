"""What a dataset is made from, read through the store: joined grid days, daily vectors, regimes, external series."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.series import DailyContext, GridFrame, GridSeries
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.foundation.errors import ConfigError, MissingPartitionError
from trademl_assets.grid.encoding import MASK_FIELDS, PRICE_FIELDS
from trademl_assets.long_term.regimes import UNKNOWN
from trademl_assets.storage.commit import ArtifactStore

DATASET_ASSET = "dataset"
GRID_ASSET = "aligned_grid"
AGGREGATES_ASSET = "daily_aggregates"
REGIME_ASSET = "market_regime"
EXTERNAL_ASSET = "external_series"


def read_grid(store: ArtifactStore, days: Sequence[date], instruments: Sequence[str], frame: GridFrame) -> GridSeries:
    """The series of `instruments` over all `days` (consecutive), one after the other.

    Raises:
        MissingPartitionError: listing every day whose aligned_grid is not there.
    """
    missing = [day.isoformat() for day in days if store.manifest(GRID_ASSET, day.isoformat()) is None]
    if missing:
        raise MissingPartitionError(f"{GRID_ASSET} has no partition for {', '.join(missing)}; materialise it first")
    steps, width = frame.steps_per_day, len(instruments)
    at = frame.positions(instruments)
    total = steps * len(days)
    mid = np.empty((total, width), np.float64)
    state = np.empty((total, width), np.uint8)
    usable = np.empty(total, np.uint8)
    age, spread, microprice = (np.empty((total, width), np.float32) for _ in range(3))
    for number, day in enumerate(days):
        arrays = store.open_arrays(GRID_ASSET, day.isoformat(), "arrays")
        if len(arrays["mid"]) != steps or arrays["mid"].shape[1] != len(frame.instruments):
            raise ConfigError(
                f"{GRID_ASSET} {day}: mid has shape {arrays['mid'].shape}, the grid's parameters say "
                f"({steps}, {len(frame.instruments)}); materialise the day with the present parameters"
            )
        rows = slice(number * steps, (number + 1) * steps)
        mid[rows] = arrays["mid"][:, at]
        state[rows] = arrays["state"][:, at]
        usable[rows] = arrays["usable"]
        age[rows] = _field(arrays["mask"], at, MASK_FIELDS, "age_share") * np.float32(frame.max_gap_seconds)
        spread[rows] = _field(arrays["price"], at, PRICE_FIELDS, "spread_bps")
        microprice[rows] = _field(arrays["price"], at, PRICE_FIELDS, "microprice_bps")
    first = to_microseconds(day_start(days[0]))
    instants = first + np.arange(total, dtype=np.int64) * (frame.cadence_seconds * MICROSECONDS_PER_SECOND)
    return GridSeries(instants, mid, state, age, spread, microprice, usable)


def read_daily_context(
    store: ArtifactStore,
    days: Sequence[date],
    instruments: Sequence[str],
    statistics: Sequence[str],
    *,
    required: frozenset[tuple[str, date]],
) -> tuple[DailyContext, dict[str, str]]:
    """Daily vectors and regimes of `days` where they exist, and the content hashes of what was read.

    Args:
        store: where the partitions lie.
        days: consecutive days.
        instruments: the columns of the result.
        statistics: columns of daily_aggregates to read; empty reads none.
        required: (asset, day) pairs that must exist.

    Raises:
        MissingPartitionError: listing every required partition that is not there.
    """
    lacking = sorted(f"{asset}/{day}" for asset, day in required if store.manifest(asset, day.isoformat()) is None)
    if lacking:
        raise MissingPartitionError(f"a dataset needs {', '.join(lacking)}; materialise them first")
    upstream: dict[str, str] = {}
    values = {name: np.full((len(days), len(instruments)), np.nan) for name in statistics}
    regimes = [UNKNOWN] * len(days)
    for row, day in enumerate(days):
        partition = day.isoformat()
        aggregates = store.manifest(AGGREGATES_ASSET, partition) if statistics else None
        if aggregates is not None:
            upstream[f"{AGGREGATES_ASSET}/{partition}"] = aggregates.content_hash
            _fill_day(values, row, store.read_table(AGGREGATES_ASSET, partition), instruments)
        regime = store.manifest(REGIME_ASSET, partition)
        if regime is not None:
            upstream[f"{REGIME_ASSET}/{partition}"] = regime.content_hash
            regimes[row] = str(store.read_table(REGIME_ASSET, partition)["regime"][0])
    return DailyContext(tuple(days), values, tuple(regimes)), upstream


def read_external(store: ArtifactStore, names: Sequence[str]) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """External series by name as they were published, and the content hashes of what was read.

    Raises:
        MissingPartitionError: listing every series that is not there.
    """
    missing = [name for name in names if store.manifest(EXTERNAL_ASSET, name) is None]
    if missing:
        raise MissingPartitionError(f"{EXTERNAL_ASSET} has no partition for {', '.join(missing)}; materialise it first")
    tables = {name: store.read_table(EXTERNAL_ASSET, name) for name in names}
    return tables, {f"{EXTERNAL_ASSET}/{name}": store.require(EXTERNAL_ASSET, name).content_hash for name in names}


def _field(
    values: NDArray[np.generic], instruments: NDArray[np.int64], fields: tuple[str, ...], name: str
) -> NDArray[np.float32]:
    return values[:, instruments * len(fields) + fields.index(name)].astype(np.float32)


def _fill_day(
    values: dict[str, NDArray[np.float64]], row: int, table: pl.DataFrame, instruments: Sequence[str]
) -> None:
    stated: dict[str, dict[str, Any]] = {line["instrument"]: line for line in table.iter_rows(named=True)}
    for column, instrument in enumerate(instruments):
        if instrument not in stated:
            continue
        for name, array in values.items():
            found = stated[instrument][name]
            array[row, column] = np.nan if found is None else found


def days_before(first: date, count: int) -> tuple[date, ...]:
    """The `count` days before `first`, oldest first."""
    return tuple(first - timedelta(days=back) for back in range(count, 0, -1))
