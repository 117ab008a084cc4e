"""The audit of raw stages: what it finds on a kept day of raw rows, and what it says where there is none."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets import leakage_raw
from trademl_assets.datasets.leakage_findings import Finding
from trademl_assets.datasets.leakage_raw import (
    GRID_UNMOVED,
    STORED,
    UNMOVED,
    VERDICTS,
    RawDay,
    RawStages,
    audit_raw,
    make_snapshots,
    randomise_rows_after,
)
from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.grid.alignment import GridDay, GridParameters, align_assets
from trademl_assets.order_book.population import count_populated_levels
from trademl_assets.order_book.refusals import REFUSALS
from trademl_assets.order_book.sequence import OrderBookParameters
from trademl_assets.sources.contract import TALL_SCHEMA, InstrumentParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets_tests.datasets.examples import FIRST, parameters_of, stated

DAY = FIRST + timedelta(days=1)
LEVELS, SECOND, HALF_DAY = 5, 1_000_000, 43_200.0
PARAMETERS = parameters_of(stated())


def order_book() -> dict[str, Any]:
    shares = dict.fromkeys(
        ("max_invalid_share", "max_crossed_share", "max_one_sided_share", "max_out_of_order_share"), 0.05
    )
    limits = shares | {
        "max_out_of_order_seconds": 60,
        "max_lead_in_seconds": 600,
        "gap_seconds": 600,
        "stuck_feed_seconds": 600,
        "min_coverage_seconds": 36_000,
        "outlier_robust_z": 12,
        "fat_finger_seconds": 120,
        "rejected_day": "refuse",
    }
    bins = {"by": "distance", "upper_edges_bps": [4.0, 8.0]}
    errors = ("near_price_error_ticks", "bin_price_error_ticks", "depth_error_share", "cost_error_bps")
    return {
        "steps": [
            {"step": "clean", "parameters": limits},
            {"step": "compress", "parameters": {"near_market_levels": 2, "min_nonzero_threshold": 100, "bins": bins}},
        ],
        "certificate": {"depth_bands_bps": [10], "order_sizes": [1]} | {f"max_{what}": None for what in errors},
        "coverage": {"minimum_coverage_share": 0, "allowed_missing_days": 0},
    }


def stages() -> RawStages:
    grid = {
        "cadence_seconds": 60,
        "tolerance_milliseconds": 40_000,
        "max_gap_seconds": 180,
        "required_instruments": ["LEAD"],
        "min_assets_required": 2,
        "method": "forward_fill",
    }
    named = {
        name: {
            "name": name,
            "venue": "test",
            "market": "spot",
            "symbol": name,
            "tick_size": 0.01,
            "reference_quantity": 1.0,
        }
        for name in ("LEAD", "FOLLOW")
    }
    return RawStages(
        OrderBookParameters.model_validate_json(json.dumps(order_book())).steps,
        GridParameters.model_validate_json(json.dumps(grid)),
        {name: InstrumentParameters.model_validate_json(json.dumps(each)) for name, each in named.items()},
    )


def raw_rows(seed: int) -> pl.DataFrame:
    """A book about every 30 s with a gap here and there; from noon on the deepest level is populated, before it not."""
    random = np.random.default_rng(seed)
    waits = np.where(random.random(4_000) < 0.01, random.uniform(200, 500, 4_000), random.exponential(28, 4_000))
    seconds = np.unique(np.round(np.cumsum(waits), 3))
    seconds = seconds[seconds < 86_400]
    count = len(seconds)
    mid = 100 + np.cumsum(random.normal(0, 0.01, count))
    steps = 0.01 * np.cumsum(random.integers(1, 4, (2, count, LEVELS)), axis=2)
    sizes = random.exponential(2.0, (2, count, LEVELS))
    sizes[:, (seconds < HALF_DAY) & (random.random(count) < 0.99), LEVELS - 1] = 0.0
    instants = to_microseconds(day_start(DAY)) + np.round(seconds * SECOND).astype(np.int64)
    columns = {
        "ts": pl.Series(np.repeat(instants, LEVELS), dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        "batch_id": np.repeat(np.arange(count), LEVELS),
        "level": np.tile(np.arange(LEVELS, dtype=np.int32), count),
        "bid_price": (mid[:, None] - steps[0]).ravel(),
        "bid_quantity": sizes[0].ravel(),
        "ask_price": (mid[:, None] + steps[1]).ravel(),
        "ask_quantity": sizes[1].ravel(),
    }
    return pl.DataFrame(columns, schema=dict(TALL_SCHEMA))


def write(store: ArtifactStore, asset: str, key: str, upstream: dict[str, str], **tables: pl.DataFrame) -> None:
    provenance = Provenance(code_version="1", config_fingerprint="f", upstream=upstream)
    with store.write(asset, key, schema_version=1, provenance=provenance) as writer:
        for name, table in tables.items():
            writer.table(name, table)
        writer.rows(sum(table.height for table in tables.values()))


def raw_store(root: Path, rows: pl.DataFrame, day: date = DAY) -> ArtifactStore:
    """A day of raw rows and its snapshots, made with the population of the day before."""
    store = ArtifactStore.at(root)
    before, key = f"{day - timedelta(days=1)}|FOLLOW", f"{day}|FOLLOW"
    shallow = count_populated_levels(rows.filter(pl.col("level") < LEVELS - 1), DAY)
    write(store, "raw_depth", before, {}, data=rows.clear(), population=shallow)
    store.evict("raw_depth", before, ["data"])
    write(store, "raw_depth", key, {}, data=rows, population=count_populated_levels(rows, DAY))
    snapshots = make_snapshots(rows, RawDay(stages().instruments["FOLLOW"], DAY, shallow), stages())
    write(store, "book_snapshots", key, {f"raw_depth/{before}": "hash", f"raw_depth/{key}": "hash"}, data=snapshots)
    return store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return raw_store(tmp_path_factory.mktemp("raw"), raw_rows(3))


def same_day_depth(rows: pl.DataFrame, raw: RawDay, stages: RawStages) -> pl.DataFrame:
    """Compression that chooses its levels from the day it compresses."""
    return make_snapshots(rows, RawDay(raw.instrument, raw.day, count_populated_levels(rows, raw.day)), stages)


def by_rule(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.rule: finding for finding in findings}


def test_honest_raw_stages_pass_and_the_exempt_verdicts_are_listed(kept: ArtifactStore) -> None:
    found = by_rule(audit_raw(kept, PARAMETERS, stages(), make_snapshots))

    assert {rule: finding.result for rule, finding in found.items()} == {
        STORED: "holds",
        UNMOVED: "holds",
        VERDICTS: "not audited",
    }
    assert found[UNMOVED].detail.startswith(f"FOLLOW {DAY}; ")
    assert all(kind in found[UNMOVED].detail for kind in ("2 at random", "where a gap begins", "where a gap ends"))
    assert all(cause in found[VERDICTS].detail for cause in REFUSALS)


def test_depth_that_is_chosen_from_the_same_day_is_found(kept: ArtifactStore) -> None:
    found = by_rule(audit_raw(kept, PARAMETERS, stages(), same_day_depth))

    assert {rule for rule, finding in found.items() if not finding.passed} == {STORED, UNMOVED}
    assert "changes snapshots before it" in found[UNMOVED].detail


def test_the_latest_day_whose_rows_are_there_is_taken(tmp_path: Path) -> None:
    store = raw_store(tmp_path, raw_rows(3))
    later = f"{DAY + timedelta(days=1)}|FOLLOW"
    for asset in ("raw_depth", "book_snapshots"):
        write(store, asset, later, {}, data=raw_rows(4))
    store.evict("raw_depth", later, ["data"])

    found = by_rule(audit_raw(store, PARAMETERS, stages(), make_snapshots))

    assert found[UNMOVED].detail.startswith(f"FOLLOW {DAY}; ")


@pytest.fixture
def removed(tmp_path: Path) -> ArtifactStore:
    """A day whose raw rows are gone."""
    store = raw_store(tmp_path, raw_rows(3))
    store.evict("raw_depth", f"{DAY}|FOLLOW", ["data"])
    return store


def test_where_raw_rows_are_gone_the_grid_is_still_audited_from_its_snapshots(removed: ArtifactStore) -> None:
    first, second = audit_raw(removed, PARAMETERS, stages(), make_snapshots)

    assert (first.rule, first.result, first.passed) == (UNMOVED, "not audited", True)
    assert first.detail == "not audited: raw rows were removed after use"
    assert (second.rule, second.result) == (GRID_UNMOVED, "holds")


def test_a_grid_that_shows_the_next_mid_is_found(removed: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def ahead(*arguments: Any, **options: Any) -> GridDay:
        grid = align_assets(*arguments, **options)
        return replace(grid, arrays=grid.arrays | {"mid": np.roll(grid.arrays["mid"], -1, axis=0)})

    monkeypatch.setattr(leakage_raw, "align_assets", ahead)
    found = by_rule(audit_raw(removed, PARAMETERS, stages(), make_snapshots))

    assert found[GRID_UNMOVED].result == "violated"
    assert "changes mid of the grid before it" in found[GRID_UNMOVED].detail


def test_what_was_imported_says_so(tmp_path: Path) -> None:
    store = ArtifactStore.at(tmp_path)
    write(store, "raw_depth", f"{DAY}|EXTRA", {}, data=raw_rows(3))  # of no instrument of the dataset

    (finding,) = audit_raw(store, PARAMETERS, stages(), make_snapshots)

    assert finding.detail == "not audited: there were no raw rows: snapshots were imported"


def test_noise_leaves_earlier_rows_and_changes_every_later_instant() -> None:
    rows, noon = raw_rows(3), to_microseconds(day_start(DAY)) + round(HALF_DAY * SECOND)

    noisy = randomise_rows_after(rows, noon, np.random.default_rng(0))

    earlier = pl.col("ts").dt.timestamp("us") <= noon
    assert noisy.filter(earlier).equals(rows.filter(earlier))
    assert 0.7 < noisy.filter(~earlier)["ts"].n_unique() / rows.filter(~earlier)["ts"].n_unique() < 0.9
    both = noisy.filter(~earlier).join(rows, on=("ts", "level"), suffix="_before")
    assert (both["bid_price"] != both["bid_price_before"]).all()
