"""Evaluations of a model that were made before, kept small and whole: what a later one is compared with.

A partition of `model_evaluation` holds the latest evaluation alone. Every one is also kept here under a number, with
the predictions it was judged on, the configuration, and every content hash it stands on.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from trademl_assets.evaluation.judge import decisions
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.foundation.errors import ConfigError, MissingPartitionError
from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.storage.commit import ArtifactStore, Manifest
from trademl_assets.storage.locking import locked
from trademl_assets.storage.manifest import Provenance

VERSIONS_ASSET = "evaluation_version"
CODE_VERSION, SCHEMA_VERSION = "1", 1
CHAIN_SCHEMA = {"asset": pl.String, "partition": pl.String, "content_hash": pl.String, "code_version": pl.String}
_DIGITS = 4
_FINGERPRINT = "fingerprint"


@dataclass(frozen=True)
class EvaluationVersion:
    """One evaluation of a model.

    Attributes:
        key: Experiment and model, `experiment|model`.
        number: Counted from 1; None for one that is not kept yet.
        judgement: What was found.
        decisions: Test decisions in time order: t0, t1, instrument, label, after_0..after_{C-1}.
        boundaries_bps: Class edges; None where the classes are not cut by the return.
        horizon_seconds: Of the labels.
        configuration: Everything that the model follows from, as dotted keys and JSON values.
        chain: Every partition it stands on with content hash and code version, rows of `CHAIN_SCHEMA`.
    """

    key: str
    number: int | None
    judgement: Judgement
    decisions: pl.DataFrame
    boundaries_bps: tuple[float, ...] | None
    horizon_seconds: int
    configuration: Mapping[str, Any]
    chain: pl.DataFrame

    @property
    def name(self) -> str:
        """How a reader names it, such as `demo/dual_channel@2`."""
        return self.key.replace("|", "/") + (f"@{self.number}" if self.number is not None else "")


def judged_decisions(predictions: pl.DataFrame, index: pl.DataFrame) -> pl.DataFrame:
    """Return the test decisions of a table of `calibrate_predictions` as a version keeps them.

    Args:
        predictions: The table.
        index: Sample index that it was made from, for the instruments.
    """
    rows = decisions(predictions).join(index.select("sample", "instrument"), on="sample", how="left")
    after = [column for column in rows.columns if column.startswith("after_")]
    return rows.sort("t0", "instrument").select("t0", "t1", "instrument", "label", *after)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested JSON values by dotted keys; mappings in lists by their place, other lists whole."""
    return dict(_leaves(values, prefix))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{place}")
    elif name:
        yield name, value


def upstream_chain(store: ArtifactStore, manifest: Manifest) -> pl.DataFrame:
    """Return what a partition stands on, as it was when that was made: rows of `CHAIN_SCHEMA`.

    What was made again since is named by the content that was read, with no code version and nothing below it. The
    partition itself is there for its code version, without a content.
    """
    found: dict[str, tuple[str, str | None]] = {f"{manifest.asset}/{manifest.partition}": ("", manifest.code_version)}
    waiting = list(manifest.upstream.items())
    while waiting:
        place, version = waiting.pop()
        if place in found or not version:
            continue
        asset, _, partition = place.partition("/")
        present = store.manifest(asset, partition)
        stands = present is not None and present.content_hash == version
        found[place] = (version, present.code_version if present is not None and stands else None)
        if present is not None and stands:
            waiting.extend(present.upstream.items())
    rows = [(*place.split("/", 1), *found[place]) for place in sorted(found)]
    return pl.DataFrame(rows, schema=CHAIN_SCHEMA, orient="row")


