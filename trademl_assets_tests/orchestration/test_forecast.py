"""What a plan expects: medians of what partitions of the same asset took."""

import re
from statistics import median

import pytest

from trademl_assets.orchestration.forecast import forecast, forecast_line, measured_costs, readable_bytes
from trademl_assets.orchestration.planning import Stage, plan, wanted
from trademl_assets.orchestration.session import plan_target
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets_tests.orchestration.conftest import World, make_world, tiny_configuration


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    store = ArtifactStore.at(tmp_path)
    for number in range(3):
        with store.write("grid", f"k{number}", schema_version=1, provenance=Provenance("1", "c", {})) as writer:
            writer.bytes("data", b"x" * 1000 * (number + 1), ".bin")
    return store


def test_cost_is_the_median_of_what_is_there(store: ArtifactStore) -> None:
    cost = measured_costs(store, ["grid", "never_made"])
    assert set(cost) == {"grid"}
    assert cost["grid"].bytes == 2000
    assert cost["grid"].seconds == median(store.require("grid", f"k{number}").seconds for number in range(3))


def test_only_new_partitions_take_more_disk(store: ArtifactStore) -> None:
    costs = measured_costs(store, ["grid"])
    stage = Stage("grid", ("k0", "k8", "k9"), {"k0": "configuration changed", "k8": "missing", "k9": "missing"})
    expected = forecast(stage, store, costs)
    assert expected is not None
    assert expected.added_bytes == 4000
    assert expected.seconds == pytest.approx(3 * costs["grid"].seconds)


def test_what_was_never_made_is_said_to_be_unknown(store: ArtifactStore) -> None:
    stages = [Stage("grid", ("k9",), {"k9": "missing"}), Stage("dataset", ("demo",), {"demo": "missing"})]
    line = forecast_line(stages, store, measured_costs(store, ["grid", "dataset"]))
    assert "2.0 kB more on disk" in line
    assert line.endswith("nothing measured yet of dataset")
    assert forecast_line([Stage("grid", ("k0",), {})], store, {}) == "nothing to make"


def test_the_plan_of_a_changed_configuration_counts_every_stale_partition(made_world: World, tmp_path) -> None:
    changed = tiny_configuration(tmp_path, {"grid": {"tolerance_milliseconds": 400}})
    platform = changed.platform.model_copy(update={"storage_root": made_world.configuration.platform.storage_root})
    world = make_world(changed.model_copy(update={"platform": platform}), made_world.instance)
    stages = plan(world.store, world.deployment, wanted(world.deployment, "demo", "aligned_grid"))
    lines = list(plan_target(world.configuration, "demo", "aligned_grid"))
    (grid,) = (stage for stage in stages if stage.asset == "aligned_grid")
    assert len(grid.stale) == len(grid.keys)
    (line,) = (line for line in lines if line.startswith("aligned_grid"))
    assert re.search(r"6 of 6 to make, about [0-9.]+ s and 0 B more", line)
    assert lines[-1].startswith("forecast: about ")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (3e12, "3.0 TB")]
)
def test_sizes_are_written_in_decimal_units(count: float, text: str) -> None:
    assert readable_bytes(count) == text
