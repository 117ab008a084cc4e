"""Segments of two days, each shared by the 48 labels of its second one: the cost of a label, all streams together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_dataset import DECISION_STEPS, STEPS_PER_DAY, made_dataset
from benchmarks.measure import OURS, Benchmark, Limit
from trademl_assets.datasets.segment_reader import SegmentReader
from trademl_assets.datasets.segments import Segment
from trademl_assets.storage.commit import ArtifactStore

DAYS = 5
STREAMS = ("book", "price", "mask")
BUFFERS = 3
THREADS = 2
LABELS_OF_A_DAY = STEPS_PER_DAY // DECISION_STEPS
MILLISECONDS = 1000


def benchmark(folder: Path) -> Benchmark:
    """Visit four segments with two threads, against a copy of as many bytes within memory by one."""
    dataset = made_dataset(ArtifactStore.at(folder), DAYS)
    rows = np.arange(dataset.index.height).reshape(-1, LABELS_OF_A_DAY)
    segments = [Segment(number * STEPS_PER_DAY, (number + 2) * STEPS_PER_DAY, mine) for number, mine in enumerate(rows)]
    reader = SegmentReader(dataset, STREAMS, longest_steps=2 * STEPS_PER_DAY, buffers=BUFFERS, threads=THREADS)
    held = [{name: dataset.gather(name, each.first_step, each.last_step) for name in STREAMS} for each in segments]
    target = {name: np.empty_like(values) for name, values in held[0].items()}

    def visit() -> list[bytes]:
        return [steps.values["book"][-1].tobytes() for steps in reader.gather(segments)]

    def copy() -> list[bytes]:
        found = []
        for source in held:
            for name, values in source.items():
                np.copyto(target[name], values)
            found.append(target["book"][-1].tobytes())
        return found

    def milliseconds_a_label(found: Any) -> float:
        return float(MILLISECONDS * found.median(OURS) / dataset.index.height)

    return Benchmark(
        name="segments",
        contenders={OURS: visit, "memcpy": copy},
        promises={"memcpy": 1.5},
        agree=agree,
        rounds=15,
        limits={"ms_a_label": Limit(milliseconds_a_label, 1.0)},
    )


def agree(results: Mapping[str, Any]) -> None:
    """The last steps of the segments are equal."""
    assert results[OURS] == results["memcpy"]  # noqa: S101 -- benchmarks check their contenders
