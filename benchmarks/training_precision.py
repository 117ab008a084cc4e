"""A step of optimisation at bf16 against fp32, on a processor that multiplies bf16 itself.

The network reads all 1,743 numbers of a step (60 slots of seven assets as they are, prices, masks) by a dense layer of
64, patches of five minutes by another, and its window by an LSTM of 64: most of its time goes into products of
matrices. At bf16 batches are laid in bf16 from the same features. Batch, forward, backward and AdamW, two threads.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from benchmarks.made_dataset import made_dataset
from benchmarks.made_network import RECIPE, wide_network
from benchmarks.measure import OURS, Benchmark, SkippedError
from trademl_assets.datasets.windows import Dataset
from trademl_assets.models.dual_channel import build_dual_channel
from trademl_assets.models.inputs import inputs_of
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.kept_features import DailyFeatures

DAYS = 3
THREADS = 2
SEED = 1
MOST_TIMES_FP32 = 1 / 1.6
RELATIVE_TOLERANCE = 0.02
"""Of the loss: bf16 has eight bits, and eight classes drawn at random cost log 8."""


def benchmark(folder: Path) -> Benchmark:
    """Take the same step again and again from the same weights, once at each precision."""
    if not torch.cpu._is_avx512_bf16_supported():  # noqa: SLF001 -- torch tells nobody else
        raise SkippedError("this processor has no avx512_bf16")
    torch.set_num_threads(THREADS)
    dataset = made_dataset(ArtifactStore.at(folder), DAYS, RECIPE)
    return Benchmark(
        name="training_precision",
        contenders={OURS: stepper(dataset, torch.bfloat16), "fp32": stepper(dataset, torch.float32)},
        promises={"fp32": MOST_TIMES_FP32},
        agree=agree,
        rounds=5,
    )


def stepper(dataset: Dataset, dtype: torch.dtype) -> Callable[[], float]:
    """Return what lays a batch, steps and returns the loss before the step."""
    torch.manual_seed(SEED)
    network = build_dual_channel(wide_network(), inputs_of(dataset))
    features = DailyFeatures(dataset, network.step_features)
    feed = SegmentFeed(dataset, network, features)
    stretches = feed.stretches("train", on_stride_only=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, fused=True)

    def step() -> float:
        batch = feed.batch(stretches, dtype=dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = nn.functional.cross_entropy(network(batch).float(), batch.labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        return float(loss.detach())

    return step


def agree(results: Mapping[str, float]) -> None:
    """The losses are equal but for the rounding of bf16."""
    assert abs(results[OURS] / results["fp32"] - 1) < RELATIVE_TOLERANCE  # noqa: S101 -- benchmarks check their contenders
