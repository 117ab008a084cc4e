"""book_snapshots: raw rows through the configured steps, or imported history through those on snapshots."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from trademl_assets.orchestration.assets.raw_cache import release_raw_rows
from trademl_assets.orchestration.assets.sources import POPULATION
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import BOOK_SNAPSHOTS, RAW_DEPTH
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.mappings import same_and_previous_day
from trademl_assets.orchestration.metadata import Facts
from trademl_assets.orchestration.partitions import day_of, split_key
from trademl_assets.order_book.certificate import Certificate, certify_day
from trademl_assets.order_book.certificate_plots import draw_certificate
from trademl_assets.order_book.plots import draw_day_heatmap, sketch_day_heatmap
from trademl_assets.order_book.quality_plots import draw_quality_day
from trademl_assets.order_book.refusals import RejectedDayError
from trademl_assets.order_book.sequence import preprocess
from trademl_assets.order_book.steps import DayMaterial, Form

_FROM_TALL_ROWS = {
    "ts": ("ts",),
    "batch_id": ("batch_id",),
    "mid": ("bid_price", "ask_price"),
    "spread_bps": ("bid_price", "ask_price"),
    "microprice_bps": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    "locked": ("bid_price", "ask_price"),
    "bid_distance_bps": ("bid_price", "ask_price"),
    "bid_quantity": ("bid_quantity",),
    "ask_distance_bps": ("bid_price", "ask_price"),
    "ask_quantity": ("ask_quantity",),
}
LINEAGE = {column: tuple((RAW_DEPTH.name, name) for name in names) for column, names in _FROM_TALL_ROWS.items()}
QUALITY = "quality"
CERTIFICATE = "certificate"


def build_order_book_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""
    configuration = deployment.configuration
    instruments = configuration.market.instruments_by_name()
    parameters = configuration.order_book

    def make(work: Work) -> Facts:
        material = DayMaterial(instruments[split_key(work.key)[1]], day_of(work.key), _population(deployment, work))
        frame, form = _input(deployment, work, material)
        snapshots = _preprocess(work, frame, form, material)
        work.writer.table("data", snapshots)
        work.writer.rows(snapshots.height)
        for step, facts in material.facts.items():
            work.writer.note(step, facts)
        certificate = _certify(material)
        if certificate is not None:
            work.writer.json(CERTIFICATE, certificate.as_dict())
        if form == "raw rows":
            work.afterwards(lambda: release_raw_rows(work, configuration.platform.raw_cache))
        return Facts(
            numbers=_numbers(material.facts, certificate, snapshots),
            texts=_texts(material),
            plot=draw_day_heatmap(snapshots, material.instrument.name, material.day) if work.draws else b"",
            more_plots=draw_findings(material, certificate, whole=work.draws),
            sketch=None if work.draws else sketch_day_heatmap(snapshots, material.day),
            schema=snapshots.schema,
            lineage=LINEAGE,
        )

    def _preprocess(work: Work, frame: pl.DataFrame, form: Form, material: DayMaterial) -> pl.DataFrame:
        try:
            snapshots = preprocess(frame, form, parameters.steps, material)
        except RejectedDayError as refusal:
            _set_aside(work, refusal.cause, str(refusal), refusal.report.as_dict())
            raise
        report = material.report
        if report is not None and report.rejected is not None:
            _set_aside(work, report.rejected, str(report.reason), report.as_dict())
        return snapshots

    def _certify(material: DayMaterial) -> Certificate | None:
        if material.clean_rows is None or material.compressed is None or material.clean_rows.is_empty():
            return None
        return certify_day(
            material.clean_rows, material.compressed, material.instrument, material.day, parameters.certificate
        )

    deps = [dg.AssetDep(RAW_DEPTH.name, partition_mapping=same_and_previous_day())]
    return [partitioned_asset(deployment, BOOK_SNAPSHOTS, make, deps=deps, resources=frozenset({"sources"}))]


def _input(deployment: Deployment, work: Work, material: DayMaterial) -> tuple[pl.DataFrame, Form]:
    if deployment.lineage.is_tall(work.key):
        return work.store.read_table(RAW_DEPTH.name, work.key), "raw rows"
    lead_in = deployment.configuration.grid.max_gap_seconds
    return work.resource("sources").snapshots.snapshots(material.instrument, material.day, lead_in), "snapshots"


def _population(deployment: Deployment, work: Work) -> pl.DataFrame | None:
    """How many snapshots of the previous day had each level; None for the first raw day and for imported history."""
    if not deployment.lineage.is_tall(work.key):
        return None
    before = deployment.lineage.previous_raw_day(work.key)
    return None if before is None else work.store.read_table(before.asset, before.key, POPULATION)


def _set_aside(work: Work, cause: str, message: str, facts: Mapping[str, Any]) -> None:
    folder = work.store.set_aside(RAW_DEPTH.name, work.key, cause=cause, message=message, facts=facts)
    work.context.log.warning("%s; its raw rows are kept aside in %s", message, folder)


def _texts(material: DayMaterial) -> dict[str, str]:
    report = material.report
    return {} if report is None or report.reason is None else {"reason": report.reason}


def _numbers(facts: Mapping[str, Any], certificate: Certificate | None, snapshots: pl.DataFrame) -> dict[str, float]:
    """Every number that the steps and the certificate found; the counts of cleaning keep their plain names."""
    numbers: dict[str, float] = {"snapshots": float(snapshots.height)}
    for step, found in facts.items():
        named = {("tall_rows" if step == QUALITY and name == "rows" else name): value for name, value in found.items()}
        plain = {name: value for name, value in named.items() if isinstance(value, int | float)}
        numbers |= plain if step in {QUALITY, "compression"} else {f"{step}_{name}": v for name, v in plain.items()}
    return numbers | (certificate.numbers() if certificate is not None else {})


def draw_findings(material: DayMaterial, certificate: Certificate | None, *, whole: bool) -> dict[str, bytes]:
    """Draw what was found on a day: where whole pictures are drawn, and wherever there is a reason to look."""
    plots: dict[str, bytes] = {}
    if not whole and not _texts(material):
        return plots
    if material.report is not None:
        plots[QUALITY] = draw_quality_day(material.report, material.instrument.name, material.day)
    if certificate is not None:
        plots[CERTIFICATE] = draw_certificate(certificate, material.instrument.name, material.day)
    return plots
