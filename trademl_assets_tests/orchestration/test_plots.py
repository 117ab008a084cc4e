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
