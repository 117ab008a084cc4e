"""An epoch over a year of seven assets on one GPU, step features held on it, and how much of the card that uses.

The year, the labels and the networks are those of `training_year`; features lie on the card in half precision, products
of matrices are of bf16. The share of the peak matrix rate sets the multiplications of an epoch (those of layers and
LSTMs, forward and twice backward) against those of one large product of matrices on the same card; the share of the
bandwidth sets the bytes of the features that an epoch reads against one large copy. The second epoch counts.

What was found is written to benchmarks/results/<date>-<card>.json. Without a CUDA device the benchmark is skipped.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.made_network import demo_network, demo_training
from benchmarks.made_year import write_labels, write_year
from benchmarks.market import PROJECT
from benchmarks.measure import Outcome, SkippedError, Study
from benchmarks.one_training import measure_training
from benchmarks.training_year import TRAINING_DAYS, YEARS, Year
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.models.dual_channel import build_dual_channel
from trademl_assets.models.inputs import inputs_of
from trademl_assets.models.network import SegmentBatch
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed

RESULTS = PROJECT / "benchmarks" / "results"
MOST_SECONDS = 4.0
SEGMENTS_PER_STEP = 32
FLOPS_OF_A_PRODUCT = 2
GATES = 4
PASSES = 3
"""Forward, and twice as much backward."""
HALF_BYTES = 2
SQUARE, COPY_BYTES, TRIES = 8192, 1 << 31, 20


def benchmark(folder: Path, training_days: int = TRAINING_DAYS) -> Study:
    """Train for two epochs of each kind on the first card.

    Raises:
        SkippedError: There is no CUDA device.
    """
    if not torch.cuda.is_available():
        raise SkippedError("torch sees no CUDA device")
    store = ArtifactStore.at(folder)
    write_year(store, training_days)
    rate, bandwidth = matrix_rate(), copy_rate()
    head = "| history | first epoch, s | second epoch, s | share of matrix rate | share of bandwidth |"
    lines, outcomes, found = ["### training_gpu", "", head, "| --- | --- | --- | --- | --- |"], [], []
    for year in YEARS:
        write_labels(store, year.history, training_days, year.decision_steps)
        training = demo_training(
            devices="1",
            seeds=[1],
            precision="bf16",
            step_features_precision="fp16",
            step_features_on="device",
            deterministic=False,
            max_epochs=2,
            segments_per_step=SEGMENTS_PER_STEP,
            checkpoint_every_steps=1000,
        )
        first, second = measure_training(store, year.history, demo_network(year.history), training)["epochs"]
        flops, read = work_of_an_epoch(store, year)
        shares = flops / second / rate, read / second / bandwidth
        lines.append(f"| {year.history} | {first:.2f} | {second:.2f} | {shares[0]:.1%} | {shares[1]:.1%} |")
        outcomes.append(Outcome(f"training_gpu/{year.history}_seconds", second, MOST_SECONDS))
        found.append(
            {
                "history": year.history,
                "label_every_steps": year.decision_steps,
                "days": training_days,
                "seconds": [first, second],
                "share_of_matrix_rate": shares[0],
                "share_of_bandwidth": shares[1],
            }
        )
    write_result({"matrix_rate": rate, "copy_bytes_a_second": bandwidth, "epochs": found})
    return Study([*lines, ""], outcomes)


def work_of_an_epoch(store: ArtifactStore, year: Year) -> tuple[float, float]:
    """Return the floating-point operations of an epoch's steps and the bytes of features that they read.

    They are counted on the processor for one segment and taken for all alike.
    """
    dataset = open_dataset(store, year.history)
    network = build_dual_channel(demo_network(year.history), inputs_of(dataset))
    feed = SegmentFeed(dataset, network)
    stretches = feed.stretches("train", on_stride_only=False)
    batch = feed.batch(stretches[:1])
    flops = forward_flops(network, batch) * PASSES * len(stretches)
    return flops, batch.steps.numel() * HALF_BYTES * len(stretches)


def forward_flops(network: nn.Module, batch: SegmentBatch) -> float:
    """Operations of products in a forward pass; the counter knows no LSTM, whose tokens are counted apart."""
    recurrent = [0.0]

    def count(lstm: Any, inputs: tuple[Tensor, ...], _output: Any) -> None:
        tokens, width = inputs[0].shape[:-1].numel(), lstm.hidden_size
        widths = [lstm.input_size, *[width] * (lstm.num_layers - 1)]
        recurrent[0] += sum(FLOPS_OF_A_PRODUCT * tokens * GATES * width * (each + width) for each in widths)

    hooks = [part.register_forward_hook(count) for part in network.modules() if isinstance(part, nn.LSTM)]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(replace(batch))
    for hook in hooks:
        hook.remove()
    return float(counter.get_total_flops()) + recurrent[0]


def matrix_rate() -> float:
    """Floating-point operations a second of a large product of bf16 matrices."""
    one = torch.randn(SQUARE, SQUARE, device="cuda", dtype=torch.bfloat16)
    return FLOPS_OF_A_PRODUCT * SQUARE**3 / seconds_on_card(lambda: one @ one)


def copy_rate() -> float:
    """Bytes a second that a large copy reads."""
    values = torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda")
    return COPY_BYTES / seconds_on_card(values.clone)


def seconds_on_card(work: Callable[[], Any]) -> float:
    """Seconds a call, after one to warm up."""
    work()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(TRIES):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / TRIES


def write_result(found: dict[str, Any]) -> Path:
    """Keep what was found under the date and the card."""
    card = torch.cuda.get_device_name()
    facts = {"card": card, "torch": torch.__version__, "cuda": torch.version.cuda}
    RESULTS.mkdir(exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    path = RESULTS / f"{datetime.now(UTC).date().isoformat()}-{name}.json"
    path.write_text(json.dumps(facts | found, indent=1) + "\n")
    return path
