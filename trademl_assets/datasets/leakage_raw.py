"""Rules on raw stages, audited while raw rows exist: rows after an instant change no snapshot or grid step before it.

Verdicts on whole days are exempt, since they may look at every row of their day; the audit lifts their limits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.cuts import Cuts, fair_shares, observation_edges
from trademl_assets.datasets.leakage_findings import Finding
from trademl_assets.datasets.parameters import AuditParameters, DatasetParameters
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_start, to_microseconds
from trademl_assets.grid.alignment import GridParameters, align_assets
from trademl_assets.grid.gaps import OBSERVED
from trademl_assets.order_book.quality_parameters import QualityParameters
from trademl_assets.order_book.refusals import REFUSALS
from trademl_assets.order_book.sequence import StepChoice, preprocess
from trademl_assets.order_book.steps import DayMaterial
from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.storage.commit import ArtifactStore

RAW_ASSET = "raw_depth"
SNAPSHOT_ASSET = "book_snapshots"
ROWS, POPULATION = "data", "population"
UNMOVED = "raw stages: rows after a cut change nothing before it"
GRID_UNMOVED = "grid: snapshots after a cut change nothing before it"
STORED = "raw stages: stored snapshots are what their rows give"
VERDICTS = "raw stages: verdicts on whole days look at the whole day"
KEPT_SHARE, SHOCK = 0.8, 0.01
NO_LIMITS: Mapping[str, Any] = {
    "max_invalid_share": 1.0,
    "max_crossed_share": 1.0,
    "max_one_sided_share": 1.0,
    "max_out_of_order_share": 1.0,
    "max_out_of_order_seconds": 86_400.0,
    "max_lead_in_seconds": 86_400,
    "min_coverage_seconds": 0.0,
}
"""What lifts the limits of verdicts on whole days, so that a stretch of one can be looked at."""
WHOLE_DAY = "over the whole day"
Arrays = Mapping[str, NDArray[Any]]

_INSTANT = pl.col("ts").dt.timestamp("us")


@dataclass(frozen=True)
class RawStages:
    """How raw rows become a grid, as configured, and the names and parameters of the instruments."""

    steps: tuple[StepChoice, ...]
    grid: GridParameters
    instruments: Mapping[str, InstrumentParameters]


@dataclass(frozen=True)
class RawDay:
    """One instrument and day, and how many snapshots of the day BEFORE had each level, None where that is not known."""

    instrument: InstrumentParameters
    day: date
    population: pl.DataFrame | None


SnapshotFunction = Callable[[pl.DataFrame, RawDay, RawStages], pl.DataFrame]
"""From raw rows of an instrument and day, or of a stretch of it, to its snapshots."""


def make_snapshots(rows: pl.DataFrame, raw: RawDay, stages: RawStages) -> pl.DataFrame:
    """Clean and compress as configured."""
    return preprocess(rows, "raw rows", stages.steps, DayMaterial(raw.instrument, raw.day, raw.population))


def audited_places(store: ArtifactStore, parameters: DatasetParameters) -> tuple[str, ...]:
    """The partitions, "asset/key", that the audit of raw stages looks at."""
    raw = latest_raw_key(store, parameters)
    if raw is not None:
        return f"{RAW_ASSET}/{raw}", f"{SNAPSHOT_ASSET}/{raw}"
    key = _latest_snapshot_key(store, parameters)
    return () if key is None else (f"{SNAPSHOT_ASSET}/{key}",)


def latest_raw_key(store: ArtifactStore, parameters: DatasetParameters) -> str | None:
    """The latest partition of a dataset's days and instruments whose raw rows are there and whose day was accepted."""
    found = [key for key in _keys(store, RAW_ASSET, parameters) if _is_there(store, key)]
    return max(found, default=None)


