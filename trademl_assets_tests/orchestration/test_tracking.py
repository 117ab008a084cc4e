"""Tracing in MLflow: names, tags, artifacts, and how runs end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow import MlflowClient

from trademl_assets.orchestration.catalog import ALIGNED_GRID, BOOK_SNAPSHOTS, DATASET, ENTRIES, TRAINED_MODEL
from trademl_assets.orchestration.recovery import PROCESS_TAG, close_dead_runs
from trademl_assets.orchestration.resources.run_names import RunNames
from trademl_assets.orchestration.resources.run_parameters import run_parameters
from trademl_assets_tests.orchestration.conftest import World, tiny_configuration


def client(world: World) -> MlflowClient:
    return MlflowClient(tracking_uri=world.configuration.tracking.uri)


def runs(world: World, stage: str) -> list[Any]:
    name = getattr(world.configuration.tracking.experiments, stage)
    experiment = client(world).get_experiment_by_name(name)
    return [] if experiment is None else list(client(world).search_runs([experiment.experiment_id]))


def run_of(world: World, asset: str) -> Any:
    """The tracked run of an asset of which there was one batch."""
    (run,) = (each for each in runs(world, ENTRIES[asset].stage) if each.data.tags.get("dagster_asset") == asset)
    return run


@pytest.mark.parametrize(
    ("entry", "keys", "name"),
    [
        ("raw_depth", ["2024-01-02|LEADUSDT"], "raw_ingestion_2024-01-02"),
        ("book_snapshots", ["2024-01-02|LEADUSDT"], "data_object_LEADUSDT_2024-01-02"),
        (
            "book_snapshots",
            ["2024-01-02|LEADUSDT", "2024-01-03|FOLAUSDT"],
            "data_object_2_instruments_2024-01-02_to_2024-01-03",
        ),
        ("coverage_calendar", ["all"], "coverage_calendar"),
        ("aligned_grid", ["2024-01-01", "2024-01-05"], "multi_asset_alignment_2024-01-01_to_2024-01-05"),
        ("dataset", ["demo"], "FOLAUSDT_30min_dataset_v1"),
        ("hyperparameter_study", ["demo|dual_channel"], "FOLAUSDT_30min_opt_2024-01-06"),
        ("trained_model", ["demo|dual_channel"], "FOLAUSDT_30min_dual_channel_v1"),
    ],
)
def test_runs_are_named_by_partition_or_range(made_world: World, entry: str, keys: list[str], name: str):
    assert RunNames(made_world.configuration).run_name(ENTRIES[entry], keys) == name


def test_tags_tell_stage_asset_horizon_and_model(made_world: World):
    tags = RunNames(made_world.configuration).tags(TRAINED_MODEL, ["demo|dual_channel"])
    assert tags["stage"] == "model_training"
    assert (tags["asset"], tags["prediction_horizon"], tags["model_key"]) == ("FOLAUSDT", "30min", "dual_channel")


def test_six_stages_are_four_in_the_view_of_four(made_world: World):
    names = RunNames(made_world.configuration)
    keys = {"books": "2024-01-02|LEADUSDT", "trials": "demo|dual_channel", "experiments": "demo", "market": "all"}
    views = {entry.stage: names.tags(entry, [keys.get(entry.space, "2024-01-02")]) for entry in ENTRIES.values()}
    assert {stage: tags["view_of_four"] for stage, tags in views.items()} == {
        "data_collection": "preprocessing",
        "data_object": "preprocessing",
        "preprocessing": "preprocessing",
        "dataset_preparation": "dataset_preparation",
        "hyperparameter_optimization": "hyperparameter_optimization",
        "model_training": "training",
    }


def test_a_batch_is_one_finished_run_in_the_experiment_of_its_stage(made_world: World):
    (run,) = (
        each for each in runs(made_world, BOOK_SNAPSHOTS.stage) if each.data.tags["dagster_asset"] == "book_snapshots"
    )
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "data_object_3_instruments_2024-01-01_to_2024-01-06"
    assert run.info.artifact_uri.startswith(made_world.configuration.tracking.artifact_location)


def test_several_assets_of_a_stage_have_a_run_each(made_world: World):
    names = {run.data.tags.get("dagster_asset", "") for run in runs(made_world, ALIGNED_GRID.stage)}
    assert names - {""} == {"aligned_grid", "daily_aggregates", "market_regime"}


def test_every_instrument_of_an_alignment_has_a_run_with_its_gaps_and_compression_by_the_day(made_world: World):
    grid, books = run_of(made_world, "aligned_grid"), run_of(made_world, "book_snapshots")
    nested = {
        run.info.run_name: run for run in runs(made_world, ALIGNED_GRID.stage) if "dagster_asset" not in run.data.tags
    }
    span = "2024-01-01_to_2024-01-06"
    assert set(nested) == {f"{name}_preprocessing_{span}" for name in ("LEADUSDT", "FOLAUSDT", "FOLBUSDT")}
    run = nested[f"FOLAUSDT_preprocessing_{span}"]
    tags = {"asset": "FOLAUSDT", "stage": "preprocessing", "mlflow.parentRunId": grid.info.run_id}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["source_data_object_run_id"] == books.info.run_id
    assert run.info.status == "FINISHED"
    shares = [
        made_world.store.require("aligned_grid", f"2024-01-0{day}").notes["statistics"]["instruments"]["FOLAUSDT"]
        for day in range(1, 7)
    ]
    history = client(made_world).get_metric_history(run.info.run_id, "filled_share")
    assert [each.value for each in history] == [found["filled_share"] for found in shares]
    assert run.data.metrics["compression_ratio"] > 1
    steps = {name: value for name, value in books.data.params.items() if name.startswith("order_book.")}
    assert steps.items() <= run.data.params.items()
    assert any(name.startswith("order_book.steps.0.") for name in steps)
    assert run.data.params["asked.instruments"] == "FOLAUSDT"


@pytest.mark.parametrize(
    ("asset", "stated"),
    [
        (
            "raw_depth",
            {
                "source.kind": "planted_market",
                "asked.first": "2024-01-06",
                "asked.instruments": "FOLAUSDT,FOLBUSDT,LEADUSDT",
            },
        ),
        ("book_snapshots", {"schema_version": "1", "asked.first": "2024-01-01", "asked.last": "2024-01-06"}),
        ("aligned_grid", {"grid.cadence_seconds": "60", "grid.max_gap_seconds": "180"}),
        ("daily_aggregates", {"long_term.regimes.window_days": "5"}),
        ("market_regime", {"regimes.window_days": "5"}),
        ("dataset", {"target": "FOLAUSDT"}),
    ],
)
def test_a_run_states_what_its_asset_is_made_with(made_world: World, asset: str, stated: dict[str, str]):
    found = run_of(made_world, asset).data.params
    assert {name: found.get(name) for name in stated} == stated


def test_runs_state_searches_and_judgements_as_configured(made_world: World):
    configuration = made_world.configuration
    for name, key in (
        ("hyperparameter_study", "n_trials"),
        ("calibrated_model", "folds"),
        ("leaderboard", "set_level"),
    ):
        (section,) = (
            each for each in run_parameters(configuration, ENTRIES[name], ["demo"]).values() if isinstance(each, dict)
        )
        assert key in section
    assert run_parameters(configuration, TRAINED_MODEL, ["demo"]) == {}


def test_partitions_and_hashes_are_an_artifact(made_world: World, tmp_path: Path):
    run = run_of(made_world, "dataset")
    table = Path(client(made_world).download_artifacts(run.info.run_id, "partitions.csv", str(tmp_path))).read_text()
    manifest = made_world.store.require("dataset", "demo")
    assert f"dataset,demo,{manifest.rows}," in table
    assert manifest.content_hash in table


def test_a_run_names_the_runs_that_made_its_upstream(made_world: World):
    run = run_of(made_world, "dataset")
    grid = run_of(made_world, "aligned_grid")
    named = {run.data.tags[name] for name in ("source_aligned_grid_run_id", "source_preprocessing_run_id")}
    assert named == {run.data.tags["preprocessing_run_id"]} == {grid.info.run_id}


def test_a_dataset_lists_every_partition_it_read_as_an_input(made_world: World):
    run = run_of(made_world, "dataset")
    inputs = client(made_world).get_run(run.info.run_id).inputs.dataset_inputs
    manifest = made_world.store.require("dataset", "demo")
    found = {each.dataset.name: each.dataset.digest for each in inputs}
    assert found == {place: content[:36] for place, content in manifest.upstream.items()}
    assert all(Path(json.loads(each.dataset.source)["uri"]).is_dir() for each in inputs)
    assert {each.tags[0].value for each in inputs} == {"aligned_grid", "daily_aggregates", "market_regime"}


def test_the_run_of_a_dataset_holds_one_sample_and_its_event_says_what_the_dataset_is(made_world: World):
    run = run_of(made_world, "dataset")
    (sample,) = client(made_world).list_artifacts(run.info.run_id, "feature_tensors/demo")
    assert sample.path == "feature_tensors/demo/sample.npz"
    (metadata,) = client(made_world).list_artifacts(run.info.run_id, "dataset_metadata")
    assert metadata.path == "dataset_metadata/demo.json"
    (event,) = made_world.materializations("dataset")
    told = {"parts", "classes", "streams", "train_coverage", "train_samples", "left_out_purged", "plot_timeline"}
    assert told <= set(event.metadata)


def test_a_failed_step_is_a_failed_run_that_keeps_what_was_made(world: World):
    world.run("book_snapshots_job", "2024-01-01|LEADUSDT", "2024-01-01|FOLBUSDT")
    result = world.run("aligned_grid_job", "2024-01-01", "2024-01-02", raise_on_error=False)
    assert not result.success
    run = client(world).get_run(world.tracking.find("aligned_grid", result.run_id))
    assert run.info.status == "FAILED"
    assert world.store.partitions("aligned_grid") == ("2024-01-01",)
    assert len(world.materializations("aligned_grid")) == 1


def test_a_step_tried_again_continues_its_tracked_run(world: World):
    name, tags = "again", {"stage": "preprocessing"}

    def fail() -> str:
        with world.tracking.stage_run(ALIGNED_GRID, name, tags, "run-1") as run:
            raise InterruptedError(run.run_id)

    with pytest.raises(InterruptedError) as caught:
        fail()
    with world.tracking.stage_run(ALIGNED_GRID, name, tags, "run-1") as run:
        assert run.run_id == str(caught.value)
    assert [each.info.status for each in runs(world, ALIGNED_GRID.stage)] == ["FINISHED"]


def test_nested_runs_are_recorded_once(world: World):
    with world.tracking.stage_run(TRAINED_MODEL, "parent", {}, "run-1") as run:
        for _ in range(2):
            run.nested("trial_0", tags={}, parameters={"a": {"b": 1}}, numbers={"loss": 2.0}, status="FINISHED")
    children = [each for each in runs(world, TRAINED_MODEL.stage) if each.info.run_name == "trial_0"]
    assert len(children) == 1
    assert children[0].data.params == {"a.b": "1"}
    assert children[0].data.tags["mlflow.parentRunId"] == run.run_id


def test_runs_of_a_process_that_is_gone_are_closed_in_dagster_and_mlflow(world: World):
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    with dg.DagsterInstance.ephemeral() as instance:
        job = world.definitions.resolve_job_def("dataset_job")
        tag = f"{os.uname().nodename}:{int(gone.stdout)}:1"
        dead = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: tag})
        alive = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        script = (
            "import os, sys; from pathlib import Path;"
            "from trademl_assets_tests.orchestration.conftest import tiny_configuration, make_world;"
            "from trademl_assets.orchestration.catalog import DATASET;"
            "from trademl_assets.orchestration.resources.tracking import StageTracking;"
            "tracking = StageTracking(tiny_configuration(Path(sys.argv[1])).tracking);"
            "run = tracking.stage_run(DATASET, 'x', {}, sys.argv[2]);"
            "run.__enter__(); os._exit(9)"
        )
        root = Path(world.configuration.platform.storage_root).parents[2]
        subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(root), dead.run_id], check=False)
        assert [run.info.status for run in runs(world, DATASET.stage)] == ["RUNNING"]
        assert close_dead_runs(instance, world.tracking) == [dead.run_id]
        assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(alive.run_id).status is dg.DagsterRunStatus.STARTED
        assert [run.info.status for run in runs(world, DATASET.stage)] == ["FAILED"]


def test_processes_that_open_a_fresh_store_at_once_do_not_break_it(tmp_path: Path):
    script = (
        "import sys; from pathlib import Path;"
        "from trademl_assets.configuration.reading import load_configuration;"
        "from trademl_assets.orchestration.catalog import DATASET;"
        "from trademl_assets.orchestration.resources.tracking import StageTracking;"
        "root = Path(sys.argv[1]); environment = {'TRADEML_VAR': str(root / 'var')};"
        "tracking = StageTracking(load_configuration(root / 'config', environment).tracking);"
        "run = tracking.stage_run(DATASET, 'x', {}, sys.argv[2]); run.__enter__(); run.__exit__(None, None, None)"
    )
    tiny_configuration(tmp_path)
    started = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", script, str(tmp_path), f"run-{number}"])
        for number in range(2)
    ]
    assert [process.wait() for process in started] == [0, 0]
