"""Every partition shows a picture inline: the last day of a run whole ones, the others a sketch."""

import base64

import pytest

from trademl_assets.orchestration.assets.order_book import draw_findings
from trademl_assets.order_book.quality import clean_tall_rows
from trademl_assets.order_book.steps import DayMaterial
from trademl_assets_tests.orchestration.conftest import World
from trademl_assets_tests.order_book.books import DAY, INSTRUMENT, QUALITY, steady_day

DATA_SIDE = ("raw_depth", "book_snapshots", "aligned_grid", "daily_aggregates", "market_regime", "dataset")
BATCHES = ("book_snapshots", "aligned_grid", "daily_aggregates", "market_regime")
MOST_BYTES_OF_A_SKETCH = 20_000


@pytest.mark.parametrize("asset", DATA_SIDE)
def test_every_partition_carries_a_png(made_world: World, asset: str):
    events = made_world.materializations(asset)
    assert events
    for event in events:
        text = str(event.metadata["plot"].value)
        assert base64.b64decode(text.split("base64,")[1].split(")", maxsplit=1)[0]).startswith(b"\x89PNG")


@pytest.mark.parametrize("asset", BATCHES)
def test_the_last_day_has_the_whole_picture_and_the_others_a_small_one_with_a_caption(made_world: World, asset: str):
    texts = {str(event.partition): str(event.metadata["plot"].value) for event in made_world.materializations(asset)}
    last = max(texts).split("|")[0]
    captions = {key: text.split(")", 1)[1].strip() for key, text in texts.items()}
    assert {key for key, caption in captions.items() if not caption} == {key for key in texts if key.startswith(last)}
    for key, caption in captions.items():
        if caption:
            assert caption.endswith("run this one alone to see its own.")
            assert len(texts[key]) < MOST_BYTES_OF_A_SKETCH


@pytest.mark.parametrize("snapshots", [0, 5])
def test_a_day_without_books_has_the_picture_of_its_quality_wherever_it_lies_in_a_run(snapshots: int):
    material = DayMaterial(INSTRUMENT, DAY, None)
    _, material.report = clean_tall_rows(steady_day(snapshots), INSTRUMENT.name, DAY, QUALITY)
    assert set(draw_findings(material, None, whole=True)) == {"quality"}
    assert set(draw_findings(material, None, whole=False)) == ({"quality"} if snapshots == 0 else set())


def test_a_dataset_shows_its_parts_classes_and_streams_as_tables(made_world: World):
    (event,) = made_world.materializations("dataset")
    shown = {name: event.metadata[name].value for name in ("parts", "left_out", "classes", "streams")}
    assert shown["parts"].records[0].data["part"] == "train"
    assert {record.data["stream"] for record in shown["streams"].records} >= {"book", "price", "mask", "clock"}
    assert all(table.records for table in shown.values())
    assert {"plot_split", "plot_timeline"} <= set(event.metadata)
