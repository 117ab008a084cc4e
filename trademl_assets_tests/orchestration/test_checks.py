"""Checks: what they refuse, what they keep from happening, what they take back."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg
import polars as pl
import pytest

from trademl_assets.configuration.model import Configuration
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.contracts import (
    coverage_contract,
    index_contract,
    level_contract,
    regime_contract,
)
from trademl_assets.orchestration.drive import RunFailedError
from trademl_assets.orchestration.resources.sources import MarketSources
from trademl_assets.sources.contract import INSTANT, InstrumentParameters
from trademl_assets.sources.contracts import series_contract
from trademl_assets_tests.orchestration.conftest import World, make_world

BAD_DAY = date(2023, 12, 28)


class BadAggregates:
    def __init__(self, sources: MarketSources) -> None:
        self._sources = sources

    def aggregates(self, instruments: Sequence[InstrumentParameters], day: date) -> pl.DataFrame:
        frame = self._sources.aggregates.aggregates(instruments, day)
        return frame.with_columns(volume=-pl.col("volume")) if day == BAD_DAY else frame


class BadSources:
    """The planted market's sources; the aggregates of one day claim a negative volume."""

    def __init__(self, sources: MarketSources) -> None:
        self.depth, self.snapshots, self.aggregates = sources.depth, sources.snapshots, BadAggregates(sources)


@pytest.fixture
def bad_world(configuration: Configuration) -> World:
    sources = BadSources(MarketSources(configuration.market))
    return make_world(configuration, dg.DagsterInstance.ephemeral(), {"sources": sources})


def check_events(world: World, asset: str, check: str) -> list[dg.AssetCheckEvaluation]:
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    return [record.event.asset_check_evaluation for record in records]


@pytest.mark.parametrize(
    ("asset", "check"),
    [
        *((asset, f"{asset}_schema") for asset in ("raw_depth", "book_snapshots", "daily_aggregates", "market_regime")),
        ("aligned_grid", "aligned_grid_arrays"),
        ("dataset", "dataset_schema"),
        ("dataset", "dataset_no_leakage"),
    ],
)
def test_a_good_run_passes_its_checks_on_every_partition(made_world: World, asset: str, check: str):
    events = check_events(made_world, asset, check)
    assert all(event.passed and event.blocking for event in events)
    assert sorted(event.partition for event in events) == list(made_world.store.partitions(asset))
    assert all(event.target_materialization_data is not None for event in events)


def test_the_leakage_check_shows_its_certificate_and_logs_it_to_the_run_of_the_dataset(made_world: World):
    (event,) = check_events(made_world, "dataset", "dataset_no_leakage")
    table = event.metadata["certificate"].records
    assert [column.name for column in event.metadata["certificate"].schema.columns] == ["rule", "result", "detail"]
    rows = {record.data["rule"]: record.data for record in table}
    assert rows["price: noise after a cut changes nothing before it"]["result"] == "holds"
    raw = rows["raw stages: rows after a cut change nothing before it"]
    assert (raw["result"], raw["detail"]) == ("not audited", "not audited: raw rows were removed after use")
    assert event.metadata["rules"].value == len(rows)
    run_id = made_world.tracking.find("dataset", made_world.store.require("dataset", "demo").run_id)
    files = [file.path for file in made_world.tracking._client().list_artifacts(run_id)]
    assert "leakage_certificate.csv" in files


def test_the_controls_of_a_dataset_are_made_by_their_job_and_shown_as_a_table(made_world: World):
    assert made_world.run("leakage_controls_job", "demo").success
    table = made_world.store.read_table("leakage_controls", "demo")
    assert table["control"].to_list() == ["block-shuffled labels", "random walk", "planted signal"]
    assert "not audited" not in table["result"].to_list()
    (event,) = check_events(made_world, "leakage_controls", "leakage_controls_passed")
    assert event.passed == ("violated" not in table["result"].to_list())
    shown = [record.data for record in event.metadata["controls"].records]
    assert [(row["control"], row["result"]) for row in shown] == table.select("control", "result").rows()
    (made,) = made_world.materializations("leakage_controls")
    assert {"plot", "planted_signal_1800s_skill"} <= set(made.metadata)
    made_world.store.delete("leakage_controls", "demo")


