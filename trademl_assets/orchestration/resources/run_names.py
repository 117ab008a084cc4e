"""Names and tags of tracked runs: one name a batch, by its partition or its range."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from trademl_assets.configuration.model import Configuration
from trademl_assets.orchestration.catalog import ALIGNED_GRID, Entry
from trademl_assets.orchestration.partitions import split_key

_DAYS = frozenset({"books", "days", "history", "candles"})
_INSTRUMENTS = frozenset({"books", "candles"})
"""Spaces whose second dimension is the instrument."""
_WHOLES = frozenset({"series", "market"})
"""Spaces whose partitions span all days."""
_OF_FOUR = {"data_collection": "preprocessing", "data_object": "preprocessing", "model_training": "training"}
"""Stages that the view of four experiments calls otherwise than their own names."""


class RunNames:
    """Names and tags under one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._datasets = configuration.datasets

    def run_name(self, entry: Entry, keys: Sequence[str]) -> str:
        """Return the name of the run that makes `keys`, for example `data_object_BTCUSDT_2024-01-01`."""
        return entry.run_name.format_map(self._facts(entry, keys))

    def instrument_run_name(self, instrument: str, days: Sequence[str]) -> str:
        """Return the name of the run of one instrument below that of an alignment of `days`."""
        return f"{instrument}_preprocessing_{_span(days)}"

    def instrument_tags(self, instrument: str, days: Sequence[str]) -> dict[str, str]:
        """Return the tags of that run."""
        tags = self.tags(ALIGNED_GRID, days) | {"asset": instrument}
        return {name: value for name, value in tags.items() if name != "dagster_asset"}  # no asset is made by it

    def tags(self, entry: Entry, keys: Sequence[str]) -> dict[str, str]:
        """Return the tags of the run that makes `keys`."""
        facts = self._facts(entry, keys)
        view = _OF_FOUR.get(entry.stage, entry.stage)
        tags = {"stage": entry.stage, "view_of_four": view, "dagster_asset": entry.name, "partitions": str(len(keys))}
        if entry.space in _DAYS:
            return tags | {"asset": facts["instrument"], "days": facts["day"]}
        if entry.space in _WHOLES:
            return tags | {"asset": facts["instrument"]}
        tags |= {"asset": facts["target"], "prediction_horizon": facts["horizon"], "experiment": facts["experiment"]}
        return tags | ({"model_key": facts["model"]} if facts["model"] else {})

    def _facts(self, entry: Entry, keys: Sequence[str]) -> Mapping[str, str]:
        parts = [split_key(key) for key in keys]
        first = _span([part[0] for part in parts])
        second = _several(
            "instruments" if entry.space in _INSTRUMENTS else "models", [part[1] for part in parts if len(part) > 1]
        )
        facts = dict.fromkeys(("day", "instrument", "target", "horizon", "experiment", "model"), "")
        facts["version"] = str(entry.schema_version)
        if entry.space in _DAYS:
            return facts | {"day": first, "instrument": second or "all"}
        if entry.space in _WHOLES:
            return facts | {"instrument": _several("series", [part[0] for part in parts])}
        experiments = sorted({part[0] for part in parts})
        datasets = [self._datasets[name] for name in experiments]
        return facts | {
            "day": _span([dataset.last_day.isoformat() for dataset in datasets]),
            "target": _several("targets", [dataset.target for dataset in datasets]),
            "horizon": _several("horizons", [_horizon(dataset.labels.horizon_seconds) for dataset in datasets]),
            "experiment": ",".join(experiments),
            "model": second,
        }


def _span(days: Sequence[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first}_to_{last}"


def _several(what: str, values: Sequence[str]) -> str:
    different = sorted(set(values))
    return f"{len(different)}_{what}" if len(different) > 1 else "".join(different)


def _horizon(seconds: int) -> str:
    minute = timedelta(minutes=1).seconds
    return f"{seconds // minute}min" if seconds % minute == 0 else f"{seconds}s"
