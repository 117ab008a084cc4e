"""aligned_grid: all instruments of a day on one uniform grid."""

import dagster as dg

from trademl_assets.grid.alignment import align_assets
from trademl_assets.grid.plots import draw_grid_day, sketch_grid_day
from trademl_assets.grid.statistics import describe_grid
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import ALIGNED_GRID, BOOK_SNAPSHOTS
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import all_instruments_of_the_day
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import day_of, join_key


def build_grid_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration
    instruments = configuration.market.instruments_by_name()

    def align(work: Work) -> Facts:
        snapshots = {name: work.store.read_table(BOOK_SNAPSHOTS.name, join_key(work.key, name)) for name in instruments}
        grid = align_assets(snapshots, instruments, day_of(work.key), configuration.grid)
        work.writer.arrays("arrays", grid.arrays)
        work.writer.rows(len(grid.arrays["mid"]))
        found = describe_grid(grid)
        work.writer.note("statistics", found.as_dict())
        if work.draws:
            return Facts(numbers=found.numbers(), plot=draw_grid_day(grid))
        return Facts(numbers=found.numbers(), sketch=sketch_grid_day(grid))

    deps = [dg.AssetDep(BOOK_SNAPSHOTS.name, partition_mapping=all_instruments_of_the_day())]
    return [partitioned_asset(deployment, ALIGNED_GRID, align, deps=deps)]
