"""From an empty folder to the report by one command, and what it leaves behind."""

import re
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets_tests.end_to_end.deployed import KEY, MADE, Site

pytestmark = pytest.mark.end_to_end

PARTITIONS = {
    "raw_depth": 3,
    "book_snapshots": 18,
    "aligned_grid": 6,
    "daily_aggregates": 11,
    "market_regime": 9,
    "coverage_calendar": 1,
    "dataset": 1,
    "hyperparameter_study": 1,
    "trained_model": 1,
    "calibrated_model": 1,
    "model_evaluation": 1,
    "leaderboard": 1,
}
EXPERIMENTS = {
    "binance-data-collection": {"raw_ingestion_2024-01-06": 1},
    "binance-data-object": {
        "data_object_3_instruments_2024-01-01_to_2024-01-06": 1,
        "coverage_calendar": 1,
    },
    "binance-preprocessing": {
        "multi_asset_alignment_2024-01-01_to_2024-01-06": 1,
        "LEADUSDT_preprocessing_2024-01-01_to_2024-01-06": 1,
        "FOLAUSDT_preprocessing_2024-01-01_to_2024-01-06": 1,
        "FOLBUSDT_preprocessing_2024-01-01_to_2024-01-06": 1,
        "daily_aggregates_2023-12-26_to_2024-01-05": 1,
        "market_regime_2023-12-28_to_2024-01-05": 1,
    },
    "binance-dataset-preparation": {"FOLAUSDT_30min_dataset_v1": 1},
    "binance-hyperparameter-optimization": {"FOLAUSDT_30min_opt_2024-01-06": 1, "trial_0": 1, "trial_1": 1},
    "binance-model-training": {
        "FOLAUSDT_30min_dual_channel_v1": 1,
        "FOLAUSDT_30min_dual_channel_calibration_v1": 1,
        "FOLAUSDT_30min_dual_channel_evaluation_v1": 1,
        "FOLAUSDT_30min_leaderboard_v1": 1,
    },
}


def first_run(site: Site) -> str:
    return (site.root / "first_run.txt").read_text()


def report_of(site: Site) -> Path:
    return site.store.file_path("model_evaluation", KEY, "report")


@pytest.mark.parametrize("asset", MADE)
def test_every_asset_of_the_diagram_is_made_and_recorded(finished: Site, asset: str):
    keys = finished.store.partitions(asset)
    assert len(keys) == PARTITIONS.get(asset, 0)
    assert finished.materialised(asset) == set(keys)


def test_the_closing_summary_names_verdict_calibration_and_report(finished: Site):
    judgement = finished.store.read_json("model_evaluation", KEY, "judgement")
    told = first_run(finished)
    assert judgement["sentence"] in told
    assert "share of the best possible" in told
    assert "independent calibration labels" in told
    assert f"report: {report_of(finished)}" in told
    assert "make ui" in told
    assert f"{sum(PARTITIONS.values())} partition(s) made, 0 up to date" in told


def test_the_report_needs_nothing_from_elsewhere(finished: Site):
    page = report_of(finished).read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") >= 3
    sources = re.findall(r"""(?:src|href|action|data)\s*=\s*["']?([^"'\s>]+)""", page, flags=re.IGNORECASE)
    assert sources
    assert {source.split(",")[0] for source in sources} <= {"data:image/png;base64"} | {
        source for source in sources if source.startswith("#")
    }
    assert not re.search(r"<script|<link|<iframe|@import|url\(", page, flags=re.IGNORECASE)


def test_every_dagster_run_succeeded(finished: Site):
    runs = finished.dagster_runs()
    assert {run.status.value for run in runs} == {"SUCCESS"}
    assert {run.tags["trademl/experiment"] for run in runs} == {"demo"}


def test_mlflow_has_the_documented_experiments_and_run_names(finished: Site):
    tracked = finished.tracked()
    tracked.pop("Default", None)
    assert {name: dict(Counter(run.info.run_name for run in runs)) for name, runs in tracked.items()} == EXPERIMENTS
    assert {run.info.status for runs in tracked.values() for run in runs} == {"FINISHED"}


def test_a_training_is_tracked_by_step_while_it_runs_and_by_epoch_when_it_is_done(finished: Site):
    (run,) = [
        run
        for runs in finished.tracked().values()
        for run in runs
        if run.data.tags.get("dagster_asset") == "trained_model"
    ]
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.var}/demo/mlflow.db")
    kept = {
        seed: client.get_metric_history(run.info.run_id, f"epoch/seed_{seed}_validation_log_loss") for seed in (1, 2)
    }
    assert [[metric.step for metric in metrics] for metrics in kept.values()] == [[0, 1], [0, 1]]
    live = client.get_metric_history(run.info.run_id, "member_2_training_loss")  # the first one's trial trained it
    assert 0 < live[0].step <= live[-1].step
    assert live[-1].timestamp <= kept[2][0].timestamp
    assert "member_2_samples_per_second" in run.data.metrics


def test_tracked_runs_tell_their_stage_what_they_read_and_what_they_made(finished: Site):
    tracked = finished.tracked()
    by_asset = {
        run.data.tags["dagster_asset"]: run
        for runs in tracked.values()
        for run in runs
        if "mlflow.parentRunId" not in run.data.tags
    }
    assert set(by_asset) == set(MADE)
    assert {asset: run.data.tags["stage"] for asset, run in by_asset.items()} == {
        asset: entry.stage for asset, entry in ENTRIES.items() if asset in MADE
    }
    model = by_asset["trained_model"]
    assert model.data.tags["model_key"] == "dual_channel"
    assert model.data.tags["prediction_horizon"] == "30min"
    assert model.data.tags["source_dataset_run_id"] == by_asset["dataset"].info.run_id
    assert model.data.tags["dataset_run_id"] == by_asset["dataset"].info.run_id
    assert model.data.tags["preprocessing_run_id"] == by_asset["aligned_grid"].info.run_id
    assert by_asset["dataset"].data.tags["source_preprocessing_run_id"] == by_asset["aligned_grid"].info.run_id
    assert model.data.tags["optimization_run_id"] == by_asset["hyperparameter_study"].info.run_id
    assert model.data.tags["best_trial_number"] in {"0", "1"}
    assert by_asset["model_evaluation"].data.tags["preprocessing_run_id"] == by_asset["aligned_grid"].info.run_id
    assert by_asset["hyperparameter_study"].data.tags["best_trial_number"] in {"0", "1"}
    (study,) = (run for run in tracked["binance-hyperparameter-optimization"] if run.info.run_name.startswith("FOLA"))
    trials = [run for run in tracked["binance-hyperparameter-optimization"] if run.info.run_name.startswith("trial_")]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {study.info.run_id}
    assert by_asset["model_evaluation"].data.metrics["test_log_loss"] > 0
    assert by_asset["calibrated_model"].data.params["temperature_scaling_T"]


def test_a_second_run_makes_nothing_and_says_so(finished: Site):
    before, runs = finished.written(), len(finished.dagster_runs())
    told = finished.run("trademl", "run", "demo").stdout
    total = sum(PARTITIONS.values())
    assert f"0 partition(s) made, {total} up to date" in told
    assert all(f"{asset}: {count} up to date" in told for asset, count in PARTITIONS.items())
    assert finished.written() == before
    assert len(finished.dagster_runs()) == runs


def test_secrets_of_the_environment_are_written_nowhere(finished: Site):
    files = [path for path in finished.root.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"mlflow.db", "manifest.json", "first_run.txt"} <= names
    assert any(path.suffix == ".err" for path in files), "compute logs are looked at too"
    assert finished.secrets_found() == []
