"""How long and how large what a plan lists will be, from what partitions of the same assets took before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.foundation.progress import readable_seconds
from trademl_assets.orchestration.planning import Stage
from trademl_assets.storage.commit import ArtifactStore, Manifest

_SAMPLED = 64
"""Most partitions of an asset that are looked at, spread evenly over those that there are."""


@dataclass(frozen=True)
class Cost:
    """What a partition of an asset took, as the median over `samples` of them; none where none was made yet."""

    seconds: float
    bytes: float
    samples: int


@dataclass(frozen=True)
class Forecast:
    """What a stage will take.

    Attributes:
        seconds: Time to make its stale partitions, one after the other.
        added_bytes: Disk that partitions not there yet will take.
    """

    seconds: float
    added_bytes: float


def measured_costs(store: ArtifactStore, assets: Iterable[str]) -> dict[str, Cost]:
    """Return the measured cost of a partition by asset; assets never made are left out.

    Args:
        store: Where the manifests are read.
        assets: Assets of interest.
    """
    costs = {}
    for asset in assets:
        keys = store.partitions(asset)
        spread = keys[:: max(1, len(keys) // _SAMPLED)]
        manifests = [each for each in (_manifest(store, asset, key) for key in spread) if each is not None]
        timed = [each for each in manifests if each.seconds > 0]
        if timed:
            costs[asset] = Cost(
                median(each.seconds for each in timed), median(each.bytes for each in timed), len(timed)
            )
    return costs


def forecast(stage: Stage, store: ArtifactStore, costs: Mapping[str, Cost]) -> Forecast | None:
    """Return what a stage will take, None where nothing of its asset was ever made."""
    cost = costs.get(stage.asset)
    if cost is None:
        return None
    present = set(store.partitions(stage.asset))
    return Forecast(
        seconds=cost.seconds * len(stage.stale),
        added_bytes=cost.bytes * sum(key not in present for key in stage.stale),
    )


def forecast_line(stages: Iterable[Stage], store: ArtifactStore, costs: Mapping[str, Cost]) -> str:
    """Return one sentence on all stages together, and on those that nothing is known of."""
    listed = [stage for stage in stages if stage.stale]
    known = [each for each in (forecast(stage, store, costs) for stage in listed) if each is not None]
    unknown = [stage.asset for stage in listed if stage.asset not in costs]
    if not listed:
        return "nothing to make"
    parts = []
    if known:
        seconds, added = sum(each.seconds for each in known), sum(each.added_bytes for each in known)
        parts.append(f"about {readable_seconds(seconds)} and {readable_bytes(added)} more on disk")
    if unknown:
        parts.append(f"nothing measured yet of {', '.join(unknown)}")
    return "forecast: " + "; ".join(parts)


def readable_bytes(count: float) -> str:
    """Return a size as people write it, in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 -- the step of decimal units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _manifest(store: ArtifactStore, asset: str, key: str) -> Manifest | None:
    try:
        return store.manifest(asset, key)
    except CorruptArtifactError:
        return None
