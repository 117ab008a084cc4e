"""What a partition is made from, upstream and configuration: one answer for asset bodies and for planning.

A body writes this provenance into its manifest; the plan compares a manifest with it. So what is recorded and what is
compared cannot drift.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from trademl_assets.configuration.model import Configuration
from trademl_assets.datasets.candle_inputs import candle_partitions
from trademl_assets.foundation.calendar import days_between
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.orchestration.ablations import study_key
from trademl_assets.orchestration.partitions import day_of, join_key, split_key
from trademl_assets.orchestration.plugin_versions import PluginVersions
from trademl_assets.storage.commit import ArtifactStore, Provenance


@dataclass(frozen=True, order=True)
class Artifact:
    """One partition of one asset."""

    asset: str
    key: str

    def __str__(self) -> str:
        return f"{self.asset}/{self.key}"


MAY_MISS_UPSTREAM = frozenset({"coverage_calendar", "leaderboard"})
"""Assets that tell what is missing rather than need it, or, as the leaderboard its ablations, show it where it is."""

Upstream = Mapping[str, Callable[[str], tuple[Artifact, ...]]]
"""By asset: from a key to the partitions that it is made from."""
Fingerprints = Mapping[str, Callable[[str], str]]
"""By asset: from a key to the fingerprint of what it is configured with."""


class Lineage:
    """Provenance of every partition under one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._versions = PluginVersions(configuration)
        self._market = configuration.market
        self._instruments = self._market.instruments_by_name()
        self._all_instruments = combine_fingerprints(*(each.fingerprint() for each in self._market.instruments))
        self._upstream: Upstream = {
            "raw_depth": lambda _: (),
            "book_snapshots": self._before_snapshots,
            "aligned_grid": self._before_grid,
            "daily_aggregates": self._before_aggregates,
            "market_regime": self._before_regime,
            "external_series": lambda _: (),
            "candles": lambda _: (),
            "coverage_calendar": lambda _: self._all_books(),
            "dataset": self._before_dataset,
            "leakage_controls": lambda key: (Artifact("dataset", key),),
            "hyperparameter_study": lambda key: (Artifact("dataset", split_key(key)[0]),),
            "trained_model": self._before_model,
            "calibrated_model": lambda key: (Artifact("dataset", split_key(key)[0]), Artifact("trained_model", key)),
            "model_evaluation": self._before_evaluation,
            "ablation_study": self._before_ablation_study,
            "leaderboard": self._before_leaderboard,
        }
        self._fingerprint: Fingerprints = {
            "raw_depth": lambda key: self._source("depth_source", split_key(key)[1]),
            "book_snapshots": self._of_snapshots,
            "aligned_grid": lambda _: combine_fingerprints(configuration.grid.fingerprint(), self._all_instruments),
            "daily_aggregates": self._of_aggregates,
            "market_regime": lambda _: configuration.long_term.regimes.fingerprint(),
            "external_series": self._of_series,
            "candles": self._of_candles,
            "coverage_calendar": lambda _: combine_fingerprints(
                self._all_instruments, configuration.order_book.coverage.fingerprint()
            ),
            "dataset": self._of_dataset,
            "leakage_controls": lambda _: configuration.evaluation.fingerprint(),
            "hyperparameter_study": self._of_study,
            "trained_model": self._of_training,
            "calibrated_model": lambda _: configuration.evaluation.calibration.fingerprint(),
            "model_evaluation": self._of_evaluation,
            "ablation_study": lambda _: self._of_ablation_study(),
            "leaderboard": lambda _: configuration.evaluation.fingerprint(),
        }

    def upstream(self, asset: str, key: str) -> tuple[Artifact, ...]:
        """Return the partitions that a partition is made from."""
        return self._upstream[asset](str(key))

    def fingerprint(self, asset: str, key: str) -> str:
        """Return the fingerprint of the part of the configuration that a partition is made with."""
        return self._fingerprint[asset](str(key))

    def code_version(self, asset: str, key: str | None = None) -> str:
        """Return the version of the code that makes a partition, or with no key that of the asset as a whole."""
        return self._versions.code_version(asset, key)

    def provenance(self, store: ArtifactStore, asset: str, key: str, run_id: str) -> Provenance:
        """Return the provenance of a partition that is about to be made.

        Raises:
            MissingPartitionError: An upstream partition does not exist.
        """
        find = store.manifest if asset in MAY_MISS_UPSTREAM else store.require
        found = {str(each): find(each.asset, each.key) for each in self.upstream(asset, key)}
        upstream = {place: "" if manifest is None else manifest.content_hash for place, manifest in found.items()}
        return Provenance(
            code_version=self.code_version(asset, key),
            config_fingerprint=self.fingerprint(asset, key),
            upstream=upstream,
            run_id=run_id,
        )

    def is_tall(self, key: str) -> bool:
        """Tell whether a day (or day and instrument) is read as tall rows rather than imported as snapshots."""
        return day_of(key) >= self._market.tall_rows_from

    def previous_raw_day(self, key: str) -> Artifact | None:
        """Return the raw rows of the day before, whose levels decide what a day keeps; None on the first raw day."""
        day, instrument = day_of(key) - timedelta(days=1), split_key(key)[1]
        if day < max(self._market.first_day, self._market.tall_rows_from):
            return None
        return Artifact("raw_depth", join_key(day.isoformat(), instrument))

    def has_books(self, key: str) -> bool:
        """Tell whether a day has books, or exists as aggregates only."""
        return day_of(key) >= self._market.first_day

    def context_days(self, experiment: str) -> tuple[date, ...]:
        """Return the days before and within a dataset whose daily vectors it may read, the last day left out."""
        dataset = self._configuration.datasets[experiment]
        long_term = dataset.streams.long_term
        before = 1 if long_term is None else long_term.lookback_days
        first = max(self._market.history_first_day, dataset.first_day - timedelta(days=before))
        return days_between(first, dataset.last_day - timedelta(days=1))

    def _source(self, role: str, instrument: str | None = None) -> str:
        grid = self._configuration.grid
        return combine_fingerprints(self._chosen(role), self._who(instrument), str(grid.max_gap_seconds))

    def _who(self, instrument: str | None) -> str:
        return self._all_instruments if instrument is None else self._instruments[instrument].fingerprint()

    def _chosen(self, role: str) -> str:
        name = getattr(self._market, role)
        if name is None:
            raise ConfigError(
                f"market.yaml: {role} is null -> name one of the configured sources {sorted(self._market.sources)}"
            )
        return self._market.sources[name].fingerprint()

    def _of_snapshots(self, key: str) -> str:
        order_book, instrument = self._configuration.order_book, split_key(key)[1]
        if self.is_tall(key):
            return combine_fingerprints(
                self._source("depth_source", instrument), order_book.fingerprint_from("raw rows")
            )
        return combine_fingerprints(
            self._source("snapshot_source", instrument), order_book.fingerprint_from("snapshots")
        )

    def _of_aggregates(self, day: str) -> str:
        if not self.has_books(day):
            return self._source("aggregate_source")
        groups = self._configuration.long_term.level_groups
        return combine_fingerprints(self._all_instruments, *(group.fingerprint() for group in groups))

    def _of_dataset(self, experiment: str) -> str:
        dataset, configuration = self._configuration.datasets[experiment], self._configuration
        frame = configuration.candles if dataset.series_from == "candles" else configuration.grid
        return combine_fingerprints(dataset.fingerprint(), frame.fingerprint(), self._all_instruments)

    def _of_training(self, key: str) -> str:
        model, training = self._configuration.all_models[split_key(key)[1]], self._configuration.training
        return combine_fingerprints(model.fingerprint(), training.fingerprint())

    def _of_study(self, key: str) -> str:
        return combine_fingerprints(self._of_training(key), self._configuration.tuning.fingerprint())

    def _of_evaluation(self, _: str) -> str:
        optimum = self._source("optimum_source") if self._market.optimum_source else ""
        return combine_fingerprints(self._configuration.evaluation.fingerprint(), optimum)

    def _of_series(self, name: str) -> str:
        market = self._market
        days = f"{market.history_first_day} {market.last_day}"
        return combine_fingerprints(market.sources[market.series[name]].fingerprint(), name, days)

    def _of_candles(self, key: str) -> str:
        source, instrument = self._chosen("candle_source"), self._who(split_key(key)[1])
        return combine_fingerprints(source, instrument, self._configuration.candles.fingerprint())

    def _all_books(self) -> tuple[Artifact, ...]:
        days = days_between(self._market.first_day, self._market.last_day)
        keys = (join_key(day.isoformat(), name) for day in days for name in self._instruments)
        return tuple(Artifact("book_snapshots", key) for key in keys)

    def _before_snapshots(self, key: str) -> tuple[Artifact, ...]:
        if not self.is_tall(key):
            return ()
        before = self.previous_raw_day(key)
        return (Artifact("raw_depth", key),) if before is None else (before, Artifact("raw_depth", key))

    def _before_grid(self, day: str) -> tuple[Artifact, ...]:
        return tuple(Artifact("book_snapshots", join_key(day, name)) for name in self._instruments)

    def _before_aggregates(self, day: str) -> tuple[Artifact, ...]:
        return (Artifact("aligned_grid", day),) if self.has_books(day) else ()

    def _before_regime(self, day: str) -> tuple[Artifact, ...]:
        last = date.fromisoformat(day)
        first = max(
            self._market.history_first_day, last - timedelta(days=self._configuration.long_term.regimes.window_days - 1)
        )
        return tuple(Artifact("daily_aggregates", each.isoformat()) for each in days_between(first, last))

    def _before_dataset(self, experiment: str) -> tuple[Artifact, ...]:
        dataset = self._configuration.datasets[experiment]
        days = days_between(dataset.first_day, dataset.last_day)
        series: list[Artifact] = [Artifact("aligned_grid", day.isoformat()) for day in days]
        if dataset.series_from == "candles":
            series = [Artifact("candles", key) for key in candle_partitions(days, dataset.instruments)]
        clock, long_term = dataset.streams.clock, dataset.streams.long_term
        reads_aggregates = long_term is not None or (clock is not None and "volume_percentile" in clock.columns)
        assets = ("daily_aggregates", "market_regime") if reads_aggregates else ("market_regime",)
        told = self.context_days(experiment) if self._market.delivers_books else ()
        context = [Artifact(asset, day.isoformat()) for asset in assets for day in told]
        external = [Artifact("external_series", name) for name in dataset.external_series]
        return tuple(series + context + external)

    def _before_model(self, key: str) -> tuple[Artifact, ...]:
        dataset = Artifact("dataset", split_key(key)[0])
        if not self._configuration.tuning.enabled:
            return (dataset,)
        return dataset, Artifact("hyperparameter_study", study_key(self._configuration, key))

    def _before_evaluation(self, key: str) -> tuple[Artifact, ...]:
        return (
            Artifact("dataset", split_key(key)[0]),
            Artifact("trained_model", key),
            Artifact("calibrated_model", key),
        )

    def _before_leaderboard(self, experiment: str) -> tuple[Artifact, ...]:
        models = sorted(self._configuration.all_models)
        studied = (Artifact("ablation_study", experiment),) if self._configuration.ablations else ()
        return (*(Artifact("model_evaluation", join_key(experiment, model)) for model in models), *studied)

    def _before_ablation_study(self, experiment: str) -> tuple[Artifact, ...]:
        ablations = self._configuration.ablations
        compared = sorted({*ablations, *(each.of for each in ablations.values())})
        return tuple(Artifact("model_evaluation", join_key(experiment, model)) for model in compared)

    def _of_ablation_study(self) -> str:
        pairs = (f"{name} {each.of}" for name, each in sorted(self._configuration.ablations.items()))
        return combine_fingerprints(self._configuration.evaluation.fingerprint(), *pairs)