def keep_version(store: ArtifactStore, evaluation: Manifest, version: EvaluationVersion, kept: int) -> int:
    """Keep an evaluation as the latest version of its model, unless it is kept already or nothing about it changed.

    Args:
        store: Where versions lie.
        evaluation: Manifest of the evaluation.
        version: What to keep.
        kept: Versions of a model that stay; older ones are removed.

    Returns:
        Its number.
    """
    configuration = json.dumps(version.configuration, sort_keys=True)
    chain = version.chain.write_csv()
    fingerprint = combine_fingerprints(evaluation.content_hash, configuration, chain)
    upstream = {f"{evaluation.asset}/{evaluation.partition}": evaluation.content_hash}
    with locked(store.layout.partition_folder(VERSIONS_ASSET, version.key)):
        there = version_numbers(store, version.key)
        if there:
            last = store.require(VERSIONS_ASSET, _partition(version.key, there[-1]))
            same_run = last.upstream == upstream and last.run_id == evaluation.run_id
            if same_run or last.notes[_FINGERPRINT] == fingerprint:
                return there[-1]
        number = there[-1] + 1 if there else 1
        provenance = Provenance(CODE_VERSION, evaluation.config_fingerprint, upstream, evaluation.run_id)
        place = _partition(version.key, number)
        with store.write(VERSIONS_ASSET, place, schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
            writer.json("judgement", version.judgement.as_dict())
            writer.table("decisions", version.decisions)
            writer.table("chain", version.chain)
            writer.json("configuration", version.configuration)
            writer.json(
                "labels", {"boundaries_bps": version.boundaries_bps, "horizon_seconds": version.horizon_seconds}
            )
            writer.note(_FINGERPRINT, fingerprint)
            writer.rows(version.decisions.height)
        for old in [*there, number][:-kept]:
            store.delete(VERSIONS_ASSET, _partition(version.key, old))
    return number


def version_numbers(store: ArtifactStore, key: str) -> tuple[int, ...]:
    """Return the numbers of the versions of a model that are kept, the latest last."""
    found = (each.rpartition("|") for each in store.partitions(VERSIONS_ASSET))
    return tuple(int(number) for model, _, number in found if model == key)


def read_version(store: ArtifactStore, key: str, number: int) -> EvaluationVersion:
    """Read a version.

    Raises:
        MissingPartitionError: It is not kept.
    """
    there, place = version_numbers(store, key), _partition(key, number)
    if number not in there:
        raise MissingPartitionError(
            f"{key.replace('|', '/')} has no version {number}, kept are {list(there) or 'none'} -> name one of them, "
            "or evaluate the model first"
        )
    labels = store.read_json(VERSIONS_ASSET, place, "labels")
    edges = labels["boundaries_bps"]
    return EvaluationVersion(
        key=key,
        number=number,
        judgement=Judgement.from_dict(store.read_json(VERSIONS_ASSET, place, "judgement")),
        decisions=store.read_table(VERSIONS_ASSET, place, "decisions"),
        boundaries_bps=None if edges is None else tuple(edges),
        horizon_seconds=labels["horizon_seconds"],
        configuration=store.read_json(VERSIONS_ASSET, place, "configuration"),
        chain=store.read_table(VERSIONS_ASSET, place, "chain"),
    )


def find_versions(store: ArtifactStore, first: str, second: str | None) -> tuple[EvaluationVersion, EvaluationVersion]:
    """Read the two versions that texts name.

    Args:
        store: Where versions lie.
        first: `experiment/model`, or `experiment/model@number`.
        second: Another one, the later of the two; None compares the first with the one before it.

    Raises:
        ConfigError: A text names no model.
        MissingPartitionError: There is no such version.
    """
    key, number = _named(store, first)
    if second is not None:
        return read_version(store, key, number), read_version(store, *_named(store, second))
    before = [each for each in version_numbers(store, key) if each < number]
    if not before:
        raise MissingPartitionError(
            f"{key.replace('|', '/')}@{number} is the first evaluation that is kept -> change something and evaluate "
            "again, or name another model to compare with"
        )
    return read_version(store, key, before[-1]), read_version(store, key, number)


def _named(store: ArtifactStore, text: str) -> tuple[str, int]:
    name, at, number = text.partition("@")
    key = name.replace("/", "|")
    if key.count("|") != 1 or not all(key.split("|")) or (at and not number.isdecimal()):
        raise ConfigError(
            f"{text!r} names no evaluation -> write experiment/model, or experiment/model@2 for a version"
        )
    numbers = version_numbers(store, key)
    if not numbers:
        raise MissingPartitionError(f"{name}: no evaluation is kept -> trademl run, then again")
    return key, int(number) if at else numbers[-1]


def _partition(key: str, number: int) -> str:
    return f"{key}|{number:0{_DIGITS}d}"
