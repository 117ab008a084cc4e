"""candles: checked bars of an instrument and month."""

import dagster as dg

from trademl_assets.candles.bars import check_bars, month_days
from trademl_assets.candles.plots import draw_bars, sketch_bars
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import CANDLES
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import month_of, split_key


def build_candle_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage; none where the market has no source of candles."""
    parameters = deployment.configuration.candles
    instruments = deployment.configuration.market.instruments_by_name()

    def check(work: Work) -> Facts:
        month, instrument = month_of(work.key), instruments[split_key(work.key)[1]]
        rows = work.resource("sources").candles.bars(instrument, *month_days(month))
        checked = check_bars(rows, instrument.name, month, parameters)
        work.writer.table("data", checked.table)
        work.writer.table("gaps", checked.gaps)
        work.writer.rows(checked.table.height)
        found = checked.report.as_dict()
        work.writer.note("quality", found)
        return Facts(
            numbers={name: float(value) for name, value in found.items() if isinstance(value, int | float)},
            texts={"reason": checked.report.reason} if checked.report.reason else {},
            plot=draw_bars(checked, instrument.name, month, parameters.cadence_seconds) if work.draws else b"",
            sketch=None if work.draws else sketch_bars(checked, month),
            schema=checked.table.schema,
        )

    if deployment.configuration.market.candle_source is None:
        return []
    return [partitioned_asset(deployment, CANDLES, check, resources=frozenset({"sources"}))]
