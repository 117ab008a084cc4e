"""raw_depth: tall rows as a source hands them out. external_series: what comes from elsewhere, as it was published."""

import json

import dagster as dg

from trademl_assets.foundation.errors import SourceError
from trademl_assets.grid.external_plots import draw_series
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import EXTERNAL_SERIES, RAW_DEPTH
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import Facts, table_facts
from trademl_assets.orchestration.partitions import day_of, split_key
from trademl_assets.order_book.plots import draw_raw_day, sketch_raw_day
from trademl_assets.order_book.population import count_populated_levels
from trademl_assets.sources.contract import extract_with_facts

POPULATION = "population"
"""Second table of a raw partition, which outlives its rows: how many snapshots had each level."""


def build_source_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration
    instruments = configuration.market.instruments_by_name()

    def extract(work: Work) -> Facts:
        if not deployment.lineage.is_tall(work.key):
            raise SourceError(
                f"raw_depth {work.key}: days before {configuration.market.tall_rows_from} enter as compressed "
                "snapshots -> materialise book_snapshots for them, or set tall_rows_from earlier in market.yaml"
            )
        instrument = instruments[split_key(work.key)[1]]
        source, lead_in = work.resource("sources").depth, configuration.grid.max_gap_seconds
        rows, facts = extract_with_facts(source, instrument, day_of(work.key), lead_in)
        work.writer.table("data", rows)
        work.writer.table(POPULATION, count_populated_levels(rows, day_of(work.key)))
        work.writer.rows(rows.height)
        if facts:  # counts of retries and the like: they tell how the rows came, not what they are
            told = json.dumps(facts, indent=1, sort_keys=True)
            work.writer.text("extraction", told, ".json", hashed=False)
            work.run.log_text(told, f"extraction/{work.key}.json")
        plot = draw_raw_day(rows, instrument.name, day_of(work.key)) if work.draws else b""
        sketch = None if work.draws else sketch_raw_day(rows, day_of(work.key))
        return table_facts(rows, numbers={"instants": rows["ts"].n_unique()}, plot=plot, sketch=sketch)

    def extract_series(work: Work) -> Facts:
        market = configuration.market
        rows = work.resource("sources").series(work.key).series(work.key, market.history_first_day, market.last_day)
        work.writer.table("data", rows)
        work.writer.rows(rows.height)
        return table_facts(rows, numbers={"values": rows.height}, plot=draw_series(rows, work.key))

    assets: list[dg.AssetsDefinition] = []
    if configuration.market.delivers_books:
        assets.append(partitioned_asset(deployment, RAW_DEPTH, extract, resources=frozenset({"sources"})))
    if configuration.market.series:
        assets.append(partitioned_asset(deployment, EXTERNAL_SERIES, extract_series, resources=frozenset({"sources"})))
    return assets
