"""coverage_calendar: what there is of every instrument and day, and the longest ranges to train on."""

from datetime import date

import dagster as dg
import polars as pl

from trademl_assets.foundation.calendar import days_between
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import BOOK_SNAPSHOTS, COVERAGE_CALENDAR, RAW_DEPTH
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import any_partition
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import join_key
from trademl_assets.order_book.coverage import DayFacts, coverage_rows, longest_ranges
from trademl_assets.order_book.coverage_plots import draw_coverage_calendar
from trademl_assets.storage.commit import ArtifactStore


def build_coverage_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration
    names = tuple(configuration.market.instruments_by_name())
    required = configuration.grid.required_instruments or names
    days = days_between(configuration.market.first_day, configuration.market.last_day)
    wanted = configuration.order_book.coverage

    def tell(work: Work) -> Facts:
        set_aside = {each.partition: each.cause for each in work.store.all_set_aside(RAW_DEPTH.name)}
        facts = {name: _facts(work.store, name, days, set_aside) for name in names}
        calendar = pl.concat([coverage_rows(name, days, facts[name]) for name in names])
        ranges = longest_ranges(calendar, required, wanted.minimum_coverage_share, wanted.allowed_missing_days)
        work.writer.table("data", calendar)
        work.writer.table("ranges", ranges)
        work.writer.rows(calendar.height)
        states = calendar["state"].value_counts().iter_rows()
        longest = {} if ranges.is_empty() else {"longest_range": f"{ranges['first'][0]} to {ranges['last'][0]}"}
        return Facts(
            numbers={f"{state}_days": float(count) for state, count in states},
            texts=longest,
            plot=draw_coverage_calendar(calendar),
            more_plots={"quality": draw_coverage_calendar(calendar, "quality_index")},
            schema=calendar.schema,
        )

    deps = [dg.AssetDep(BOOK_SNAPSHOTS.name, partition_mapping=any_partition())]
    return [partitioned_asset(deployment, COVERAGE_CALENDAR, tell, deps=deps)]


def _facts(
    store: ArtifactStore, instrument: str, days: tuple[date, ...], set_aside: dict[str, str]
) -> dict[date, DayFacts]:
    found = {}
    for day in days:
        key = join_key(day.isoformat(), instrument)
        manifest = store.manifest(BOOK_SNAPSHOTS.name, key)
        if manifest is not None:
            found[day] = DayFacts(manifest.rows, manifest.notes.get("quality"), set_aside.get(key))
        elif key in set_aside:
            found[day] = DayFacts(0, None, set_aside[key])
    return found
