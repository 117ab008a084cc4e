"""What a tracked run states as its parameters: the part of the configuration that its asset is made with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trademl_assets.configuration.model import Configuration
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.orchestration.catalog import Entry
from trademl_assets.orchestration.partitions import split_key
from trademl_assets.orchestration.plugin_versions import PluginVersions

Stated = Mapping[str, Parameters | Mapping[str, Any] | str | int]


def run_parameters(configuration: Configuration, entry: Entry, keys: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of the run that makes `keys`, nested; secrets stay references.

    A dataset and a trained model state theirs themselves, where they know what was searched.

    Args:
        configuration: The configuration.
        entry: The asset.
        keys: Its partitions.
    """
    state = _STATED.get(entry.name)
    if state is None:
        return {}
    code_version = PluginVersions(configuration).code_version(entry.name)
    stated = {"schema_version": entry.schema_version, "code_version": code_version, **state(configuration, keys)}
    return {
        name: value.model_dump(mode="json") if isinstance(value, Parameters) else value
        for name, value in stated.items()
    }


def _asked(role: str) -> Callable[[Configuration, Sequence[str]], dict[str, Any]]:
    """What is stated of an asset that a source of this role delivers: the source, and what it is asked for."""

    def state(configuration: Configuration, keys: Sequence[str]) -> dict[str, Any]:
        market = configuration.market
        name = getattr(market, role)
        source = {"name": name, **market.sources[name].model_dump(mode="json")} if name is not None else {}
        parts = [split_key(key) for key in keys]
        instruments = sorted({part[1] for part in parts})
        asked = {"first": min(part[0] for part in parts), "last": max(part[0] for part in parts)}
        return {"source": source, "asked": asked | {"instruments": ",".join(instruments)}}

    return state


def _books(configuration: Configuration, keys: Sequence[str]) -> dict[str, Any]:
    raw = _asked("depth_source") if configuration.market.depth_source else _asked("snapshot_source")
    return raw(configuration, keys) | {"order_book": configuration.order_book}


def _series(configuration: Configuration, keys: Sequence[str]) -> dict[str, Any]:
    market = configuration.market
    return {key: market.sources[market.series[key]].model_dump(mode="json") for key in keys}


_STATED: Mapping[str, Callable[[Configuration, Sequence[str]], Stated]] = {
    "raw_depth": _asked("depth_source"),
    "book_snapshots": _books,
    "external_series": _series,
    "candles": lambda found, keys: _asked("candle_source")(found, keys) | {"candles": found.candles},
    "coverage_calendar": lambda found, _: {"coverage": found.order_book.coverage},
    "aligned_grid": lambda found, _: {"grid": found.grid},
    "daily_aggregates": lambda found, _: {"long_term": found.long_term},
    "market_regime": lambda found, _: {"regimes": found.long_term.regimes},
    "hyperparameter_study": lambda found, _: {"tuning": found.tuning},
    "calibrated_model": lambda found, _: {"calibration": found.evaluation.calibration},
    "model_evaluation": lambda found, _: {"evaluation": found.evaluation},
    "leaderboard": lambda found, _: {"comparison": found.evaluation.comparison},
}
