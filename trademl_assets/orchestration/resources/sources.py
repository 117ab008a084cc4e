"""The configured sources, built when they are first asked for."""

from functools import cache
from typing import Any

from trademl_assets.sources.bar_contract import BarSource
from trademl_assets.sources.contract import AggregateSource, DepthSource, OptimumSource, SeriesSource, SnapshotSource
from trademl_assets.sources.market import MarketParameters, build_series_source, build_source


class MarketSources:
    """Sources of a market by their role; a role is built once a process."""

    def __init__(self, market: MarketParameters) -> None:
        self._market = market
        self._built = cache(self._build)

    @property
    def depth(self) -> DepthSource:
        """Source of tall rows; ConfigError where the market has none."""
        source: DepthSource = self._built("depth_source")
        return source

    @property
    def snapshots(self) -> SnapshotSource:
        """Source of compressed history; ConfigError where the market has none."""
        source: SnapshotSource = self._built("snapshot_source")
        return source

    @property
    def aggregates(self) -> AggregateSource:
        """Source of the days before the books begin; ConfigError where the market has none."""
        source: AggregateSource = self._built("aggregate_source")
        return source

    @property
    def candles(self) -> BarSource:
        """Source of candles; ConfigError where the market has none."""
        source: BarSource = self._built("candle_source")
        return source

    @property
    def optimum(self) -> OptimumSource | None:
        """Source that knows the best possible forecasts, None on a real market."""
        if self._market.optimum_source is None:
            return None
        source: OptimumSource = self._built("optimum_source")
        return source

    def series(self, name: str) -> SeriesSource:
        """Source of an external series."""
        source: SeriesSource = build_series_source(self._market, name)
        return source

    def _build(self, role: str) -> Any:
        return build_source(self._market, role)
