"""What has to be made for a target, and why: manifests compared with the provenance that a partition would have now."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError
from trademl_assets.foundation.input_files import changed_inputs
from trademl_assets.orchestration.catalog import ABLATION_STUDY, COVERAGE_CALENDAR, ENTRIES, LEADERBOARD
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.lineage import Artifact, Lineage
from trademl_assets.storage.commit import ArtifactStore, Manifest

Read = Callable[[Artifact], Manifest | CorruptArtifactError | None]

REMOVED = "removed after use"
READERS = {"raw_depth": "book_snapshots"}
"""By asset whose rows are removed after use: the asset that needs them again whenever it is made again."""


@dataclass(frozen=True)
class Stage:
    """One asset within a plan.

    Attributes:
        asset: Name of the asset.
        keys: Its partitions that the target needs, in order.
        stale: Why a partition has to be made, by key; those that are up to date are left out.
    """

    asset: str
    keys: tuple[str, ...]
    stale: Mapping[str, str]


def wanted(deployment: Deployment, experiment: str | None, until: str | None) -> dict[str, tuple[str, ...]]:
    """Return the partitions that a target needs, by asset in the order of the way.

    Args:
        deployment: The deployment.
        experiment: The experiment up to its leaderboard; None means all partitions of `until`.
        until: Last asset that is wanted, None for all.

    Raises:
        ConfigError: The experiment or the asset is not known, or neither is given.
    """
    targets = _targets(deployment, experiment, until)
    found: set[Artifact] = set()
    waiting = list(targets)
    while waiting:
        artifact = waiting.pop()
        if artifact not in found:
            found.add(artifact)
            waiting.extend(deployment.lineage.upstream(artifact.asset, artifact.key))
    if experiment is not None:
        found.update(_drawn_beside(deployment))
    last = list(ENTRIES).index(until) if until else len(ENTRIES)
    assets = [asset for number, asset in enumerate(ENTRIES) if number <= last]
    keys = {asset: tuple(sorted(artifact.key for artifact in found if artifact.asset == asset)) for asset in assets}
    return {asset: some for asset, some in keys.items() if some}


def why_stale(store: ArtifactStore, lineage: Lineage, artifact: Artifact) -> str:
    """Return why a partition has to be made, empty where it is up to date."""
    return _reason(artifact, lineage, lambda each: _manifest(store, each))


def stage_of(store: ArtifactStore, lineage: Lineage, asset: str, keys: Iterable[str]) -> Stage:
    """Judge the partitions of one asset as they are now."""
    read = cache(lambda artifact: _manifest(store, artifact))
    every = tuple(keys)
    reasons = {key: _reason(Artifact(asset, key), lineage, read) for key in every}
    return Stage(asset, every, {key: reason for key, reason in reasons.items() if reason})


def plan(store: ArtifactStore, deployment: Deployment, needed: Mapping[str, tuple[str, ...]]) -> list[Stage]:
    """Judge everything that a target needs, what follows from upstream included.

    A partition whose upstream will be made again is listed too, although it turns out to be up to date where that
    gives the same content.
    """
    stages: list[Stage] = []
    made: set[Artifact] = set()
    for asset, keys in needed.items():
        stage = stage_of(store, deployment.lineage, asset, keys)
        stale = dict(stage.stale)
        for key in keys:
            before = next((each for each in deployment.lineage.upstream(asset, key) if each in made), None)
            if before is not None and key not in stale:
                stale[key] = f"if {before} changes"
        made.update(Artifact(asset, key) for key in stale)
        stages.append(Stage(asset, keys, stale))
    return stages


def _targets(deployment: Deployment, experiment: str | None, until: str | None) -> list[Artifact]:
    if until is not None and until not in ENTRIES:
        raise ConfigError(f"no asset is called {until!r} -> one of {', '.join(ENTRIES)}")
    if experiment is None:
        if until is None:
            raise ConfigError("nothing to make was named -> name an experiment, or the last asset with --until")
        return [Artifact(until, key) for key in deployment.space(ENTRIES[until].space).get_partition_keys()]
    experiments = sorted(deployment.configuration.datasets)
    if experiment not in experiments:
        raise ConfigError(f"no experiment is called {experiment!r} -> datasets.yaml has {', '.join(experiments)}")
    studied = [Artifact(ABLATION_STUDY.name, experiment)] if deployment.configuration.ablations else []
    return [Artifact(LEADERBOARD.name, experiment), *studied]


def _drawn_beside(deployment: Deployment) -> list[Artifact]:
    """What every experiment shows of what there is, without asking for anything more to be collected."""
    if not deployment.configuration.market.delivers_books:
        return []
    keys = deployment.space(COVERAGE_CALENDAR.space).get_partition_keys()
    return [Artifact(COVERAGE_CALENDAR.name, key) for key in keys]


def _manifest(store: ArtifactStore, artifact: Artifact) -> Manifest | CorruptArtifactError | None:
    try:
        return store.manifest(artifact.asset, artifact.key)
    except CorruptArtifactError as error:
        return error


def _reason(artifact: Artifact, lineage: Lineage, read: Read) -> str:
    manifest = read(artifact)
    if manifest is None:
        return "missing"
    if isinstance(manifest, CorruptArtifactError):
        return "damaged"
    return next(_differences(artifact, manifest, lineage, read), "") or _wanted_again(artifact, manifest, lineage, read)


def _wanted_again(artifact: Artifact, manifest: Manifest, lineage: Lineage, read: Read) -> str:
    """Why rows that were removed after use are needed again, empty where they are not."""
    reader = READERS.get(artifact.asset)
    if not manifest.evicted or reader is None or not _reason(Artifact(reader, artifact.key), lineage, read):
        return ""
    return f"{REMOVED}, and {reader} needs it again"


def _differences(artifact: Artifact, manifest: Manifest, lineage: Lineage, read: Read) -> Iterator[str]:
    entry = ENTRIES[artifact.asset]
    code_version = lineage.code_version(artifact.asset, artifact.key)
    if manifest.code_version != code_version:
        yield f"code version {manifest.code_version} -> {code_version}"
    if manifest.schema_version != entry.schema_version:
        yield f"schema version {manifest.schema_version} -> {entry.schema_version}"
    if manifest.config_fingerprint != lineage.fingerprint(artifact.asset, artifact.key):
        yield "configuration changed"
    yield from (f"input file {path} changed" for path in changed_inputs(manifest.inputs))
    upstream = {str(each): read(each) for each in lineage.upstream(artifact.asset, artifact.key)}
    now = {place: each.content_hash if isinstance(each, Manifest) else "" for place, each in upstream.items()}
    before = manifest.upstream
    changed = sorted(place for place in now.keys() | before.keys() if now.get(place) != before.get(place))
    if changed:
        yield f"{changed[0]} changed" + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
