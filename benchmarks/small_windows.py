"""Windows of 100 x 40 in random order, labels with them, as DeepLOB reads them; its notebook copies every window."""

import os
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.made_dataset import FIRST_DAY, PROVENANCE, stream
from benchmarks.measure import OURS, Benchmark, Limit, SkippedError
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.sampling_order import SamplingOrder, Share
from trademl_assets.datasets.window_reader import WindowReader
from trademl_assets.datasets.windows import Dataset as OpenedDataset
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.storage.commit import ArtifactStore

ROWS = 203_800
COLUMNS = 40
LENGTH = 100
BATCH = 64
PEER_BYTES = (ROWS - LENGTH + 1) * LENGTH * COLUMNS * 8
MEMORY_FACTOR = 1.3

DATALOADER = 1 / 2.5
"""The loader moves four times our bytes, in double precision, and calls Python for every sample; ours copies the floats
once, at the speed of memory, which leaves no room for twenty times."""


def benchmark(folder: Path) -> Benchmark:
    """Read every window once, in random order; the peer has made its copies of all before the clock starts.

    Torch has one thread. Its default is one a processor for each of the loader's batches of 2 MB, which is no faster on
    a quiet machine, and ten times slower on a busy one, where the threads wait for each other.

    Raises:
        SkippedError: The copies of the peer, 6.5 GB, do not fit into free memory.
    """
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available < MEMORY_FACTOR * PEER_BYTES:
        raise SkippedError(f"the peer copies {PEER_BYTES / 1e9:.1f} GB, {available / 1e9:.1f} GB are free")
    dataset = written(ArtifactStore.at(folder))
    rows = np.arange(dataset.index.height)
    labels = dataset.index["label"].to_numpy()
    peer = CopiedWindows(dataset.stored.file("lob", 0).astype(np.float64), labels)

    def read() -> tuple[int, float]:
        reader = WindowReader(dataset, ["lob"], scaling=False, buffers=1, batch_samples=BATCH, threads=0)
        order = SamplingOrder(len(rows), batch_items=BATCH, seed=1, is_shuffled=True, ending="pad", share=Share(0, 1))
        total, seen = 0, 0.0
        for batch in reader.epoch(rows, order):
            inputs, targets = torch.from_numpy(batch.windows["lob"]), torch.from_numpy(labels[batch.rows])
            total += len(inputs)
            seen += float(targets.sum()) + float(inputs[:, -1, 0].double().sum())
        return total, seen

    def load() -> tuple[int, float]:
        total, seen = 0, 0.0
        for doubles, targets in DataLoader(peer, batch_size=BATCH, shuffle=True):
            inputs = doubles.to(dtype=torch.float)  # as its training loop does
            total += len(inputs)
            seen += float(targets.sum()) + float(inputs[:, 0, -1, 0].double().sum())
        return total, seen

    extra = peak_megabytes(read)
    return Benchmark(
        name="small_windows",
        contenders={OURS: with_one_thread(read), "deeplob_dataloader": with_one_thread(load)},
        promises={"deeplob_dataloader": DATALOADER},
        agree=agree,
        rounds=9,
        limits={"extra_mb": Limit(lambda _found: extra, 4.0)},
    )


def with_one_thread(run: Callable[[], Any]) -> Callable[[], Any]:
    """Run with one thread of torch, and leave as many as there were."""

    def limited() -> Any:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return run()
        finally:
            torch.set_num_threads(threads)

    return limited


class CopiedWindows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The notebook's data set: every window copied, double precision."""

    def __init__(self, values: np.ndarray, labels: np.ndarray) -> None:
        copies = np.zeros((len(labels), LENGTH, COLUMNS))
        for number in range(len(labels)):
            copies[number] = values[number : number + LENGTH]
        self.x = torch.from_numpy(copies).unsqueeze(1)
        self.y = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[index], self.y[index]


def written(store: ArtifactStore) -> OpenedDataset:
    """Write a dataset of one stream, a row a second, with a decision at each."""
    rng = np.random.default_rng(2)
    steps = np.arange(LENGTH - 1, ROWS)
    recipe = {
        "cadence_seconds": 1,
        "days": [(FIRST_DAY + timedelta(days=number)).isoformat() for number in range(3)],
        "streams": {"lob": stream([COLUMNS], "float32", lies_in=DATASET_ASSET, lookback_steps=LENGTH)},
        "upstream": {},
    }
    with store.write(DATASET_ASSET, "small", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("index", pl.DataFrame({"step": steps, "label": rng.integers(0, 3, len(steps))}))
        writer.arrays("streams", {"lob": rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)})
        writer.json("recipe", recipe)
    return open_dataset(store, "small")


def peak_megabytes(read: Callable[[], Any]) -> float:
    """Return the most memory that an epoch takes beside what was there."""
    read()
    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def agree(results: Mapping[str, Any]) -> None:
    """Both have read as many samples, with the same labels and last values."""
    (ours, seen), (theirs, expected) = results[OURS], results["deeplob_dataloader"]
    assert ours == theirs == ROWS - LENGTH + 1  # noqa: S101 -- benchmarks check their contenders
    np.testing.assert_allclose(seen, expected, rtol=1e-9)
