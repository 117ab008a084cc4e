"""leakage_controls: what a simple learner makes of a dataset where nothing, or something planted, can be learnt."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trademl_assets.datasets.controls import read_control_material
from trademl_assets.evaluation.leakage_controls import run_controls
from trademl_assets.evaluation.plots import draw_controls
from trademl_assets.orchestration.batch import Work, partitioned_asset
from trademl_assets.orchestration.catalog import DATASET, LEAKAGE_CONTROLS
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.metadata import Facts


def build_leakage_control_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """Make the assets of the stage."""

    def control(work: Work) -> Facts:
        table = run_controls(read_control_material(work.store, work.key), deployment.configuration.evaluation)
        work.writer.table("data", table)
        work.writer.rows(table.height)
        work.run.log_text(table.write_csv(), "leakage_controls.csv")
        primary = deployment.configuration.datasets[work.key].target
        numbers = {
            _name(row, primary): row["skill_nats"] for row in table.drop_nulls("skill_nats").iter_rows(named=True)
        }
        return Facts(numbers=numbers, plot=draw_controls(table), schema=table.schema)

    return [partitioned_asset(deployment, LEAKAGE_CONTROLS, control, deps=[dg.AssetDep(DATASET.name)])]


def _name(row: Mapping[str, Any], primary: str) -> str:
    control = row["control"].replace(" ", "_").replace("-", "_")
    of_whom = "" if row["instrument"] == primary else f"_{row['instrument']}"
    return f"{control}{of_whom}_{row['horizon_seconds']}s_skill"
