"""raw_depth: tall rows as a source hands them out."""

import dagster as dg

from trademl_assets.foundation.errors import SourceError
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import RAW_DEPTH
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import Facts, table_facts
from trademl_assets.orchestration.partitions import day_of, split_key
from trademl_assets.order_book.plots import draw_raw_day


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
        rows = work.resource("sources").depth.extract(instrument, day_of(work.key), configuration.grid.max_gap_seconds)
        work.writer.table("data", rows)
        work.writer.rows(rows.height)
        plot = draw_raw_day(rows, instrument.name, day_of(work.key)) if work.draws else b""
        return table_facts(rows, numbers={"instants": rows["ts"].n_unique()}, plot=plot)

    return [partitioned_asset(deployment, RAW_DEPTH, extract, resources=frozenset({"sources"}))]
