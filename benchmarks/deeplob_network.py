"""DeepLOB's network trained by our feed and by its notebook's loop, 100 x 40, each at its best batch.

All are trained in processes with the allocator settings that the platform gives its trainings, in single precision, by
two threads. First the same weights must give the same loss and the same gradients on the same windows. Ours are single
windows in random order, as the notebook's; the contender `ours_by_stretches` draws stretches of neighbouring windows,
which is how the platform trains, and convolves each step once.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.deeplob_layers import COLUMNS, WINDOW, DeepLob, StretchedDeepLob, same_weights
from benchmarks.made_dataset import PROVENANCE, day_after, index_of, stream
from benchmarks.market import PROJECT
from benchmarks.measure import OURS, Benchmark, Measurement, Outcome, SkippedError, Study, measure, table
from benchmarks.one_training import memory_mb
from benchmarks.small_windows import MEMORY_FACTOR, PEER_BYTES, ROWS, CopiedWindows
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed, Stretch
from trademl_assets.training.epochs import Pace, Share, TrainingEpoch
from trademl_assets.training.kept_features import DailyFeatures
from trademl_assets.training.launch import build_environment

THREADS = 2
STEPS_PER_DAY, DAYS = 8640, 24
STRETCH = 8
"""Neighbouring windows of a stretch: of a batch of 64 there are eight, drawn from anywhere."""
BATCH_SIZES = (16, 32, 64, 128, 256)
AS_GOOD = 1.01
SAMPLES = 768
RATE = 1e-4
NOTEBOOK, BY_STRETCHES = "notebook", "ours_by_stretches"
PROMISE, STRETCHES_PROMISE, MEMORY_SHARE = 1 / 1.1, 1 / 1.3, 0.1
MEMORY_STEPS = 4
INSTRUMENT, HORIZON_SECONDS = "ASSET0", 1800


def benchmark(folder: Path) -> Study:
    """Train in processes of their own: all contenders by turns for the time, each alone for the memory.

    Raises:
        SkippedError: The notebook's copies of all windows, 6.5 GB, do not fit into free memory.
    """
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available < MEMORY_FACTOR * PEER_BYTES:
        raise SkippedError(f"the notebook copies {PEER_BYTES / 1e9:.1f} GB, {available / 1e9:.1f} GB are free")
    written(ArtifactStore.at(folder))
    sizes, seconds = in_a_process(folder, "speed")
    found = Measurement(seconds)
    memory = {name: in_a_process(folder, "memory", name, sizes[name]) for name in (OURS, NOTEBOOK)}
    shown = Benchmark("deeplob_network", dict.fromkeys(seconds, lambda: None), {}, lambda _results: None)
    told = [f"{name}: best batch {size}, {SAMPLES / found.median(name):,.0f} samples/s" for name, size in sizes.items()]
    told += [f"{name}: {peak:,.0f} MB of anonymous memory" for name, peak in memory.items()]
    by_stretches = float(
        np.median([ours / theirs for ours, theirs in zip(seconds[BY_STRETCHES], seconds[NOTEBOOK], strict=True)])
    )
    return Study(
        [*table(shown, found), *told, ""],
        [
            Outcome("deeplob_network/notebook", found.ratio(NOTEBOOK), PROMISE),
            Outcome("deeplob_network/notebook_by_stretches", by_stretches, STRETCHES_PROMISE),
            Outcome("deeplob_network/memory_share_of_notebook", memory[OURS] / memory[NOTEBOOK], MEMORY_SHARE),
        ],
    )


def in_a_process(folder: Path, *task: object) -> Any:
    """Do a task in a process that begins with the allocator settings of a training."""
    command = [sys.executable, "-m", "benchmarks.deeplob_network", str(folder), *map(str, task)]
    environment = os.environ | build_environment(THREADS, os.getpid())
    answer = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout)


def written(store: ArtifactStore) -> None:
    """Write a dataset of one stream with a decision at every step from the second day on."""
    index = index_of(DAYS + 1, 1).head(ROWS - WINDOW + 1)
    recipe = {
        "cadence_seconds": 86_400 // STEPS_PER_DAY,
        "days": [day_after(number).isoformat() for number in range(DAYS + 1)],
        "streams": {"lob": stream([COLUMNS], "float32", lies_in=DATASET_ASSET, lookback_steps=WINDOW)},
        "scaling": {},
        "upstream": {},
        "segments": {"length_steps": STRETCH, "lookback_steps": WINDOW, "start_step": 0},
        "blocks": [{"part": "train", "first_us": 0, "last_us": 2**62}],
    }
    values = np.random.default_rng(2).standard_normal(((DAYS + 1) * STEPS_PER_DAY, COLUMNS), dtype=np.float32)
    with store.write(DATASET_ASSET, "books", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("index", index)
        writer.arrays("streams", {"lob": values})
        writer.json("recipe", recipe)


class Ours:
    """The network fed by the platform, with windows alone or in stretches."""

    def __init__(self, dataset: Dataset, *, by_stretches: bool) -> None:
        torch.manual_seed(1)
        self.network = StretchedDeepLob(INSTRUMENT, HORIZON_SECONDS)
        features = DailyFeatures(dataset, self.network.step_features, kept=True)  # on disk and mapped, as in a training
        features.prepare(range(len(dataset.days)), lambda _line: None)
        self.feed = SegmentFeed(dataset, self.network, features)
        self._length = STRETCH if by_stretches else 1
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE, fused=True)

    def stretches(self, samples: int) -> list[Stretch]:
        """Decisions spread over the dataset, a stretch each or `STRETCH` neighbours together."""
        count = samples // self._length
        apart = self.feed.dataset.index.height // count
        rows = np.arange(count)[:, None] * apart + np.arange(self._length)
        return [stretch_of(self.feed, each) for each in rows]

    def train(self, samples: int, size: int) -> Iterator[float]:
        """Train on so many windows in random order; yield the loss of each step."""
        pace = Pace(size // self._length)
        batches = TrainingEpoch(self.feed, self.stretches(samples), pace, seed=1, epoch=0, share=Share(0, 1))
        self.network.train()
        for batch in batches:
            self._optimiser.zero_grad()
            loss = nn.functional.cross_entropy(self.network(batch), batch.labels % 3)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            self._optimiser.step()
            yield float(loss.detach())


class Notebook:
    """The notebook's loop: a copy of every window in double precision, a DataLoader, Adam."""

    def __init__(self, dataset: Dataset, rows: int) -> None:
        torch.manual_seed(1)
        self.network = DeepLob()
        first = int(dataset.index["step"][0]) - WINDOW + 1
        values = dataset.stored.file("lob", 0)[first : first + rows + WINDOW - 1]
        labels = dataset.index["label"].to_numpy()[:rows] % 3
        self.windows = CopiedWindows(values.astype(np.float64), labels)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE)

    def train(self, samples: int, size: int) -> Iterator[float]:
        """Train on so many windows in random order; yield the loss of each step."""
        criterion = nn.CrossEntropyLoss()
        self.network.train()
        for number, (doubles, targets) in enumerate(DataLoader(self.windows, batch_size=size, shuffle=True)):
            if number * size >= samples:
                return
            inputs, classes = doubles.to(dtype=torch.float), targets.to(dtype=torch.int64)
            self._optimiser.zero_grad()
            loss = criterion(self.network(inputs), classes)
            loss.backward()
            self._optimiser.step()
            yield float(loss.item())


