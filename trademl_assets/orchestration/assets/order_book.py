"""book_snapshots: checked and compressed from tall rows, or imported where the history is compressed already."""

import dagster as dg
import polars as pl

from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import BOOK_SNAPSHOTS, RAW_DEPTH
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import same_and_previous_day
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import day_of, split_key
from trademl_assets.order_book.compression import compress_day
from trademl_assets.order_book.plots import draw_day_heatmap
from trademl_assets.order_book.quality import clean_tall_rows

_FROM_TALL_ROWS = {
    "ts": ("ts",),
    "batch_id": ("batch_id",),
    "mid": ("bid_price", "ask_price"),
    "spread_bps": ("bid_price", "ask_price"),
    "microprice_bps": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    "locked": ("bid_price", "ask_price"),
    "bid_distance_bps": ("bid_price", "ask_price"),
    "bid_quantity": ("bid_quantity",),
    "ask_distance_bps": ("bid_price", "ask_price"),
    "ask_quantity": ("ask_quantity",),
}
LINEAGE = {column: tuple((RAW_DEPTH.name, name) for name in names) for column, names in _FROM_TALL_ROWS.items()}


def build_order_book_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration
    instruments = configuration.market.instruments_by_name()

    def compress(work: Work) -> Facts:
        instrument, day = instruments[split_key(work.key)[1]], day_of(work.key)
        tall, report = clean_tall_rows(
            work.store.read_table(RAW_DEPTH.name, work.key), instrument.name, day, configuration.order_book.quality
        )
        compressed = compress_day(tall, instrument, day, configuration.order_book.compression)
        work.writer.note("quality", report.as_dict())
        work.writer.note("dropped_depth_share", compressed.dropped_depth_share)
        found = {name: value for name, value in report.as_dict().items() if isinstance(value, int | float)}
        numbers = {"tall_rows": found.pop("rows"), **found}
        return _write(work, compressed.snapshots, {**numbers, "dropped_depth_share": compressed.dropped_depth_share})

    def import_history(work: Work) -> Facts:
        instrument = instruments[split_key(work.key)[1]]
        frame = work.resource("sources").snapshots.snapshots(
            instrument, day_of(work.key), configuration.grid.max_gap_seconds
        )
        return _write(work, frame, {"snapshots": frame.height})

    def make(work: Work) -> Facts:
        return compress(work) if deployment.lineage.is_tall(work.key) else import_history(work)

    deps = [dg.AssetDep(RAW_DEPTH.name, partition_mapping=same_and_previous_day())]
    return [partitioned_asset(deployment, BOOK_SNAPSHOTS, make, deps=deps, resources=frozenset({"sources"}))]


def _write(work: Work, snapshots: pl.DataFrame, numbers: dict[str, float]) -> Facts:
    work.writer.table("data", snapshots)
    work.writer.rows(snapshots.height)
    plot = draw_day_heatmap(snapshots, split_key(work.key)[1], day_of(work.key)) if work.draws else b""
    return Facts(numbers=numbers, plot=plot, schema=snapshots.schema, lineage=LINEAGE)
