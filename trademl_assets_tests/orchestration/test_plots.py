"""Every asset shows a picture inline on the last partition of a run."""

import base64

import pytest

from trademl_assets_tests.orchestration.conftest import World

DATA_SIDE = ("raw_depth", "book_snapshots", "aligned_grid", "daily_aggregates", "market_regime", "dataset")


@pytest.mark.parametrize("asset", DATA_SIDE)
def test_the_last_partition_carries_a_png(made_world: World, asset: str):
    events = made_world.materializations(asset)
    last = max(events, key=lambda event: str(event.partition))
    text = str(last.metadata["plot"].value)
    assert base64.b64decode(text.split("base64,")[1].rstrip(")")).startswith(b"\x89PNG")


def test_a_dataset_shows_its_parts_classes_and_streams_as_tables(made_world: World):
    (event,) = made_world.materializations("dataset")
    shown = {name: event.metadata[name].value for name in ("parts", "left_out", "classes", "streams")}
    assert shown["parts"].records[0].data["part"] == "train"
    assert {record.data["stream"] for record in shown["streams"].records} >= {"book", "price", "mask", "clock"}
    assert all(table.records for table in shown.values())
    assert {"plot_split", "plot_timeline"} <= set(event.metadata)
