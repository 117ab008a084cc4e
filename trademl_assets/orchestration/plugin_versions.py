"""Which plug-ins make an asset's partitions, and so which code: their versions become part of the asset's own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trademl_assets.configuration.model import Configuration
from trademl_assets.datasets.label_kinds import LABELS
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.foundation.registry import Registry
from trademl_assets.models.registry import MODELS
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.partitions import day_of, split_key
from trademl_assets.order_book.steps import PREPROCESSING_STEPS, Form
from trademl_assets.scoring.calibration_methods import METHODS
from trademl_assets.sources.contract import SOURCES

Plugin = tuple[Registry[Any], str]
"""A registry and the name of a plug-in in it."""
Used = Callable[[str | None], Iterator[Plugin]]
"""From a key to the plug-ins that its partition is made with; None asks for those of all partitions."""


class PluginVersions:
    """Code versions of assets under one configuration, with those of other packages' plug-ins."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._used: Mapping[str, Used] = {
            "raw_depth": lambda _: self._source("depth_source"),
            "book_snapshots": self._of_snapshots,
            "daily_aggregates": self._of_aggregates,
            "external_series": self._of_series,
            "candles": lambda _: self._source("candle_source"),
            "dataset": self._of_dataset,
            "hyperparameter_study": self._of_model,
            "trained_model": self._of_model,
            "calibrated_model": lambda _: (
                (METHODS, name) for name in configuration.evaluation.calibration.minimum_effective
            ),
            "model_evaluation": lambda _: self._source("optimum_source"),
        }

    def code_version(self, asset: str, key: str | None = None) -> str:
        """Return the version of the code that makes a partition: the asset's, and of each foreign plug-in its own.

        Args:
            asset: The asset.
            key: The partition; None for the asset as a whole, which is what Dagster compares partitions with.
        """
        used = self._used.get(asset)
        found = set() if used is None else set(used(None if key is None else str(key)))
        codes = {f"{name}@{code}" for registry, name in found if (code := registry.code(name))}
        return "+".join([ENTRIES[asset].code_version, *sorted(codes)])

    def _source(self, role: str) -> Iterator[Plugin]:
        market = self._configuration.market
        name = getattr(market, role)
        if name is not None:
            yield SOURCES, market.sources[name].kind

    def _of_snapshots(self, key: str | None) -> Iterator[Plugin]:
        forms: tuple[Form, ...] = ("raw rows", "snapshots")
        if key is not None:
            forms = forms[:1] if day_of(key) >= self._configuration.market.tall_rows_from else forms[1:]
        for form in forms:
            yield from self._source("snapshot_source") if form == "snapshots" else ()
            yield from ((PREPROCESSING_STEPS, each.step) for each in self._configuration.order_book.steps_from(form))

    def _of_aggregates(self, key: str | None) -> Iterator[Plugin]:
        if key is None or day_of(key) < self._configuration.market.first_day:
            yield from self._source("aggregate_source")

    def _of_series(self, key: str | None) -> Iterator[Plugin]:
        market = self._configuration.market
        for name in market.series if key is None else [key]:
            yield SOURCES, market.sources[market.series[name]].kind

    def _of_dataset(self, key: str | None) -> Iterator[Plugin]:
        datasets = self._configuration.datasets
        for dataset in datasets.values() if key is None else [datasets[key]]:
            yield LABELS, dataset.labels.kind
            yield from ((STREAMS, stream.kind) for stream in dataset.streams.additional.values())

    def _of_model(self, key: str | None) -> Iterator[Plugin]:
        models = self._configuration.all_models
        for model in models.values() if key is None else [models[split_key(key)[1]]]:
            yield MODELS, model.family
