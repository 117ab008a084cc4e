from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.parameters import PARTS, Part
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError, MissingPartitionError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import grid_day, make_store, write_experiment, write_grid_day
from trademl_assets_tests.datasets.examples import DAYS, FIRST, parameters_of, stated


@pytest.fixture(scope="module")
def dataset(filled_store: ArtifactStore, example_parts: DatasetParts) -> Dataset:
    return open_dataset(filled_store, "example")


@pytest.fixture(scope="module")
def books() -> np.ndarray:
    whole = np.concatenate([grid_day(FIRST + timedelta(days=n), 0)["book"] for n in range(DAYS)])
    return whole.reshape(-1, 5, 3, 4)[:, :, [0, 2], :].reshape(-1, 5, 8)


def test_an_opened_dataset_knows_what_it_is(dataset: Dataset) -> None:
    assert dataset.steps == DAYS * 1440
    assert dataset.instruments == ("LEAD", "FOLLOW")
    assert dataset.classes == 4
    assert dataset.streams == ("book", "price", "mask", "clock", "long_term")
    assert dataset.step_shape("book") == (5, 8)
    assert dataset.step_shape("clock") == (len(dataset.columns("clock")),) == (11,)
    assert dataset.lookback_steps("price") == 720
    assert dataset.scaling("book").center.shape == (5, 8)
    assert dataset.scaling("clock").scale.tolist() == [1.0] * 11
    assert dataset.scaling("clock").clip == dataset.scaling("price").clip == 10.0


@settings(max_examples=40)
@given(st.data())
def test_gather_joins_days_exactly(dataset: Dataset, books: np.ndarray, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, dataset.steps))
    last = data.draw(st.integers(first, dataset.steps))
    found = dataset.gather("book", first, last)
    assert found.dtype == np.float16
    assert found.tobytes() == books[first:last].tobytes()


def test_gather_fills_a_given_buffer_and_casts(dataset: Dataset, books: np.ndarray) -> None:
    buffer = np.full((200, 5, 8), 9.0, np.float32)
    found = dataset.gather("book", 1400, 1600, out=buffer)
    assert found is buffer
    assert buffer.tolist() == books[1400:1600].astype(np.float32).tolist()
    with pytest.raises(ValueError, match="shape"):
        dataset.gather("book", 0, 10, out=buffer)


def test_gather_of_own_streams_is_their_slice(dataset: Dataset, example_parts: DatasetParts) -> None:
    for stream in ("price", "clock"):
        assert dataset.gather(stream, 100, 3000).tobytes() == example_parts.arrays[stream][100:3000].tobytes()
    assert dataset.gather("mask", 1439, 1441).shape == (2, 8)


def test_steps_outside_and_streams_it_has_not_are_refused(dataset: Dataset) -> None:
    with pytest.raises(IndexError, match="leave the dataset"):
        dataset.gather("book", -1, 5)
    with pytest.raises(IndexError, match="leave the dataset"):
        dataset.gather("price", 0, dataset.steps + 1)
    with pytest.raises(ConfigError, match="no stream 'bars'"):
        dataset.gather("bars", 0, 1)


def test_the_long_term_window_of_a_day_ends_the_day_before(dataset: Dataset, example_parts: DatasetParts) -> None:
    rows = example_parts.arrays["long_term"]
    assert dataset.long_term(0).tolist() == rows[0:3].tolist()
    assert dataset.long_term(3).tolist() == rows[3:6].tolist()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("on_stride_only", [True, False])
def test_segments_cover_every_sample_of_a_part_once(dataset: Dataset, part: Part, *, on_stride_only: bool) -> None:
    segments = dataset.segments(part, on_stride_only=on_stride_only)
    samples = dataset.samples(part, on_stride_only=on_stride_only)
    rows = np.concatenate([segment.rows for segment in segments])
    assert dataset.index[rows].equals(samples)
    steps = dataset.index["step"].to_numpy()
    for segment in segments:
        assert np.all((steps[segment.rows] >= segment.first_step) & (steps[segment.rows] < segment.last_step))


def test_a_days_segment_starts_at_the_previous_midnight_and_ends_with_the_day(dataset: Dataset) -> None:
    train = dataset.segments("train", on_stride_only=False)
    assert [(s.first_step, s.last_step) for s in train] == [(0, 1440), (0, 2880)]
    test = dataset.segments("test", on_stride_only=True)
    assert [(s.first_step, s.last_step) for s in test] == [(2880, 5760)]
    validation = dataset.segments("validation", on_stride_only=True)
    assert [(s.first_step, s.last_step) for s in validation] == [(1440, 3600)], "it ends with its block"
    assert set(dataset.index[train[1].rows]["t0"].dt.day()) == {5}


def test_a_short_dataset_has_one_segment_a_part_from_its_start_to_the_parts_end(filled_store: ArtifactStore) -> None:
    values = stated() | {"first_instant": "2024-01-05T12:00:00Z", "minimum_history": "PT0S", "last_day": "2024-01-05"}
    values["labels"] |= {"horizons_seconds": [120], "decision_stride_seconds": 60, "training_phase_seconds": 60}
    for block, length in zip(values["split"]["blocks"], ("PT30M", "PT10M", "PT10M", "PT10M"), strict=True):
        block["length"] = length
    values["first_day"] = "2024-01-05"
    values["segments"] = {"length": "PT1H", "anchor_lookback": "PT0S"}
    write_experiment(filled_store, "short", parameters_of(values))
    opened = open_dataset(filled_store, "short")
    segments = [opened.segments(part, on_stride_only=True) for part in PARTS]
    assert [(s.first_step - 720, s.last_step - 720) for (s,) in segments] == [(0, 30), (0, 40), (0, 50), (0, 60)]
    assert [len(s.rows) for (s,) in segments] == [29, 9, 9, 9]


def test_a_rebuilt_grid_day_is_noticed_on_open(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    write_experiment(store, "example", parameters_of(stated()))
    assert open_dataset(store, "example").index.height > 0
    write_grid_day(store, FIRST + timedelta(days=1), seed=99)
    with pytest.raises(CorruptArtifactError, match=r"aligned_grid/2024-01-05.*materialise dataset 'example' again"):
        open_dataset(store, "example")
    store.delete("aligned_grid", "2024-01-05")
    with pytest.raises(MissingPartitionError, match="2024-01-05"):
        open_dataset(store, "example")


def test_a_dataset_nobody_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartitionError, match="dataset"):
        open_dataset(ArtifactStore.at(tmp_path), "nobody")


def test_samples_stand_in_time_order_and_on_the_stride(dataset: Dataset) -> None:
    assert dataset.index["t0"].is_sorted()
    assert (dataset.samples("test", on_stride_only=True)["t0"].dt.minute() % 10 == 0).all()
