"""What a finished study leaves in the store, in Dagster and in MLflow."""

import dagster as dg
import polars as pl
import pytest

from trademl_assets.datasets.windows import open_dataset
from trademl_assets_tests.end_to_end.deployed import Site

pytestmark = pytest.mark.end_to_end
KEY = "demo|dual_channel"


def test_the_losses_of_every_trial_on_every_day_of_validation_are_a_table(finished: Site):
    daily = finished.store.read_table("hyperparameter_study", KEY, "daily_losses")
    trials = finished.store.read_table("hyperparameter_study", KEY, "trials")
    validation = open_dataset(finished.store, "demo").samples("validation", on_stride_only=True)
    days = validation.group_by(day=pl.col("t0").dt.date()).agg(samples=pl.len().cast(pl.Int64)).sort("day")
    for trial, loss in trials.select("index", "loss").iter_rows():
        mine = daily.filter(trial=trial).sort("day")
        assert mine.select("day", "samples").equals(days)
        assert (mine["log_loss"] * mine["samples"]).sum() / mine["samples"].sum() == pytest.approx(loss)


def test_the_study_is_shown_by_its_pictures(finished: Site):
    with finished._instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("hyperparameter_study"))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    pictures = {name for name, value in shown.items() if isinstance(value, dg.MarkdownMetadataValue)}
    assert pictures == {"plot", "plot_parallel_coordinates", "plot_pruning"}
    assert [shown[f"trials_{state}"].value for state in ("complete", "pruned", "failed")] == [2.0, 0.0, 0.0]


def test_every_trial_is_a_nested_run_with_its_values(finished: Site):
    trials = finished.store.read_table("hyperparameter_study", KEY, "trials")
    tracked = finished.tracked()["binance-hyperparameter-optimization"]
    nested = {run.info.run_name: run for run in tracked if "mlflow.parentRunId" in run.data.tags}
    assert set(nested) == {f"trial_{index}" for index in trials["index"]}
    for row in trials.iter_rows(named=True):
        run = nested[f"trial_{row['index']}"]
        assert run.data.tags["trial_state"] == row["state"]
        assert run.data.metrics["validation_log_loss"] == pytest.approx(row["loss"])
        assert int(run.data.params["model.history.width"]) == row["model.history.width"]


def test_the_best_trial_is_named_and_its_values_are_those_of_the_model(finished: Site):
    manifest = finished.store.require("hyperparameter_study", KEY)
    trials = finished.store.read_table("hyperparameter_study", KEY, "trials")
    best = trials.row(manifest.notes["best_trial"], named=True)
    assert best["loss"] == trials["loss"].min() == manifest.notes["best_value"]
    sidecar = finished.store.read_json("trained_model", KEY, "member_1_sidecar")
    assert sidecar["model"]["history"]["width"] == best["model.history.width"]


def test_a_training_tells_dagster_how_far_it_is_and_shows_its_curves(finished: Site):
    with finished._instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("trained_model"))
        assert event is not None
        told = [entry.user_message for entry in instance.all_logs(event.run_id)]
    progress = [line for line in told if "samples/s" in line]
    assert progress
    assert all("of memory, at most" in line and line.endswith("left") for line in progress)
    assert event.asset_materialization is not None
    plot = event.asset_materialization.metadata["plot"].value
    assert isinstance(plot, str)
    assert plot.startswith("![")
    assert "data:image/png;base64," in plot


def test_no_trial_and_no_training_leaves_files_of_its_own_behind(finished: Site):
    scratch = finished.store.layout.root / "scratch"
    assert (scratch / "training" / "demo" / "dual_channel").is_dir()
    assert not [path for path in (scratch / "training").glob("*/*/*") if path.is_dir()]
    assert (scratch / "hyperparameter_study" / "demo" / "dual_channel" / "study.db").is_file()
