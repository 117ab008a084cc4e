"""Where a partition comes from: the chain of content hashes down to its sources, each link verified on the disk."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from trademl_assets.foundation.errors import CorruptArtifactError, StorageError
from trademl_assets.storage.commit import ArtifactStore, Manifest
from trademl_assets.storage.manifest import content_hash
from trademl_assets.storage.verification import damage

Status = Literal["verified", "changed", "missing"]
STATUSES: tuple[Status, ...] = ("verified", "changed", "missing")
EXTRACTION = "extraction"
"""File of a partition that tells how its source was asked: statements or files, ranges, counts."""
_DIGITS = 12


@dataclass(frozen=True)
class Link:
    """One partition of the chain.

    Attributes:
        asset: Its asset.
        partition: Its key.
        status: `verified`: every file has the bytes of its manifest, and the manifest the content that everything made
            from it names; `changed` otherwise; `missing`: the manifest or a file is not there.
        problems: What is wrong, a sentence each.
        content_hash: That it states, empty where its manifest cannot be read.
        named_by: "asset/partition" -> content hash that the ones made from it name.
        upstream: "asset/partition" -> content hash that it was made from.
        code_version, config_fingerprint, run_id, created_at: As its manifest has them.
        files: Name -> sha256 of its files, those removed after use too.
        evicted: Names of files that were removed after use and can be made again; they are not missing.
        extraction: How its source was asked, where the partition tells.
    """

    asset: str
    partition: str
    status: Status
    problems: tuple[str, ...]
    content_hash: str
    named_by: Mapping[str, str]
    upstream: Mapping[str, str]
    code_version: str
    config_fingerprint: str
    run_id: str
    created_at: str
    files: Mapping[str, str]
    evicted: tuple[str, ...]
    extraction: Mapping[str, Any]

    @property
    def place(self) -> str:
        """How other partitions name it."""
        return f"{self.asset}/{self.partition}"


@dataclass(frozen=True)
class SourceStatement:
    """What a partition without upstream was asked of, as the present configuration states it.

    Attributes:
        name: Of the source in the configuration.
        kind: Registered kind of it.
        parameters: Of that kind; secrets are references.
        config_fingerprint: That a partition made now would have; another one was made with other parameters.
    """

    name: str
    kind: str
    parameters: Mapping[str, Any]
    config_fingerprint: str


@dataclass(frozen=True)
class SourceUse:
    """What one source gave to one asset of the chain.

    Attributes:
        asset: The asset.
        name, kind, parameters: As `SourceStatement`.
        partitions: How many came from it.
        first, last: Least and greatest first part of their keys, such as the day.
        otherwise: How many of them were made with another configuration than the present one.
    """

    asset: str
    name: str
    kind: str
    parameters: Mapping[str, Any]
    partitions: int
    first: str
    last: str
    otherwise: int


@dataclass(frozen=True)
class AssetSummary:
    """The links of one asset: how many of each status, and the least and greatest first part of their keys."""

    asset: str
    partitions: int
    first: str
    last: str
    verified: int
    changed: int
    missing: int
    evicted: int


@dataclass(frozen=True)
class Chain:
    """A partition and everything it stands on, the partition itself first, sources last.

    Attributes:
        target: "asset/partition".
        links: All of them, each once.
        sources: What was read from outside.
    """

    target: str
    links: tuple[Link, ...]
    sources: tuple[SourceUse, ...]

    @property
    def is_intact(self) -> bool:
        """Whether every link is verified."""
        return all(link.status == "verified" for link in self.links)

    def summaries(self) -> list[AssetSummary]:
        """Summarise by asset, in the order in which the chain meets them."""
        by_asset: dict[str, list[Link]] = {}
        for link in self.links:
            by_asset.setdefault(link.asset, []).append(link)
        return [_summarise(asset, links) for asset, links in by_asset.items()]

    def problems(self) -> Iterator[str]:
        """Yield what is wrong, a line a problem."""
        for link in self.links:
            yield from (f"{link.place}: {link.status}: {problem}" for problem in link.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        summaries = [asdict(summary) for summary in self.summaries()]
        return {"intact": self.is_intact, "assets": summaries, **asdict(self)}


Describe = Callable[[Manifest], SourceStatement | None]
"""From a partition without upstream to its source; None where the configuration knows none."""


def trace(store: ArtifactStore, asset: str, partition: str, describe: Describe) -> Chain:
    """Follow a partition down to its sources and verify every file on the way.

    Args:
        store: Where the partitions lie.
        asset: Asset of the partition.
        partition: Its key.
        describe: Tells the source of a partition without upstream.
    """
    links: dict[str, Link] = {}
    waiting = [(asset, partition)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while waiting:
            found = list(pool.map(lambda place: _look(store, *place), waiting))
            links |= {link.place: link for link in found}
            following = dict.fromkeys(place for link in found for place, named in link.upstream.items() if named)
            waiting = [_split(place) for place in following if place not in links]
    named: dict[str, dict[str, str]] = {place: {} for place in links}
    for link in links.values():
        for place, version in link.upstream.items():
            if version:
                named[place][link.place] = version
    compared = tuple(_compare(link, named[place]) for place, link in links.items())
    return Chain(f"{asset}/{partition}", compared, tuple(_sources(store, compared, describe)))


def _look(store: ArtifactStore, asset: str, partition: str) -> Link:
    """Read a manifest and hash the files it names."""
    try:
        manifest = store.manifest(asset, partition)
    except CorruptArtifactError as error:
        return _unreadable(asset, partition, "changed", f"{error}; what it was made from cannot be told")
    if manifest is None:
        return _unreadable(asset, partition, "missing", "there is no such partition")
    problems: list[str] = []
    status: Status = "verified"
    stated = content_hash(manifest.schema_version, manifest.rows, manifest.notes, manifest.files)
    if stated != manifest.content_hash:
        problems.append(
            f"its manifest states content {manifest.content_hash[:_DIGITS]}, but adds up to {stated[:_DIGITS]}"
        )
        status = "changed"
    folder = store.layout.partition_folder(asset, partition)
    for entry in manifest.kept_files().values():
        try:
            wrong = damage(folder / entry.file, entry)
        except OSError as error:
            wrong = f"cannot be read: {error}"
        if wrong is not None:
            problems.append(f"{entry.file} {wrong}")
            status = "missing" if not (folder / entry.file).exists() else max(status, "changed", key=STATUSES.index)
    return Link(
        asset=asset,
        partition=partition,
        status=status,
        problems=tuple(problems),
        content_hash=manifest.content_hash,
        named_by={},
        upstream=manifest.upstream,
        code_version=manifest.code_version,
        config_fingerprint=manifest.config_fingerprint,
        run_id=manifest.run_id,
        created_at=manifest.created_at,
        files={name: entry.sha256 for name, entry in manifest.files.items()},
        evicted=tuple(manifest.evicted),
        extraction=_extraction(store, manifest),
    )


def _extraction(store: ArtifactStore, manifest: Manifest) -> Mapping[str, Any]:
    if EXTRACTION not in manifest.kept_files():
        return {}
    try:
        told: dict[str, Any] = store.read_json(manifest.asset, manifest.partition, EXTRACTION)
    except StorageError:  # the link says that the file is damaged
        return {}
    return told


def _unreadable(asset: str, partition: str, status: Status, problem: str) -> Link:
    return Link(asset, partition, status, (problem,), "", {}, {}, "", "", "", "", {}, (), {})


def _compare(link: Link, named: Mapping[str, str]) -> Link:
    """Compare what a link states with what those made from it name."""
    others = {place: version for place, version in named.items() if version != link.content_hash}
    if not others or not link.content_hash:
        return replace(link, named_by=named)
    place, version = next(iter(others.items()))
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    problem = f"{place}{more} was made from content {version[:_DIGITS]}, there is {link.content_hash[:_DIGITS]} now"
    status = max(link.status, "changed", key=STATUSES.index)
    return replace(link, named_by=named, status=status, problems=(*link.problems, problem))


def _sources(store: ArtifactStore, links: Sequence[Link], describe: Describe) -> Iterator[SourceUse]:
    """Group the links without upstream by asset and source."""
    used: dict[tuple[str, str], list[tuple[Link, SourceStatement]]] = {}
    for link in links:
        if link.upstream or not link.content_hash:
            continue
        statement = describe(store.require(link.asset, link.partition))
        if statement is not None:
            used.setdefault((link.asset, statement.name), []).append((link, statement))
    for (asset, name), found in used.items():
        summary, statement = _summarise(asset, [link for link, _ in found]), found[0][1]
        otherwise = sum(link.config_fingerprint != stated.config_fingerprint for link, stated in found)
        yield SourceUse(
            asset, name, statement.kind, statement.parameters, len(found), summary.first, summary.last, otherwise
        )


def _summarise(asset: str, links: Sequence[Link]) -> AssetSummary:
    days = sorted(link.partition.split("|")[0] for link in links)
    verified, changed, missing = (sum(link.status == status for link in links) for status in STATUSES)
    evicted = sum(bool(link.evicted) for link in links)
    return AssetSummary(asset, len(links), days[0], days[-1], verified, changed, missing, evicted)


def _split(place: str) -> tuple[str, str]:
    asset, _, partition = place.partition("/")
    return asset, partition


def describe_chain(chain: Chain, *, full: bool) -> Iterator[str]:
    """Yield the lines below the table of a chain: what is wrong, the sources, and every link where asked for."""
    yield from chain.problems()
    for source in chain.sources:
        yield (
            f"source of {source.asset}, {source.partitions} partition(s) {source.first} to {source.last}: "
            f"{source.name} ({source.kind}) {json.dumps(source.parameters, sort_keys=True)}"
        )
        if source.otherwise:
            yield f"    {source.otherwise} of them were made with another configuration than the present one"
    asked = next((link for link in chain.links if link.extraction), None)
    if asked is not None:
        yield f"{asked.place} was extracted by {json.dumps(asked.extraction, sort_keys=True)}"
    if full:
        for link in chain.links:
            removed = f", removed after use: {', '.join(link.evicted)}" if link.evicted else ""
            yield f"{link.place} {link.status} {link.content_hash or '-'} code {link.code_version or '-'}{removed}"
    verdict = "intact: every hash fits" if chain.is_intact else "NOT intact"
    yield f"{chain.target}: {len(chain.links)} partition(s), {verdict}"
