"""Looks for leaks in a dataset: its certificate, and the slow controls."""

import polars as pl

from trademl_assets.datasets.leakage import RawStages
from trademl_assets.datasets.leakage_certificate import certify
from trademl_assets.orchestration.catalog import LEAKAGE_CONTROLS
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import rule_table
from trademl_assets.orchestration.sights import Look, Sight
from trademl_assets.storage.commit import ArtifactStore


def leakage_look(deployment: Deployment) -> Look:
    """Make the look at a dataset's leakage certificate, which is made where the earlier one does not stand any more."""
    configuration = deployment.configuration
    market = configuration.market
    stages = RawStages(configuration.order_book.steps, configuration.grid, market.instruments_by_name())

    def look(store: ArtifactStore, experiment: str) -> Sight:
        certificate = certify(store, experiment, stages if market.delivers_books else None)
        report, rows = certificate.report, certificate.report.as_rows()
        metadata = {
            "certificate": rule_table(rows),
            "rules": len(rows),
            "not_audited": sum(row["result"] == "not audited" for row in rows),
            "made": "earlier; nothing it depends on has changed" if certificate.is_earlier else "now",
        }
        problem = "; ".join(f"{finding.rule}: {finding.detail}" for finding in report.violations)
        return Sight(problem, metadata, {"leakage_certificate.csv": pl.DataFrame(rows).write_csv()})

    return look


def controls_look(store: ArtifactStore, experiment: str) -> Sight:
    """Look whether every control of a dataset came out as expected."""
    rows = store.read_table(LEAKAGE_CONTROLS.name, experiment).to_dicts()
    wrong = [
        f"{row['control']} of {row['instrument']} over {row['horizon_seconds']} s"
        for row in rows
        if row["result"] == "violated"
    ]
    return Sight(f"not as expected: {', '.join(wrong)}" if wrong else "", {"controls": rule_table(rows)})
