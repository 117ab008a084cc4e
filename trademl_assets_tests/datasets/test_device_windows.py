"""Windows gathered where the streams are held equal those of the reader, bit for bit."""

import numpy as np
import pytest
import torch

from trademl_assets.datasets import device_windows
from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.device_windows import DeviceWindows, free_bytes, needed_bytes, pinned_array
from trademl_assets.datasets.window_reader import WindowReader
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore

STREAMS = ("book", "price", "mask", "clock", "long_term")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(filled_store: ArtifactStore, example_parts: DatasetParts) -> Dataset:
    return open_dataset(filled_store, "example")


def equal_windows(dataset: Dataset, device: torch.device, *, scaling: bool) -> None:
    held = DeviceWindows(dataset, STREAMS, scaling=scaling, device=device, share_of_free_memory=0.5)
    reader = WindowReader(
        dataset, STREAMS, scaling=scaling, buffers=1, batch_samples=16, threads=0, allocate=pinned_array
    )
    rows = np.random.default_rng(3).choice(reader.complete(np.arange(dataset.index.height)), 16)
    expected, found = reader.read(rows).windows, held.windows(rows)
    for stream in STREAMS:
        assert found[stream].device.type == device.type
        assert found[stream].shape == expected[stream].shape
        assert found[stream].cpu().numpy().tobytes() == expected[stream].tobytes(), stream


@pytest.mark.parametrize("scaling", [False, True])
@pytest.mark.parametrize("block_bytes", [1, 1 << 40])
def test_windows_equal_the_readers(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, block_bytes: int, *, scaling: bool
) -> None:
    monkeypatch.setattr(device_windows, "_BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(device_windows, "_CHUNK_BYTES", 100_000)
    equal_windows(dataset, CPU, scaling=scaling)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_windows_on_a_gpu_equal_the_readers(dataset: Dataset) -> None:
    for scaling in (False, True):
        equal_windows(dataset, torch.device("cuda"), scaling=scaling)


def test_what_does_not_fit_is_refused_with_its_size(dataset: Dataset) -> None:
    needed = needed_bytes(dataset, ["book"], scaling=False)
    assert needed == 4 * 1440 * 5 * 8 * 2
    assert needed_bytes(dataset, ["book"], scaling=True) == 2 * needed
    with pytest.raises(ConfigError, match=f"take {needed} bytes"):
        DeviceWindows(
            dataset, ["book"], scaling=False, device=CPU, share_of_free_memory=0.9 * needed / (2 * free_bytes(CPU))
        )


def test_a_window_before_the_dataset_is_refused(dataset: Dataset) -> None:
    held = DeviceWindows(dataset, ["price"], scaling=False, device=CPU, share_of_free_memory=0.5)
    with pytest.raises(ConfigError, match="no whole window of 720 rows of 'price'"):
        held.windows(np.array([0]))
    assert held.windows(np.empty(0, np.int64))["price"].shape == (0, 720, 10)


def test_pinned_buffers_have_the_shape_and_type_asked_for() -> None:
    for dtype in (np.float16, np.float32):
        buffer = pinned_array((2, 3), dtype)
        assert buffer.shape == (2, 3)
        assert buffer.dtype == dtype
