"""An epoch over a year of seven assets at ten seconds, through Lightning, in a fresh process of two threads.

Twice: a label every half hour with the LSTM reading exactly its window, and a label every five minutes with the LSTM
anchored at the midnight before. The network is the demo's without context, books pooled into bands. The second epoch
counts, validation of two days and checkpoints included; the first one finds its pages in the page cache or reads them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.made_network import BookKind, demo_network, demo_training
from benchmarks.made_year import write_labels, write_year
from benchmarks.measure import Outcome, Study
from benchmarks.one_training import measure_training
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.parameters import KeptPrecision, Precision

TRAINING_DAYS = 365
SEGMENTS_PER_STEP = 4
EPOCHS = 2
THREADS = 2
STEPS_PER_MINUTE = 6
MOST_MEGABYTES = 2000.0


class Year(NamedTuple):
    """One of the trainings.

    Attributes:
        history: How tokens are read.
        decision_steps: Steps between two labels.
        most_seconds: That an epoch may take.
        book: How books are read.
        precision: Of products of matrices.
        kept: Precision of step features on disk.
    """

    history: str
    decision_steps: int
    most_seconds: float
    book: BookKind = "bands"
    precision: Precision = "fp32"
    kept: KeptPrecision = "fp32"

    @property
    def name(self) -> str:
        """Name of its line."""
        return self.history if self.precision == "fp32" else f"{self.history}_{self.precision}"


YEARS = (Year("window", 180, 60.0), Year("anchored", 30, 40.0))


def benchmark(folder: Path, training_days: int = TRAINING_DAYS) -> Study:
    """Train for two epochs of each kind; the days of both are the same, so that the second finds features made."""
    return study_years("training_year", folder, YEARS, training_days)


def study_years(name: str, folder: Path, years: Sequence[Year], training_days: int) -> Study:
    """Train for two epochs of each year, in this order, all over the same days."""
    store = ArtifactStore.at(folder)
    write_year(store, training_days)
    for history, decision_steps in {year.history: year.decision_steps for year in years}.items():
        write_labels(store, history, training_days, decision_steps)
    lines = [
        f"### {name}",
        "",
        "| training | labels every | features, s | epoch 1, s | epoch 2, s | processor, s | anonymous MB | resident |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    outcomes = []
    for year in years:
        training = demo_training(
            seeds=[1],
            threads=THREADS,
            max_epochs=EPOCHS,
            segments_per_step=SEGMENTS_PER_STEP,
            precision=year.precision,
            step_features_precision=year.kept,
        )
        found = measure_training(store, year.history, demo_network(year.history, year.book), training)
        first, second = found["epochs"]
        every, memory = year.decision_steps // STEPS_PER_MINUTE, f"{found['anonymous_mb']:.0f} | {found['peak_mb']:.0f}"
        lines.append(
            f"| {year.name} | {every} min | {found['features']:.1f} | {first:.1f} | {second:.1f} | "
            f"{found['processor'][-1]:.1f} | {memory} |"
        )
        outcomes += [
            Outcome(f"{name}/{year.name}_seconds", second, year.most_seconds),
            Outcome(f"{name}/{year.name}_anonymous_mb", found["anonymous_mb"], MOST_MEGABYTES),
        ]
    return Study([*lines, ""], outcomes)