def stretch_of(feed: SegmentFeed, rows: np.ndarray) -> Stretch:
    """Return neighbouring decisions with the steps that their windows read."""
    steps = feed.step[rows]
    first = int(steps[0]) - WINDOW
    return Stretch(first, int(steps[-1]) + 1, rows, np.zeros(len(rows), np.int64), steps - first)


def compare(dataset: Dataset) -> None:
    """Hold loss and gradients of the same windows against the notebook's, in stretches and alone.

    Raises:
        AssertionError: They differ.
    """
    for by_stretches in (False, True):
        notebook, ours = Notebook(dataset, 256), Ours(dataset, by_stretches=by_stretches)
        same_weights(ours.network, notebook.network)
        rows = np.arange(32)
        cut = [rows[:5], rows[5:13], rows[13:]] if by_stretches else rows[:, None]
        batch = ours.feed.batch([stretch_of(ours.feed, each) for each in cut])
        found = nn.functional.cross_entropy(ours.network(batch), batch.labels % 3)
        inputs, labels = notebook.windows.x[:32], notebook.windows.y[:32]
        expected = nn.functional.cross_entropy(notebook.network(inputs.float()), labels)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        found.backward()  # type: ignore[no-untyped-call]  # torch's own
        expected.backward()  # type: ignore[no-untyped-call]  # the same
        theirs = {name: value.grad for name, value in notebook.network.named_parameters()}
        for name, value in ours.network.layers.named_parameters():
            torch.testing.assert_close(value.grad, theirs[name], rtol=2e-3, atol=2e-6, msg=name)
        for name, kept in ours.network.layers.named_buffers():
            torch.testing.assert_close(kept, dict(notebook.network.named_buffers())[name], rtol=1e-3, atol=1e-5)


def speed(dataset: Dataset) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Return the best batch of every contender, and its seconds by round."""
    compare(dataset)
    trained: dict[str, Ours | Notebook] = {
        OURS: Ours(dataset, by_stretches=False),
        BY_STRETCHES: Ours(dataset, by_stretches=True),
        NOTEBOOK: Notebook(dataset, 4 * SAMPLES),
    }
    sizes = {name: best_size(each.train) for name, each in trained.items()}
    contenders = {name: running(each.train, sizes[name]) for name, each in trained.items()}
    together = Benchmark("deeplob_network", contenders, {}, lambda _results: None, rounds=5)
    return sizes, measure(together).seconds


def running(train: Callable[[int, int], Iterator[float]], size: int) -> Callable[[], list[float]]:
    """Return what trains on the windows of a round."""
    return lambda: list(train(SAMPLES, size))


def best_size(train: Callable[[int, int], Iterator[float]]) -> int:
    """Return the smallest batch size whose samples a second are all but the most: what is larger only takes memory."""

    def seconds(size: int) -> float:
        for _warm in train(size, size):
            pass
        begun = time.perf_counter()
        for _step in train(SAMPLES, size):
            pass
        return time.perf_counter() - begun

    taken = {size: min(seconds(size) for _again in range(2)) for size in BATCH_SIZES}
    return next(size for size in BATCH_SIZES if taken[size] <= AS_GOOD * min(taken.values()))


def memory(dataset: Dataset, name: str, size: int) -> float:
    """Return the megabytes of anonymous memory of this process while a contender trains on the whole dataset."""
    trained = Ours(dataset, by_stretches=False) if name == OURS else Notebook(dataset, ROWS - WINDOW + 1)
    return max(memory_mb("RssAnon") for _step in trained.train(MEMORY_STEPS * size, size))


def main(arguments: Sequence[str]) -> None:
    """Do one task and print its result."""
    folder, task, *rest = arguments
    torch.set_num_threads(THREADS)
    dataset = open_dataset(ArtifactStore.at(Path(folder)), "books")
    found: Any = speed(dataset) if task == "speed" else memory(dataset, rest[0], int(rest[1]))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