def audit_raw(
    store: ArtifactStore, parameters: DatasetParameters, stages: RawStages | None, snapshots: SnapshotFunction
) -> list[Finding]:
    """Make snapshots and grid around cuts of the latest day whose raw rows are there, with other rows after them."""
    if parameters.series_from == "candles":
        return [_not_audited("candles have no raw stages")]
    if stages is None:
        return [_not_audited("the configuration of the raw stages was not given")]
    key = latest_raw_key(store, parameters)
    if key is None:
        removed = bool(_keys(store, RAW_ASSET, parameters))
        why = "raw rows were removed after use" if removed else "there were no raw rows: snapshots were imported"
        return [_not_audited(why), *audit_grid(store, parameters, stages)]
    raw, rows = _raw_day(store, key, stages), store.read_table(RAW_ASSET, key, ROWS)
    stored = store.read_table(SNAPSHOT_ASSET, key)
    same = snapshots(rows, raw, stages).equals(stored)
    exempt = Finding(VERDICTS, "not audited", f"exempt: {', '.join(REFUSALS)}")
    unmoved = _perturb(UNMOVED, rows, raw, stages, snapshots, parameters.audit)
    return [Finding.of(STORED, holds=same, detail=key), unmoved, exempt]


def audit_grid(store: ArtifactStore, parameters: DatasetParameters, stages: RawStages) -> list[Finding]:
    """Make the grid around cuts of the latest day of snapshots, with other snapshots after them."""
    key = _latest_snapshot_key(store, parameters)
    if key is None:
        return []
    stated, name = key.split("|")
    raw = RawDay(stages.instruments[name], date.fromisoformat(stated), None)
    rows = store.read_table(SNAPSHOT_ASSET, key)
    return [_perturb(GRID_UNMOVED, rows, raw, stages, lambda some, _raw, _stages: some, parameters.audit)]


def randomise_rows_after(rows: pl.DataFrame, last_us: int, rng: np.random.Generator) -> pl.DataFrame:
    """The rows up to `last_us`; of later instants some are gone, the others have other prices and quantities.

    Of snapshots the mids become others.
    """
    earlier = last_us >= _INSTANT
    instants = rows.filter(~earlier).select(pl.col("ts").unique(maintain_order=True))
    kept = instants.filter(pl.Series(rng.random(instants.height) < KEPT_SHARE))
    shocks = kept.with_columns(
        price=pl.Series(np.exp(rng.normal(0.0, SHOCK, kept.height))),
        quantity=pl.Series(rng.exponential(1.0, kept.height) + SHOCK),
    )
    prices = [name for name in ("bid_price", "ask_price", "mid") if name in rows.columns]
    quantities = [name for name in ("bid_quantity", "ask_quantity") if rows.schema[name] == pl.Float64]
    later = rows.join(shocks, on="ts", how="inner", maintain_order="left").with_columns(
        *(pl.col(name) * pl.col("price") for name in prices),
        *(pl.col(name) * pl.col("quantity") for name in quantities),
    )
    return pl.concat([rows.filter(earlier), later.select(rows.columns)])


def _perturb(  # noqa: PLR0917 -- what is looked at, then how
    rule: str, rows: pl.DataFrame, raw: RawDay, stages: RawStages, snapshots: SnapshotFunction, audit: AuditParameters
) -> Finding:
    rng, stages = np.random.default_rng(audit.seed), _without_verdicts(stages)
    made = _made(rows, raw, stages, snapshots)
    cuts = _choose_cuts(made[1]["state"][:, 0], audit, rng)
    whole_days = set(cuts.chosen[WHOLE_DAY].tolist()) if WHOLE_DAY in cuts.chosen else set()
    reach_us, midnight_us = audit.raw_reach // timedelta(microseconds=1), to_microseconds(day_start(raw.day))
    leaks = []
    for cut in cuts.steps.tolist():
        last_us = midnight_us + cut * stages.grid.cadence_seconds * MICROSECONDS_PER_SECOND
        around = _INSTANT.is_between(last_us - reach_us, last_us + reach_us)
        local = rows if cut in whole_days else rows.filter(around)
        expected = made if cut in whole_days else _made(local, raw, stages, snapshots)
        for other in (randomise_rows_after(local, last_us, rng), local.filter(last_us >= _INSTANT)):
            changed = _first_difference(expected, _made(other, raw, stages, snapshots), cut, last_us)
            if changed:
                leaks.append(f"a cut at {_when(last_us)} changes {changed}")
                break
    where = f"{raw.instrument.name} {raw.day.isoformat()}"
    found = f"{len(leaks)} of {len(cuts.steps)} cuts: {leaks[0]}" if leaks else f"{cuts}, all bit-identical"
    return Finding.of(rule, holds=not leaks, detail=f"{where}; {found}")


