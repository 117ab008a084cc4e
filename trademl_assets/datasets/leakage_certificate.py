"""The leakage certificate: a dataset's audit, kept beside it for as long as nothing that it depends on changes."""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.leakage import audit, stated_parameters
from trademl_assets.datasets.leakage_findings import LeakageReport
from trademl_assets.datasets.leakage_raw import RawStages, audited_places
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.foundation.plugin_code import plugin_sources
from trademl_assets.order_book.steps import PREPROCESSING_STEPS
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Manifest, Provenance

CERTIFICATE_ASSET = "leakage_certificate"
REPORT = "report"
SCHEMA_VERSION = 1
PACKAGE = "trademl_assets"
AUDITED_ROOMS = ("datasets", "foundation", "grid", "long_term", "order_book", "sources")
"""Packages whose code decides what an audit sees."""
LIBRARIES = ("numpy", "polars", "scipy")


@dataclass(frozen=True)
class Certificate:
    """An audit's report, and whether it is an earlier one that still stands."""

    report: LeakageReport
    is_earlier: bool


def certify(store: ArtifactStore, experiment: str, stages: RawStages | None) -> Certificate:
    """Audit a materialised dataset, or return its earlier certificate where nothing changed since.

    A certificate stands while the same are: the code of the audited packages and of the plug-ins that the dataset
    names, its parameters and those of the raw stages, its content, all it was built from, and the raw rows there are.

    Raises:
        MissingPartitionError, CorruptArtifactError: the dataset or its upstream cannot be read.
    """
    provenance = provenance_of(store, experiment, stages)
    earlier = _earlier(store, experiment, provenance)
    if earlier is not None:
        return Certificate(earlier, is_earlier=True)
    report = audit(store, experiment, stages)
    with store.write(CERTIFICATE_ASSET, experiment, schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
        writer.json(REPORT, report.as_rows())
        writer.rows(len(report.findings))
        writer.note("passed", report.passed)
    return Certificate(report, is_earlier=False)


def provenance_of(store: ArtifactStore, experiment: str, stages: RawStages | None) -> Provenance:
    """Everything that a certificate depends on, as it is now."""
    dataset = store.require(DATASET_ASSET, experiment)
    recipe = store.read_json(DATASET_ASSET, experiment, "recipe")
    parameters = stated_parameters(recipe)
    raw = () if stages is None else audited_places(store, parameters)
    places = {f"{DATASET_ASSET}/{experiment}", *dataset.upstream, *raw}
    return Provenance(
        code_version=code_fingerprint(_plugins(parameters, stages), AUDITED_ROOMS, LIBRARIES),
        config_fingerprint=combine_fingerprints(dataset.config_fingerprint, *_stated(stages)),
        upstream={place: _content_hash(store, place) for place in sorted(places)},
    )


def code_fingerprint(
    plugins: Iterable[type[Any]], rooms: Iterable[str] = AUDITED_ROOMS, libraries: Iterable[str] = LIBRARIES
) -> str:
    """Hash of the sources of packages of the platform and of the modules of `plugins`, and of libraries' versions."""
    digest = hashlib.sha256()
    for room in rooms:
        for name, text in _sources(files(f"{PACKAGE}.{room}"), room):
            digest.update(f"{name} {len(text)}\n".encode() + text)
    for plugin in sorted(plugins, key=lambda kind: (kind.__module__, kind.__qualname__)):
        digest.update(f"{plugin.__module__}.{plugin.__qualname__}\n{plugin_sources(plugin)}".encode())
    for library in libraries:
        digest.update(f"{library} {importlib.metadata.version(library)}\n".encode())
    return digest.hexdigest()


def _earlier(store: ArtifactStore, experiment: str, provenance: Provenance) -> LeakageReport | None:
    try:
        manifest = store.manifest(CERTIFICATE_ASSET, experiment)
        if manifest is None or not _stands(manifest, provenance):
            return None
        return LeakageReport.from_rows(store.read_json(CERTIFICATE_ASSET, experiment, REPORT))
    except CorruptArtifactError:  # made again
        return None


def _stands(manifest: Manifest, now: Provenance) -> bool:
    then = (manifest.schema_version, manifest.code_version, manifest.config_fingerprint, manifest.upstream)
    return then == (SCHEMA_VERSION, now.code_version, now.config_fingerprint, dict(now.upstream))


def _stated(stages: RawStages | None) -> list[str]:
    if stages is None:
        return ["no raw stages"]
    instruments = [f"{name} {stages.instruments[name].fingerprint()}" for name in sorted(stages.instruments)]
    return [*(choice.fingerprint() for choice in stages.steps), stages.grid.fingerprint(), *instruments]


def _plugins(parameters: DatasetParameters, stages: RawStages | None) -> Iterator[type[Any]]:
    yield type(parameters.labels.build())
    for stream in parameters.streams.additional.values():
        yield STREAMS.get(stream.kind)
    for choice in () if stages is None else stages.steps:
        yield PREPROCESSING_STEPS.get(choice.step)


def _content_hash(store: ArtifactStore, place: str) -> str:
    asset, key = place.split("/", 1)
    return store.require(asset, key).content_hash


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.is_dir():
            yield from _sources(each, f"{name}/{each.name}")
        elif each.name.endswith(".py"):
            yield f"{name}/{each.name}", each.read_bytes()
