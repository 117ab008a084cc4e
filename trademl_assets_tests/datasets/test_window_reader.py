"""Windows in reused buffers are those of the dataset, bit for bit, whoever reads ahead."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.datasets.buffer_ring import BufferRing
from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.sampling_order import SamplingOrder, Share
from trademl_assets.datasets.segment_reader import SegmentReader
from trademl_assets.datasets.window_copies import Runs, copy_rows, runs_by_file
from trademl_assets.datasets.window_reader import WindowReader
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import make_store, write_experiment, write_grid_day
from trademl_assets_tests.datasets.examples import FIRST, parameters_of, stated

STREAMS = ("book", "price", "mask", "clock", "long_term")


@pytest.fixture(scope="module")
def dataset(filled_store: ArtifactStore, example_parts: DatasetParts) -> Dataset:
    """LEAD and FOLLOW of a grid that has EXTRA between them, so their columns are picked."""
    return open_dataset(filled_store, "example")


@pytest.fixture(scope="module")
def whole_grid(filled_store: ArtifactStore) -> Dataset:
    """All three instruments in the grid's order, so rows are copied whole; longer windows than a day."""
    values = stated() | {"instruments": ["LEAD", "EXTRA", "FOLLOW"], "minimum_history": "P1DT2H"}
    values["streams"]["book"] = {"lookback": "P1DT1H"}
    write_experiment(filled_store, "whole_grid", parameters_of(values))
    return open_dataset(filled_store, "whole_grid")


def reader_of(dataset: Dataset, *, scaling: bool = False, buffers: int = 3, threads: int = 2) -> WindowReader:
    return WindowReader(dataset, STREAMS, scaling=scaling, buffers=buffers, batch_samples=8, threads=threads)


def every_row(dataset: Dataset) -> np.ndarray:
    return np.arange(dataset.index.height)


def expected_window(dataset: Dataset, stream: str, row: int) -> np.ndarray:
    step = int(dataset.index["step"][int(row)])
    if stream == "long_term":
        return dataset.long_term(step // dataset.steps_per_day)
    return dataset.gather(stream, step + 1 - dataset.lookback_steps(stream), step + 1)


@pytest.fixture(scope="module", params=["dataset", "whole_grid"])
def opened(request: pytest.FixtureRequest) -> Dataset:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("scaling", [False, True])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_windows_equal_what_the_dataset_gathers(opened: Dataset, data: st.DataObject, *, scaling: bool) -> None:
    reader = reader_of(opened, scaling=scaling)
    complete = reader.complete(every_row(opened))
    rows = np.array(data.draw(st.lists(st.sampled_from(complete.tolist()), min_size=0, max_size=8)), dtype=np.int64)
    batch = reader.read(rows)
    for stream in STREAMS:
        found = batch.windows[stream]
        assert found.shape == (len(rows), opened.lookback_steps(stream), *opened.step_shape(stream))
        for number, row in enumerate(rows):
            expected = expected_window(opened, stream, row)
            if scaling:
                expected = opened.scaling(stream).apply(expected)
            assert found[number].dtype == expected.dtype
            assert found[number].tobytes() == expected.tobytes(), stream


def test_batches_come_in_their_order_whatever_the_threads(dataset: Dataset) -> None:
    rows = reader_of(dataset).complete(every_row(dataset))[:40]
    chosen = np.array_split(rows[::-1], 7)
    seen = []
    for threads in (0, 1, 3):
        batches = reader_of(dataset, threads=threads).batches(chosen)
        seen.append([(batch.rows.tolist(), batch.windows["price"].tobytes()) for batch in batches])
    assert [rows for rows, _ in seen[0]] == [part.tolist() for part in chosen]
    assert seen[0] == seen[1] == seen[2]


def test_a_batch_stays_while_the_next_are_made_ready(dataset: Dataset) -> None:
    rows = reader_of(dataset).complete(every_row(dataset))[:30]
    memory = set()
    for batch in reader_of(dataset, buffers=2, threads=2).batches(np.split(rows, 10)):
        before = batch.windows["book"].tobytes()
        threading.Event().wait(0.01)
        assert batch.windows["book"].tobytes() == before
        memory.add(batch.windows["book"].ctypes.data)
    assert len(memory) == 2


def test_an_epoch_over_two_processes_reads_every_sample_once_and_resumes(dataset: Dataset) -> None:
    rows = reader_of(dataset).complete(every_row(dataset))
    seen: list[int] = []
    for rank in range(2):
        order = SamplingOrder(len(rows), batch_items=5, seed=1, is_shuffled=True, ending="pad", share=Share(rank, 2))
        first = reader_of(dataset).epoch(rows, order)
        for _ in range(3):
            batch = next(first)
            seen += batch.rows[~batch.is_repeat].tolist()
        state = order.state_dict()
        assert state["taken"] == 30, "batches made ready do not count"
        first.close()
        resumed = SamplingOrder(len(rows), batch_items=5, seed=1, is_shuffled=True, ending="pad", share=Share(rank, 2))
        resumed.load_state_dict(state)
        for batch in reader_of(dataset).epoch(rows, resumed):
            seen += batch.rows[~batch.is_repeat].tolist()
        assert resumed.state_dict()["epoch"] == 1
    assert sorted(seen) == rows.tolist()
    with pytest.raises(ConfigError, match="order these"):
        reader_of(dataset).epoch(rows[1:], order)


def test_an_error_comes_where_its_batch_would_have_come_and_no_thread_stays(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    write_experiment(store, "example", parameters_of(stated()))
    dataset = open_dataset(store, "example")
    reader = reader_of(dataset)
    rows = reader.complete(every_row(dataset))
    days = dataset.index["step"].to_numpy()[rows] // dataset.steps_per_day
    early, late = rows[days == 0][:4], rows[days == days.max()][-4:]
    write_grid_day(store, FIRST.replace(day=FIRST.day + 3), seed=99)
    batches = reader.batches([early, late, early])
    assert next(batches).rows.tolist() == early.tolist()
    with pytest.raises(CorruptArtifactError, match=r"2024-01-07.*materialise dataset 'example' again"):
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("buffers")]
    assert len(list(reader.batches([early, early]))) == 2, "the reader can be used again"


def test_leaving_the_loop_ends_the_threads_and_frees_the_buffers(dataset: Dataset) -> None:
    reader = reader_of(dataset)
    rows = reader.complete(every_row(dataset))[:20]
    batches = reader.batches(np.split(rows, 10))
    next(batches)
    with pytest.raises(RuntimeError, match="lent already"):
        next(reader.batches([rows[:2]]))
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("buffers")]
    assert reader.read(rows[:2]).rows.tolist() == rows[:2].tolist()


