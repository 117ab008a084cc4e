"""The asset graph as a committed text: a changed graph is a reviewed difference.

`TRADEML_WRITE_GRAPH=1 pytest …/test_graph.py` writes the file anew.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from trademl_assets.definitions import build_definitions
from trademl_assets_tests.orchestration.conftest import World, tiny_configuration

GRAPH = Path(__file__).with_name("asset_graph.txt")


def describe(definitions: dg.Definitions) -> Iterator[str]:
    graph = definitions.resolve_asset_graph()
    yield "assets: key | group | partitions | code version | owners | kinds | upstream"
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        space = node.partitions_def
        dimensions = (
            "+".join(dimension.name for dimension in space.partitions_defs)
            if isinstance(space, dg.MultiPartitionsDefinition)
            else type(space).__name__.removesuffix("PartitionsDefinition").lower()
        )
        kinds = sorted(tag.removeprefix("dagster/kind/") for tag in node.tags if tag.startswith("dagster/kind/"))
        upstream = sorted(parent.to_user_string() for parent in node.parent_keys)
        cells = (
            node.group_name,
            dimensions,
            node.code_version,
            ",".join(node.owners),
            ",".join(kinds),
            ",".join(upstream),
        )
        yield f"  {key.to_user_string()} | " + " | ".join(str(cell) for cell in cells)
    yield "checks: name | blocking"
    for check in sorted(graph.asset_check_keys):
        yield f"  {check.name} | {graph.get_check_spec(check).blocking}"
    yield "jobs: name | assets"
    for job in sorted(definitions.resolve_all_job_defs(), key=lambda each: each.name):
        if not job.name.startswith("__"):
            assets = sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            yield f"  {job.name} | {','.join(assets)}"
    repository = definitions.get_repository_def()
    yield "schedules: name | status"
    for schedule in sorted(repository.schedule_defs, key=lambda each: each.name):
        yield f"  {schedule.name} | {schedule.default_status.value}"
    yield "sensors: name | status"
    for sensor in sorted(repository.sensor_defs, key=lambda each: each.name):
        yield f"  {sensor.name} | {sensor.default_status.value}"


def test_the_graph_is_the_reviewed_one(made_world: World):
    text = "\n".join(describe(made_world.definitions)) + "\n"
    if os.environ.get("TRADEML_WRITE_GRAPH"):
        GRAPH.write_text(text)
    assert text == GRAPH.read_text()


def test_everything_loads_together(made_world: World):
    dg.Definitions.validate_loadable(made_world.definitions)


def test_nothing_runs_by_itself(made_world: World):
    repository = made_world.definitions.get_repository_def()
    stopped = {"STOPPED"}
    assert {schedule.default_status.value for schedule in repository.schedule_defs} == stopped
    assert {sensor.default_status.value for sensor in repository.sensor_defs} == stopped


def test_every_asset_has_a_description_an_owner_and_a_version(made_world: World):
    graph = made_world.definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.owners == ["team:research"]
        assert node.code_version


def test_definitions_load_without_heavy_imports():
    script = "import trademl_assets.definitions, sys; print({'torch', 'lightning', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_deployment_without_experiments_ends_with_the_slow_channel(tmp_path: Path):
    configuration = tiny_configuration(tmp_path).model_copy(update={"datasets": {}, "models": {}})
    definitions = build_definitions(configuration)
    dg.Definitions.validate_loadable(definitions)
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    books = {"raw_depth", "book_snapshots", "coverage_calendar", "aligned_grid"}
    assert keys == {*books, "daily_aggregates", "market_regime"}
