"""From a committed partition to the event that Dagster shows, with our content hash as data version."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.partitions.utils.multi import get_tags_from_multi_partition_key
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from trademl_assets.foundation.parameters import combine_fingerprints
from trademl_assets.order_book.sketches import Sketch
from trademl_assets.storage.commit import Manifest

WHOLE_PICTURE = "Partitions of the last day of a run have the whole picture; run this one alone to see its own."


@dataclass(frozen=True)
class Facts:
    """What an asset's body knows about a partition beside its content.

    Attributes:
        numbers: Numbers worth watching; each becomes a time series in the UI and a metric of the tracked run.
        texts: Short texts, for example a verdict.
        links: Addresses of pages, by the name they are shown under.
        files: Files of the partition whose paths are shown, by that name; no link leads from the UI to a file.
        plot: One PNG shown inline, empty for none.
        more_plots: Further PNGs shown inline, by name.
        sketch: Small picture that is shown where there is no plot.
        tables: Small tables shown inline, by name; one without rows is left out.
        schema: Columns of the partition's table, empty where it is no table.
        lineage: Columns of upstream tables by column, where it is known.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    plot: bytes = b""
    more_plots: Mapping[str, bytes] = field(default_factory=dict)
    sketch: Sketch | None = None
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def pictures(self) -> dict[str, bytes]:
        """Return all PNGs by the names they are shown under."""
        first = {"plot": self.plot} if self.plot else {}
        return first | {f"plot_{name}": png for name, png in self.more_plots.items()}


def materialization(
    manifest: Manifest,
    key: str,
    facts: Facts,
    folder: str,
    *,
    parents: Mapping[dg.AssetKey, int | None],
    code_version: str,
) -> dg.AssetMaterialization:
    """Make the event of one committed partition.

    Args:
        manifest: Manifest of the partition.
        key: Key of the partition as Dagster hands it out.
        facts: What the body knows about it.
        folder: Folder where it lies.
        parents: What `latest_events` told of the asset's parents when the step began.
        code_version: Of the asset as a whole, which Dagster holds a partition's against.
    """
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "content_hash": manifest.content_hash,
        "bytes": manifest.bytes,
        "path": dg.MetadataValue.path(folder),
        **{name: float(value) for name, value in facts.numbers.items()},
        **facts.texts,
        **{name: dg.MetadataValue.url(link) for name, link in facts.links.items()},
        **{
            shown: dg.MetadataValue.path(str(Path(folder) / manifest.files[name].file))
            for shown, name in facts.files.items()
        },
    }
    if facts.schema:
        metadata["dagster/column_schema"] = column_schema(facts.schema)
    if facts.lineage:
        metadata["dagster/column_lineage"] = column_lineage(facts.lineage)
    metadata |= {name: rule_table(rows) for name, rows in facts.tables.items() if rows}
    if facts.sketch is not None:
        metadata["plot"] = inline_png(facts.sketch.png, f"{facts.sketch.says}. {WHOLE_PICTURE}")
    metadata |= {name: inline_png(png) for name, png in facts.pictures().items()}
    tags = _version_tags(manifest, parents, code_version)
    if isinstance(key, dg.MultiPartitionKey):
        tags.update(get_tags_from_multi_partition_key(key))
    return dg.AssetMaterialization(asset_key=manifest.asset, partition=key, metadata=metadata, tags=tags)


def recorded(asset: str) -> dg.MaterializeResult[None]:
    """Make the result that ends a body whose partitions were recorded one by one.

    Dagster writes one event for every partition of a range at the end of the step, all with the same data version.
    Ours are written as each partition is committed, with its own version, so a killed range keeps what it had
    finished. The marker, which Dagster uses for bodies that log their own events, keeps it from writing a second set;
    downstream steps and checks go on as usual.
    """
    return dg.MaterializeResult(asset_key=asset, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def inline_png(png: bytes, caption: str = "") -> dg.MarkdownMetadataValue:
    """Make an image that the UI shows without fetching anything, with text below it."""
    image = f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})"
    return dg.MetadataValue.md(f"{image}\n\n{caption}" if caption else image)


def column_schema(schema: Mapping[str, Any]) -> dg.TableSchema:
    """Make the table schema that the UI shows from column names and polars types."""
    return dg.TableSchema(columns=[dg.TableColumn(name=name, type=str(kind)) for name, kind in schema.items()])


def column_lineage(lineage: Mapping[str, tuple[tuple[str, str], ...]]) -> dg.TableColumnLineage:
    """Make the column lineage that the UI shows from (asset, column) pairs by column."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=name) for asset, name in sources]
            for column, sources in lineage.items()
        }
    )


def rule_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Make the table that the UI shows from at least one row, all with the same columns."""
    columns = [dg.TableColumn(name, type="string") for name in rows[0]]
    records = [dg.TableRecord({name: str(value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def table_facts(
    frame: pl.DataFrame, *, numbers: Mapping[str, float], plot: bytes = b"", sketch: Sketch | None = None
) -> Facts:
    """Make the facts of a table."""
    return Facts(numbers=numbers, plot=plot, sketch=sketch, schema=frame.schema)


def latest_events(context: dg.AssetExecutionContext) -> dict[dg.AssetKey, int | None]:
    """Return, for each parent of the step's asset, the position of its latest materialisation in the event log.

    Dagster tells by these positions whether a parent's partition has changed since; without them it shows every
    partition as unsynced.
    """
    parents = sorted(context.assets_def.asset_deps[context.asset_key])
    records = {record.asset_entry.asset_key: record for record in context.instance.get_asset_records(parents)}
    latest = {key: records[key].asset_entry.last_materialization_record for key in parents if key in records}
    found = {key: None if record is None else record.storage_id for key, record in latest.items()}
    return {key: found.get(key) for key in parents}


def _version_tags(manifest: Manifest, parents: Mapping[dg.AssetKey, int | None], code_version: str) -> dict[str, str]:
    tags = {
        CODE_VERSION_TAG: code_version,
        DATA_VERSION_TAG: manifest.content_hash,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
    }
    for parent, position in parents.items():
        asset = parent.to_user_string()
        versions = [version for place, version in manifest.upstream.items() if place.split("/", 1)[0] == asset]
        tags[get_input_data_version_tag(parent)] = combine_fingerprints(*versions)
        tags[get_input_event_pointer_tag(parent)] = NULL_EVENT_POINTER if position is None else str(position)
    return tags
