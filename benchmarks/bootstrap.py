"""Intervals of more than thirty metrics of a million predictions against a loop over replicates that scores again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import OURS, Benchmark
from trademl_assets.evaluation.bootstrap import bootstrap_metrics, cell_of, draw_counts
from trademl_assets.scoring.discrimination import placements
from trademl_assets.scoring.metrics import brier_scores, entropies, log_losses

Floats = NDArray[np.float64]
PREDICTIONS, CLASSES, REPLICATES, MEAN_BLOCK, SEED = 1_000_000, 4, 200, 2_400.0, 3
METRICS = 30


def benchmark(_folder: Path) -> Benchmark:
    """Draw a million predictions of four classes and labels from them."""
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.full(CLASSES, 1.5), size=PREDICTIONS)
    below = probabilities.cumsum(axis=1) < generator.random((PREDICTIONS, 1))
    labels = below.sum(axis=1).clip(max=CLASSES - 1)
    return Benchmark(
        name="bootstrap_of_a_million",
        contenders={
            OURS: lambda: bootstrap_metrics(probabilities, labels, MEAN_BLOCK, replicates=REPLICATES, seed=SEED),
            "numpy_loop": lambda: loop(probabilities, labels),
        },
        promises={"numpy_loop": 1 / 20},
        agree=agree,
        rounds=3,
    )


def loop(probabilities: Floats, labels: NDArray[np.int64]) -> dict[str, Floats]:
    """The same blocks, with the rows of every replicate gathered and averaged: thirty columns worked out beforehand."""
    columns = contributions(probabilities, labels)
    cell = cell_of(MEAN_BLOCK)
    cells = -(-PREDICTIONS // cell)
    drawn = np.empty((REPLICATES, METRICS))
    for number, counts in enumerate(draw_counts(cells, MEAN_BLOCK / cell, REPLICATES, SEED).astype(np.int64)):
        chosen = np.repeat(np.arange(cells), counts)
        rows = (chosen[:, None] * cell + np.arange(cell)).ravel()
        drawn[number] = columns[rows[rows < PREDICTIONS]].mean(axis=0)
    return {"log_loss": drawn[:, 0], "brier": drawn[:, 1], "entropy": drawn[:, 2], "accuracy": drawn[:, 3]}


def contributions(probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    """(N, 30) what every prediction adds to as many means."""
    chosen = probabilities.argmax(axis=1)
    true = np.eye(CLASSES)[labels]
    first = [
        log_losses(probabilities, labels),
        brier_scores(probabilities, labels),
        entropies(probabilities),
        (chosen == labels).astype(np.float64),
    ]
    cells = np.eye(CLASSES**2)[labels * CLASSES + chosen]
    found = np.column_stack([*first, cells, true - probabilities, placements(probabilities, labels), probabilities])
    return np.ascontiguousarray(found[:, :METRICS])


def agree(results: Mapping[str, Any]) -> None:
    """Both give the same replicates, and ours at least thirty metrics."""
    np.testing.assert_array_less(METRICS - 1, len(results[OURS]))
    for name, theirs in results["numpy_loop"].items():
        np.testing.assert_allclose(results[OURS][name], theirs, rtol=1e-9)