def test_what_lies_before_the_dataset_is_refused_or_left_out(dataset: Dataset) -> None:
    reader = reader_of(dataset)
    rows = every_row(dataset)
    steps = dataset.index["step"].to_numpy()
    assert reader.complete(rows).tolist() == rows[steps >= 719].tolist()
    with pytest.raises(ConfigError, match=r"no whole window of 720 rows of 'book'.*minimum_history"):
        reader.read(rows[:2])
    with pytest.raises(ConfigError, match="buffers hold 8"):
        reader.read(rows[-9:])
    with pytest.raises(ConfigError, match="no stream 'bars'"):
        WindowReader(dataset, ["bars"], scaling=False, buffers=1, batch_samples=1, threads=0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 25), st.integers(1, 11))
def test_windows_are_cut_at_the_ends_of_files_each_file_once_in_order(
    first: list[int], length: int, file_rows: int
) -> None:
    found = list(runs_by_file(np.array(first), length, file_rows))

    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    target = np.full(len(first) * length, -1)
    for number, runs in found:
        for source_row, target_row, count in zip(*runs.where, strict=True):
            assert count >= 1
            assert source_row + count <= file_rows
            assert (target[target_row : target_row + count] == -1).all()
            target[target_row : target_row + count] = number * file_rows + np.arange(source_row, source_row + count)
    np.testing.assert_array_equal(target.reshape(-1, length), np.array(first)[:, None] + np.arange(length))


def test_runs_outside_are_refused_before_memory_is_touched() -> None:
    source, target = np.zeros((4, 2)), np.zeros((3, 2))
    one = np.array([1])
    for runs in (Runs(np.array([2]), one * 0, np.array([3])), Runs(one * 0, np.array([1]), np.array([3]))):
        with pytest.raises(IndexError, match="leaves them"):
            copy_rows(source, target, runs)
    with pytest.raises(IndexError, match="leaves them"):
        copy_rows(source, target, Runs(-one, one, one))
    with pytest.raises(ValueError, match="float64 into float32"):
        copy_rows(source, target.astype(np.float32), Runs(one, one, one))
    with pytest.raises(ValueError, match="row by row"):
        copy_rows(source[:, ::2], target[:, :1], Runs(one, one, one))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 12))
def test_a_ring_lends_as_many_buffers_as_it_has_and_keeps_the_order(buffers: int, threads: int, fills: int) -> None:
    ring = BufferRing({"x": ((1,), np.dtype(np.int64))}, buffers=buffers, threads=threads, allocate=np.empty)
    places: set[int] = set()

    def fill_with(number: int) -> Iterator[int]:
        def fill(buffer: dict[str, np.ndarray]) -> np.ndarray:
            places.add(buffer["x"].ctypes.data)
            buffer["x"][0] = number
            return buffer["x"]

        return fill

    assert [int(found[0]) for found in ring.lend(fill_with(n) for n in range(fills))] == list(range(fills))
    assert len(places) <= buffers


def test_segments_are_gathered_ahead_and_visited_once(dataset: Dataset) -> None:
    segments = dataset.segments("train", on_stride_only=True)
    reader = SegmentReader(dataset, ["book", "clock"], longest_steps=2880, buffers=2, threads=2)
    for expected, found in zip(segments, reader.gather(segments), strict=True):
        assert found.segment is expected
        for stream in ("book", "clock"):
            wanted = dataset.gather(stream, expected.first_step, expected.last_step)
            assert found.values[stream].tobytes() == wanted.tobytes()
    order = SamplingOrder(2, batch_items=1, seed=0, is_shuffled=True, ending="pad", share=Share(0, 1))
    visited = [found.segment.first_step for found in reader.epoch(segments, order)]
    assert sorted(visited) == [segment.first_step for segment in segments]
    assert order.state_dict()["epoch"] == 1
    with pytest.raises(ConfigError, match="raise longest_steps"):
        list(SegmentReader(dataset, ["mask"], longest_steps=9, buffers=1, threads=0).gather(segments))
    with pytest.raises(ConfigError, match="a row a day"):
        SegmentReader(dataset, ["long_term"], longest_steps=9, buffers=1, threads=0)
