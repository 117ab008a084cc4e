"""One training in a process of its own: `python -m benchmarks.one_training order.json` prints what its epochs took.

The order names the store, the experiment, the network and how it is trained; the process is started with the variables
that the platform gives its training processes.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch

from benchmarks.market import PROJECT
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.models.inputs import inputs_of
from trademl_assets.models.parameters import DualChannelParameters
from trademl_assets.models.registry import ModelParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.kept_features import DailyFeatures
from trademl_assets.training.launch import build_environment
from trademl_assets.training.member import build_network, train_member
from trademl_assets.training.parameters import TrainingParameters

KILOBYTES = 1000
LOOK_SECONDS = 0.1


def measure_training(
    store: ArtifactStore, experiment: str, network: DualChannelParameters, training: TrainingParameters
) -> dict[str, Any]:
    """Train in a new process; return seconds of making features, of each epoch, by clock and processor, and megabytes.

    An epoch is everything between the ends of two: batches, steps, checkpoints, and validation.
    """
    order = {
        "root": str(store.layout.root),
        "experiment": experiment,
        "model": {"family": "dual_channel", "parameters": network.model_dump(mode="json")},
        "training": training.model_dump(mode="json"),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order.json"
        path.write_text(json.dumps(order))
        environment = os.environ | build_environment(training.threads, os.getpid()) | {"PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", "benchmarks.one_training", str(path)]
        answer = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def main(path: Path) -> None:
    """Train as ordered."""
    watch = Watch()
    order = json.loads(path.read_text())
    training = TrainingParameters.model_validate_json(json.dumps(order["training"]))
    torch.set_num_threads(training.threads)
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    model = ModelParameters.model_validate_json(json.dumps(order["model"]))
    dataset = open_dataset(ArtifactStore.at(Path(order["root"])), order["experiment"])
    inputs = inputs_of(dataset)
    network = build_network(model, inputs)
    features = DailyFeatures(dataset, network.step_features, training.step_features_precision, kept=True)
    feed = SegmentFeed(dataset, network, features)
    begun = time.perf_counter()
    read = feed.stretches("train", on_stride_only=False) + feed.stretches("validation", on_stride_only=True)
    features.prepare(feed.days(read), lambda line: print(line, file=sys.stderr))
    ends, worked = [time.perf_counter()], [time.process_time()]

    def note(_epoch: int, _loss: float) -> None:
        ends.append(time.perf_counter())
        worked.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        train_member(
            model,
            inputs,
            feed,
            training,
            seed=1,
            folder=Path(folder),
            on_epoch=note,
        )
    watch.stop()
    found = {
        "features": ends[0] - begun,
        "epochs": [last - first for first, last in pairwise(ends)],
        "processor": [last - first for first, last in pairwise(worked)],
        "anonymous_mb": watch.most,
        "peak_mb": memory_mb("VmHWM"),
    }
    print(json.dumps(found))


class Watch(Thread):
    """Looks every tenth of a second how much anonymous memory this process has, and keeps the most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self._ended = Event()
        self.start()

    def run(self) -> None:
        """Look until it is stopped."""
        while not self._ended.wait(LOOK_SECONDS):
            self.most = max(self.most, memory_mb("RssAnon"))

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


def memory_mb(name: str) -> float:
    """Megabytes that the system says of this process: `RssAnon` now, `VmHWM` the most so far, mapped files included."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / KILOBYTES


if __name__ == "__main__":
    main(Path(sys.argv[1]))
