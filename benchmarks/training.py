"""Training per label: 24 hours of seven assets, a label every half hour, the LSTM reading exactly its window.

Ours encodes every 10-second step once for all labels of a stretch of two days. The peers encode the window of every
label: one takes windows from a DataLoader over memory maps of the raw streams, as it is usually written; one has
neither loader nor copies, but views of the same features that ours holds in memory. All compute the same loss and the
same gradients, forward and backward, two threads each.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmarks.made_dataset import DECISION_STEPS, LOOKBACK_STEPS, made_dataset
from benchmarks.made_network import RECIPE, window_network
from benchmarks.measure import OURS, Benchmark
from trademl_assets.datasets.windows import Dataset
from trademl_assets.models.dual_channel import DualChannel, build_dual_channel
from trademl_assets.models.inputs import inputs_of
from trademl_assets.models.network import SegmentBatch
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed

DAYS = 3
SEGMENTS_PER_STEP = 2
BATCH_SIZES = (1, 8, 32)
"""Labels that the peer without copies may compute together; the fastest stands for it."""
SEED = 1
THREADS = 2

Gradients = dict[str, Tensor]


def benchmark(folder: Path) -> Benchmark:
    """Compute loss and gradients of the same labels: by stretches of two days, and window by window."""
    torch.set_num_threads(THREADS)
    dataset = made_dataset(ArtifactStore.at(folder), DAYS, RECIPE)
    torch.manual_seed(SEED)
    network = build_dual_channel(window_network(), inputs_of(dataset))
    feed = SegmentFeed(dataset, network)
    segments = feed.stretches("train", on_stride_only=True)
    steps = [segments[first : first + SEGMENTS_PER_STEP] for first in range(0, len(segments), SEGMENTS_PER_STEP)]
    rows = np.concatenate([segment.rows for segment in segments])
    loaded = DataLoader(MappedWindows(dataset, network, folder), batch_size=1)
    held = feed.daily.read(0, dataset.steps)
    fastest = min(BATCH_SIZES, key=lambda size: seconds(lambda: without_copies(network, feed, held, rows, size)))
    return Benchmark(
        name="training_labels",
        contenders={
            OURS: lambda: gradients(network, (feed.batch(step) for step in steps), len(rows)),
            "one_window_at_a_time": lambda: gradients(network, from_loader(network, feed, loaded), len(rows)),
            "windows_without_copies": lambda: without_copies(network, feed, held, rows, fastest),
        },
        promises={"one_window_at_a_time": 1 / 15, "windows_without_copies": 1 / 10},
        agree=agree,
        rounds=3,
    )


def gradients(network: DualChannel, batches: Iterator[SegmentBatch], labels: int) -> Gradients:
    """Forward and backward of all labels, gradients of their mean loss added up."""
    network.zero_grad(set_to_none=True)
    for batch in batches:
        losses = nn.functional.cross_entropy(network(batch), batch.labels, reduction="sum")
        (losses / labels).backward()  # type: ignore[no-untyped-call]  # torch's own
    return {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}


def without_copies(network: DualChannel, feed: SegmentFeed, features: Tensor, rows: np.ndarray, size: int) -> Gradients:
    """The same from windows that are views of the features in memory: decisions lie equally far apart."""
    width = feed.features.width
    stride = (DECISION_STEPS * width, width, 1)

    def batches() -> Iterator[SegmentBatch]:
        for first in range(0, len(rows), size):
            chosen = rows[first : first + size]
            begin = int(feed.step[chosen[0]]) - LOOKBACK_STEPS
            windows = features.as_strided((len(chosen), LOOKBACK_STEPS + 1, width), stride, begin * width)
            yield batch_of_windows(feed, windows, chosen)

    return gradients(network, batches(), len(rows))


def from_loader(network: DualChannel, feed: SegmentFeed, loaded: DataLoader[Any]) -> Iterator[SegmentBatch]:
    """Make features of each loaded window, as a loop does that keeps nothing between labels."""
    for raw, row in loaded:
        with torch.no_grad():
            features = network.step_features({name: values[0] for name, values in raw.items()})
        yield batch_of_windows(feed, features[None], row.numpy())


def batch_of_windows(feed: SegmentFeed, windows: Tensor, rows: np.ndarray) -> SegmentBatch:
    """A batch in which every label has a segment of its own: (B, look-back + 1, width) features of B labels."""
    count, at = len(rows), torch.from_numpy(rows)
    return SegmentBatch(
        steps=windows,
        view_segment=tuple(range(count)),
        view_phase=(0,) * count,
        decision_view=torch.arange(count),
        decision_patches=torch.full((count,), LOOKBACK_STEPS // feed.patch_steps),
        decision_target=torch.zeros(count, dtype=torch.int64),
        decision_horizon=torch.zeros(count, dtype=torch.int64),
        sigma_bps=feed.sigma[at],
        clock=None,
        days=None,
        decision_day=torch.zeros(count, dtype=torch.int64),
        labels=feed.label[at],
        returns_bps=feed.returns[at],
        weights=feed.weight[at],
        total_weight=float(count),
        rows=at,
    )


class MappedWindows(TorchDataset[tuple[dict[str, Tensor], int]]):
    """What a loader over memory maps usually looks like: the raw streams of a window, copied, and its label's row."""

    def __init__(self, dataset: Dataset, network: DualChannel, folder: Path) -> None:
        self._maps = {}
        for name in network.step_features.streams:
            path = folder / f"{name}.npy"
            np.save(path, dataset.gather(name, 0, dataset.steps))
            self._maps[name] = np.load(path, mmap_mode="r")
        self._steps = dataset.index["step"].to_numpy()

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, row: int) -> tuple[dict[str, Tensor], int]:
        last = int(self._steps[row]) + 1
        first = last - LOOKBACK_STEPS - 1
        return {name: torch.from_numpy(np.array(values[first:last])) for name, values in self._maps.items()}, row


def seconds(work: Any) -> float:
    """Seconds of the second call."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def agree(results: Mapping[str, Gradients]) -> None:
    """The gradients are equal but for rounding."""
    for name, expected in results["windows_without_copies"].items():
        for found in results.values():
            torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-6)
