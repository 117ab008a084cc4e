"""One window of 24 hours of seven assets, 8640 x 60 x 28 at half precision, gathered across midnight."""

from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.made_dataset import LOOKBACK_STEPS, day_after, made_dataset
from benchmarks.measure import OURS, Benchmark
from trademl_assets.datasets.inputs import GRID_ASSET
from trademl_assets.datasets.window_reader import WindowReader
from trademl_assets.storage.commit import ArtifactStore

DAYS = 3
WINDOWS = 8
KINDS = ("float32", "float16")
"""What the loaders' maps hold: single precision is usual for books; half is what the platform keeps."""
ENDLESS = 1_000_000

DATALOADER_HALF = 0.7
"""The loader copies the same bytes twice, out of the map and into its batch, each time into fresh memory; we copy them
once into memory that is there. Where the system hands out fresh memory for nothing, a half is all that this wins."""


def benchmark(folder: Path) -> Benchmark:
    """Read the same windows, in turn, from mapped days, from a mapped file of all days and from npz of each day.

    The floor copies the same windows out of memory: one window again and again would stay in the processor's cache.
    """
    store = ArtifactStore.at(folder / "store")
    dataset = made_dataset(store, DAYS)
    archives = []
    joined = {
        kind: np.lib.format.open_memmap(
            folder / f"{kind}.npy", "w+", kind, (dataset.steps, *dataset.step_shape("book"))
        )
        for kind in KINDS
    }
    for number in range(DAYS):
        book = store.open_arrays(GRID_ASSET, day_after(number).isoformat(), "arrays")["book"]
        for values in joined.values():
            values[number * dataset.steps_per_day : (number + 1) * dataset.steps_per_day] = book
        archives.append(folder / f"{number}.npz")
        np.savez_compressed(archives[-1], book=book)
    for values in joined.values():
        values.flush()
    rows = np.linspace(5, dataset.index.height - 1, WINDOWS).astype(np.int64)
    firsts = dataset.index["step"].to_numpy()[rows] + 1 - LOOKBACK_STEPS
    reader = WindowReader(dataset, ["book"], scaling=False, buffers=1, batch_samples=1, threads=0)
    held = np.array(joined["float16"])
    floor = np.empty_like(held[:LOOKBACK_STEPS])
    single, half = (iter(DataLoader(MappedWindows(folder / f"{kind}.npy", firsts), batch_size=1)) for kind in KINDS)
    return Benchmark(
        name="gather_window",
        contenders={
            OURS: in_turn(rows, lambda row: reader.read(np.array([row])).windows["book"]),
            "dataloader": lambda: next(single),
            "dataloader_half": lambda: next(half),
            "npz_concatenate": in_turn(firsts, lambda first: npz_concatenate(archives, int(first))),
            "memcpy": in_turn(firsts, lambda first: np.copyto(floor, held[first : first + LOOKBACK_STEPS])),
        },
        promises={
            "dataloader": 1 / 12,
            "dataloader_half": DATALOADER_HALF,
            "npz_concatenate": 0.05,
            "memcpy": 1.5,
        },
        agree=agree,
        rounds=15,
    )


class MappedWindows(Dataset[torch.Tensor]):
    """What a loader over a memory map usually looks like."""

    def __init__(self, path: Path, firsts: np.ndarray) -> None:
        self._values = np.load(path, mmap_mode="r")
        self._firsts = firsts

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, number: int) -> torch.Tensor:
        first = int(self._firsts[number % len(self._firsts)])
        return torch.from_numpy(np.array(self._values[first : first + LOOKBACK_STEPS]))


def in_turn(values: np.ndarray, read: Callable[[Any], Any]) -> Callable[[], Any]:
    """Read the next value's window at each call."""
    ahead: Iterator[Any] = cycle(values)
    return lambda: read(next(ahead))


def npz_concatenate(archives: list[Path], first: int) -> np.ndarray:
    """Load the days, join them, cut the window out."""
    days = []
    for archive in archives:
        with np.load(archive) as arrays:
            days.append(arrays["book"])
    return np.concatenate(days)[first : first + LOOKBACK_STEPS]


def agree(results: Mapping[str, Any]) -> None:
    """The windows are equal bit by bit."""
    ours = results[OURS].tobytes()
    assert results["dataloader_half"].numpy().tobytes() == ours  # noqa: S101 -- benchmarks check their contenders
    assert results["dataloader"].numpy().astype(np.float16).tobytes() == ours  # noqa: S101 -- as above
    assert results["npz_concatenate"].tobytes() == ours  # noqa: S101 -- as above