def test_a_blocking_check_names_the_partition_and_keeps_downstream_from_running(bad_world: World):
    result = bad_world.run("long_term_job", "2023-12-26", "2023-12-29", raise_on_error=False)
    assert not result.success
    events = check_events(bad_world, "daily_aggregates", "daily_aggregates_schema")
    assert {event.partition: event.passed for event in events} == {
        "2023-12-26": True,
        "2023-12-27": True,
        "2023-12-28": False,
        "2023-12-29": True,
    }
    failed = next(event for event in events if not event.passed)
    assert "volume" in str(failed.metadata["problem"].value)
    assert bad_world.store.partitions("market_regime") == ()


def test_what_a_check_refuses_is_taken_back_so_a_later_run_cannot_build_on_it(bad_world: World):
    bad_world.run("long_term_job", "2023-12-26", "2023-12-29", raise_on_error=False)
    assert bad_world.store.partitions("daily_aggregates") == ("2023-12-26", "2023-12-27", "2023-12-29")
    with pytest.raises(RunFailedError, match=r"daily_aggregates 2023-12-28 to .* refuses 2023-12-28: .*volume"):
        bad_world.drive().run(None, "market_regime")
    assert bad_world.store.partitions("market_regime") == ()


def test_a_failed_check_marks_the_tracked_run_failed(bad_world: World):
    result = bad_world.run("long_term_job", "2023-12-26", "2023-12-29", raise_on_error=False)
    run_id = bad_world.tracking.find("daily_aggregates", result.run_id)
    assert bad_world.tracking._client().get_run(run_id).info.status == "FAILED"


def test_every_table_and_the_grid_have_a_blocking_check(made_world: World):
    keys = made_world.definitions.resolve_asset_graph().asset_check_keys
    assert {key.asset_key.to_user_string() for key in keys} >= {
        name for name, entry in ENTRIES.items() if entry.space in {"books", "days", "history"}
    }


def test_contracts_refuse_an_unknown_regime_and_a_label_that_ends_before_it_begins(made_world: World):
    regime = made_world.store.read_table("market_regime", "2024-01-03")
    index = made_world.store.read_table("dataset", "demo", "index")
    regime_contract().validate(regime, lazy=True)
    index_contract().validate(index, lazy=True)
    with pytest.raises(Exception, match="isin"):
        regime_contract().validate(regime.with_columns(regime=pl.lit("panic")), lazy=True)
    with pytest.raises(Exception, match="t1 after t0"):
        index_contract().validate(index.with_columns(t1=pl.col("t0")), lazy=True)


def test_contracts_refuse_levels_of_no_side_and_a_day_that_is_told_twice(made_world: World):
    levels = made_world.store.read_table("daily_aggregates", "2024-01-03", "levels")
    calendar = made_world.store.read_table("coverage_calendar", "all")
    level_contract().validate(levels, lazy=True)
    coverage_contract().validate(calendar, lazy=True)
    with pytest.raises(Exception, match="isin"):
        level_contract().validate(levels.with_columns(side=pl.lit("middle")), lazy=True)
    with pytest.raises(Exception, match="unique"):
        coverage_contract().validate(pl.concat([calendar, calendar]), lazy=True)


def test_a_series_out_of_the_order_of_publication_or_without_a_value_is_refused():
    instants = pl.Series([datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)], dtype=INSTANT)
    rows = pl.DataFrame({"ts": instants, "published": instants, "name": "news", "value": [0.5, math.nan]})
    series_contract().validate(rows.sort("published").with_columns(value=pl.lit(0.5)), lazy=True)
    with pytest.raises(Exception, match="sorted by published and ts"):
        series_contract().validate(rows.with_columns(value=pl.lit(0.5)), lazy=True)
    with pytest.raises(Exception, match="finite"):
        series_contract().validate(rows.sort("published"), lazy=True)