def _made(
    rows: pl.DataFrame, raw: RawDay, stages: RawStages, snapshots: SnapshotFunction
) -> tuple[pl.DataFrame, Arrays]:
    made = snapshots(rows, raw, stages)
    return made, _grid(made, raw, stages)


def _grid(snapshots: pl.DataFrame, raw: RawDay, stages: RawStages) -> Arrays:
    name = raw.instrument.name
    alone = stages.grid.model_copy(update={"required_instruments": (), "min_assets_required": 1})
    return align_assets({name: snapshots}, {name: raw.instrument}, raw.day, alone, threads=1).arrays


def _first_difference(
    expected: tuple[pl.DataFrame, Arrays], other: tuple[pl.DataFrame, Arrays], cut: int, last_us: int
) -> str:
    known = last_us >= _INSTANT
    if not expected[0].filter(known).equals(other[0].filter(known)):
        return "snapshots before it"
    for name, array in expected[1].items():
        if array[: cut + 1].tobytes() != other[1][name][: cut + 1].tobytes():
            return f"{name} of the grid before it"
    return ""


def _choose_cuts(state: NDArray[np.uint8], audit: AuditParameters, rng: np.random.Generator) -> Cuts:
    """Random steps, edges of gaps, and the middle, first quarter, first eighth … of the day with all of its rows."""
    begins, ends = observation_edges(state == OBSERVED)
    shares = fair_shares([len(begins), len(ends)], audit.raw_cuts)
    begins, ends = (
        rng.choice(edges, share, replace=False) for edges, share in zip((begins, ends), shares, strict=True)
    )
    random = 1 + rng.choice(len(state) - 2, size=min(audit.raw_cuts, len(state) - 2), replace=False)
    halves = np.asarray([len(state) >> number for number in range(1, audit.raw_whole_day_cuts + 1)], dtype=np.int64)
    kinds = {"at random": random, "where a gap begins": begins, "where a gap ends": ends, WHOLE_DAY: halves[halves > 0]}
    return Cuts.of({kind: np.sort(steps) for kind, steps in kinds.items()})


def _without_verdicts(stages: RawStages) -> RawStages:
    lifted = tuple(
        choice.model_copy(update={"parameters": choice.parameters.model_copy(update=dict(NO_LIMITS))})
        if isinstance(choice.parameters, QualityParameters)
        else choice
        for choice in stages.steps
    )
    return RawStages(lifted, stages.grid, stages.instruments)


def _keys(store: ArtifactStore, asset: str, parameters: DatasetParameters) -> Sequence[str]:
    first, last = parameters.first_day.isoformat(), parameters.last_day.isoformat()
    split = ((key, *key.split("|")) for key in store.partitions(asset))
    return [key for key, day, name in split if first <= day <= last and name in parameters.instruments]


def _latest_snapshot_key(store: ArtifactStore, parameters: DatasetParameters) -> str | None:
    keys = _keys(store, SNAPSHOT_ASSET, parameters)
    return max((key for key in keys if store.require(SNAPSHOT_ASSET, key).rows), default=None)


def _is_there(store: ArtifactStore, key: str) -> bool:
    made = store.manifest(SNAPSHOT_ASSET, key)
    accepted = made is not None and not made.notes.get("quality", {}).get("rejected")
    return accepted and ROWS not in store.require(RAW_ASSET, key).evicted


def _raw_day(store: ArtifactStore, key: str, stages: RawStages) -> RawDay:
    """The population is that of the day before whose raw partition the snapshots were made with."""
    stated, name = key.split("|")
    day = date.fromisoformat(stated)
    before = f"{day - timedelta(days=1)}|{name}"
    used = f"{RAW_ASSET}/{before}" in store.require(SNAPSHOT_ASSET, key).upstream
    population = store.read_table(RAW_ASSET, before, POPULATION) if used else None
    return RawDay(stages.instruments[name], day, population)


def _not_audited(why: str) -> Finding:
    return Finding(UNMOVED, "not audited", f"not audited: {why}")


def _when(instant_us: int) -> str:
    return str(np.datetime64(instant_us, "us").astype("datetime64[s]"))
